// Composition of one-line error messages.
// SPDX-License-Identifier: MIT
#include "ffzero/base/error.hpp"

#include "ffzero/base/shown.hpp"

namespace ffzero {

namespace {

// Far more than any message of ours; what is longer was given by somebody else.
constexpr std::size_t kLongestPlace = 400, kLongestValue = 400, kLongestText = 2000;

}  // namespace

std::string error_line(std::string_view place, std::string_view requirement, std::string_view value, std::string_view remedy) {
  std::string line;
  line.append(shown(place, kLongestPlace)).append(": ").append(shown(requirement, kLongestText));
  if (!value.empty()) line.append("; got ").append(shown(value, kLongestValue));
  if (!remedy.empty()) line.append("; ").append(shown(remedy, kLongestText));
  return line;
}

}  // namespace ffzero
