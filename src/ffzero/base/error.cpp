// Composition of one-line error messages.
// SPDX-License-Identifier: MIT
#include "ffzero/base/error.hpp"

namespace ffzero {

std::string error_line(std::string_view place, std::string_view requirement, std::string_view value, std::string_view remedy) {
  std::string line;
  line.append(place).append(": ").append(requirement);
  if (!value.empty()) line.append("; got ").append(value);
  if (!remedy.empty()) line.append("; ").append(remedy);
  return line;
}

}  // namespace ffzero
