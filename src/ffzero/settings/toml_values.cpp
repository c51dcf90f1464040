// TOML as keys and values.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/settings/toml_values-inl.hpp"

namespace ffzero {

namespace {

// Our deepest key has four parts, our deepest value is a list in a table of a list.
constexpr int kMostParts = 16, kMostBrackets = 16;

// Walks over a document as a parser does, as far as it takes to know what is inside a text or a comment.
class NestingCheck {
 public:
  NestingCheck(std::string_view text, const std::string& place) : text_(text), place_(place) {}

  void run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'')
        skip_text(c);
      else if (c == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else
        look_at(c);
    }
  }

 private:
  void look_at(char c) {
    ++at_;
    if (c == '\n') ++line_;
    if (c == '.') {
      if (++dots_ >= kMostParts) fail(fmt::format("a key has at most {} parts", kMostParts));
    } else if (c == '[' || c == '{') {
      dots_ = 0;
      if (++brackets_ > kMostBrackets) fail(fmt::format("lists and tables nest at most {} deep", kMostBrackets));
    } else if (c == ']' || c == '}') {
      dots_ = 0;
      brackets_ = std::max(0, brackets_ - 1);
    } else if (c == '\n' || c == '=' || c == ',') {
      dots_ = 0;
    }
  }

  // Past the text that begins here; one of a single line ends with its line at the latest.
  void skip_text(char quote) {
    const std::string three(3, quote);
    const bool long_text = text_.substr(at_, 3) == three;
    at_ += long_text ? 3 : 1;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') {
        if (!long_text) return;
        ++line_;
      } else if (quote == '"' && text_[at_] == '\\') {
        // A line break behind it is not part of it.
        if (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
      } else if (!long_text && text_[at_] == quote) {
        ++at_;
        return;
      } else if (long_text && text_.substr(at_, 3) == three) {
        at_ += 3;
        // Up to two quotes of the text may stand before the three that end it.
        for (int i = 0; i < 2 && at_ < text_.size() && text_[at_] == quote; ++i) ++at_;
        return;
      }
    }
  }

  [[noreturn]] void fail(const std::string& requirement) const {
    throw ConfigError(fmt::format("{}:{}", place_, line_), requirement, "more", "write it as the manual does: see ffzero keys");
  }

  std::string_view text_;
  const std::string& place_;
  std::size_t at_ = 0;
  int line_ = 1, dots_ = 0, brackets_ = 0;
};

}  // namespace

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
  if (text.size() > kLongestToml)
    throw ConfigError(place, fmt::format("settings have at most {} bytes", kLongestToml), std::to_string(text.size()));
  NestingCheck(text, place).run();
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    throw ConfigError(fmt::format("{}:{}:{}", place, e.source().begin.line, e.source().begin.column), "must be valid TOML",
                      std::string(e.description()));
  }
}

std::string read_toml_text(const std::filesystem::path& path) {
  FileContent content = read_regular_file(path, kLongestToml);
  if (!content.ok()) throw ConfigError(path.string(), "must be a readable file with settings in TOML", content.problem, "check the path");
  return std::move(content.bytes);
}

}  // namespace ffzero
