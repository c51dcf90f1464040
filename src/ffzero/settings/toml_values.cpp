// TOML as keys and values.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/settings/toml_values-inl.hpp"

namespace ffzero {

nlohmann::json toml_value_of(const toml::node& node, const std::string& place) {
  if (const auto* v = node.as_boolean()) return v->get();
  if (const auto* v = node.as_integer()) return v->get();
  if (const auto* v = node.as_floating_point()) return v->get();
  if (const auto* v = node.as_string()) return v->get();
  if (const auto* list = node.as_array()) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& entry : *list) out.push_back(toml_value_of(entry, place));
    return out;
  }
  throw ConfigError(place, "values are booleans, numbers, texts and lists", "a date, time or nested table", "see ffzero keys");
}

void flatten_toml(const toml::table& table, const std::string& prefix, const std::string& place, TomlKeys& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
    if (const auto* inner = node.as_table())
      flatten_toml(*inner, name, place, out);
    else
      out.emplace_back(name, toml_value_of(node, place + ": " + name));
  }
}

toml::table parse_toml(const std::string& text, const std::string& place) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    throw ConfigError(fmt::format("{}:{}:{}", place, e.source().begin.line, e.source().begin.column), "must be valid TOML",
                      std::string(e.description()));
  }
}

std::string read_toml_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (!in || std::filesystem::is_directory(path) || !(text << in.rdbuf()))
    throw ConfigError(path.string(), "the configuration file must be readable", "no such file or no permission", "check the path");
  return text.str();
}

}  // namespace ffzero
