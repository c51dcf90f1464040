// Tables for people, spreadsheets and programs.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ffzero {

/// Columns with a name each; rows of as many texts.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;

  /// Aligned Markdown; "|" inside a cell is escaped.
  [[nodiscard]] std::string markdown() const;
  /// RFC 4180: fields with a comma, a quote or a line break are quoted.
  [[nodiscard]] std::string csv() const;
  /// Without scripts or styles; everything is escaped. `links`: where the first cell of each row leads; empty: nowhere.
  [[nodiscard]] std::string html(const std::vector<std::string>& links = {}) const;
};

/// Text for HTML content and attribute values.
[[nodiscard]] std::string html_escaped(std::string_view text);

}  // namespace ffzero
