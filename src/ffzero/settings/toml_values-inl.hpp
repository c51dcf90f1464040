// TOML documents as keys with JSON values, for configurations and studies.
// Private: keeps toml++ out of what the library installs.
// SPDX-License-Identifier: MIT
#pragma once

#include <toml++/toml.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace ffzero {

/// Dotted key and value, in the order of the document.
using TomlKeys = std::vector<std::pair<std::string, nlohmann::json>>;

/// @throws ConfigError naming place, line and column if `text` is not TOML.
[[nodiscard]] toml::table parse_toml(const std::string& text, const std::string& place);
/// Booleans, numbers, texts and lists of them. @throws ConfigError for anything else
[[nodiscard]] nlohmann::json toml_value_of(const toml::node& node, const std::string& place);
/// Appends every value of `table` and of the tables in it, under prefix.key.
void flatten_toml(const toml::table& table, const std::string& prefix, const std::string& place, TomlKeys& out);
/// The text of a configuration file. @throws ConfigError if it cannot be read.
[[nodiscard]] std::string read_toml_text(const std::filesystem::path& path);

}  // namespace ffzero
