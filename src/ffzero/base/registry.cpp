// Names and numbers of what is registered.
// SPDX-License-Identifier: MIT
#include "ffzero/base/registry.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "ffzero/base/spelling.hpp"

namespace ffzero {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  return all.empty() ? "none" : all;
}

}  // namespace

NamedNumbers parse_numbers(std::string_view text, std::string_view place) {
  NamedNumbers numbers;
  for (std::string_view rest = trimmed(text); !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view part = trimmed(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto equals = part.find('=');
    const std::string_view name = trimmed(part.substr(0, equals));
    const std::string_view digits = equals == std::string_view::npos ? std::string_view() : trimmed(part.substr(equals + 1));
    double number = 0.0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (name.empty() || digits.empty() || error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(number))
      throw ConfigError(std::string(place), "must be numbers by name", part, "write \"name = 0.5, other = 2\"");
    if (!numbers.emplace(name, number).second)
      throw ConfigError(std::string(place), "must name each number once", name, "drop one of them");
  }
  return numbers;
}

NamedNumbers with_defaults(const NamedNumbers& defaults, const NamedNumbers& given, std::string_view place) {
  NamedNumbers numbers = defaults;
  for (const auto& [name, number] : given) {
    const auto found = numbers.find(name);
    if (found == numbers.end()) {
      std::vector<std::string> known;
      for (const auto& entry : defaults) known.push_back(entry.first);
      throw ConfigError(std::string(place), "has the numbers " + joined(known), name,
                        known.empty() ? "give none" : "did you mean " + nearest_word(name, known) + "?");
    }
    if (!std::isfinite(number)) throw ConfigError(std::string(place), name + " must be finite", std::to_string(number));
    found->second = number;
  }
  return numbers;
}

void require_new_name(std::string_view kind, const std::string& name, const std::vector<std::string>& taken) {
  const auto of_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (name.empty() || name[0] < 'a' || name[0] > 'z' || !std::all_of(name.begin(), name.end(), of_word))
    throw ConfigError(std::string(kind), "a name must be a word of small letters, digits and underscores", name);
  if (name == "auto" || std::find(taken.begin(), taken.end(), name) != taken.end())
    throw ConfigError(std::string(kind), "must have another name than those that there are", name, "choose another one");
}

void refuse_unknown(std::string_view kind, std::string_view name, const std::vector<std::string>& known) {
  throw ConfigError(std::string(kind), "must be one of " + joined(known), name,
                    known.empty() ? "register it first" : "did you mean " + nearest_word(name, known) + "?");
}

}  // namespace ffzero
