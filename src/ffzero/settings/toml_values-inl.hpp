// TOML documents as keys with JSON values, for configurations and studies.
// Private: keeps toml++ out of what the library installs.
// SPDX-License-Identifier: MIT
#pragma once

#include <toml++/toml.h>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace ffzero {

/// Dotted key and value, in the order of the document.
using TomlKeys = std::vector<std::pair<std::string, nlohmann::json>>;

/// Longest document that is read, in bytes.
constexpr std::uint64_t kLongestToml = std::uint64_t{4} << 20;

/// @throws ConfigError naming place, line and column if `text` is not TOML, is longer than kLongestToml, or nests deeper than any setting
/// does: the parser and everything behind it goes down into tables and lists by recursion.
[[nodiscard]] toml::table parse_toml(const std::string& text, const std::string& place);
/// Booleans, numbers, texts and lists of them. @throws ConfigError for anything else
[[nodiscard]] nlohmann::json toml_value_of(const toml::node& node, const std::string& place);
/// Appends every value of `table` and of the tables in it, under prefix.key.
void flatten_toml(const toml::table& table, const std::string& prefix, const std::string& place, TomlKeys& out);
/// The text of a configuration file. @throws ConfigError if it cannot be read, is no regular file or is longer than kLongestToml.
[[nodiscard]] std::string read_toml_text(const std::filesystem::path& path);

}  // namespace ffzero
