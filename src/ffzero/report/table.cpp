// Tables as Markdown, CSV and HTML.
// SPDX-License-Identifier: MIT
#include "ffzero/report/table.hpp"

#include <algorithm>

namespace ffzero {

namespace {

std::string markdown_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t shown_width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string padded_row(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
  std::string line = "|";
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const std::string cell = i < cells.size() ? markdown_cell(cells[i]) : "";
    line += " " + cell + std::string(widths[i] - std::min(widths[i], shown_width(cell)), ' ') + " |";
  }
  return line + "\n";
}

std::string csv_row(const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += ',';
    line += csv_cell(cells[i]);
  }
  return line + "\n";
}

std::string html_row(const std::vector<std::string>& cells, const std::string& tag, const std::string& link = {}) {
  std::string line = "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string cell = html_escaped(cells[i]);
    const bool linked = i == 0 && !link.empty();
    line += "<" + tag + ">" + (linked ? "<a href=\"" + html_escaped(link) + "\">" + cell + "</a>" : cell) + "</" + tag + ">";
  }
  return line + "</tr>\n";
}

}  // namespace

std::string Table::markdown() const {
  std::vector<std::size_t> widths;
  for (const auto& column : columns) widths.push_back(std::max<std::size_t>(3, shown_width(markdown_cell(column))));
  for (const auto& row : rows)
    for (std::size_t i = 0; i < std::min(row.size(), widths.size()); ++i)
      widths[i] = std::max(widths[i], shown_width(markdown_cell(row[i])));
  std::string text = padded_row(columns, widths) + "|";
  for (const std::size_t width : widths) text += std::string(width + 2, '-') + "|";
  text += "\n";
  for (const auto& row : rows) text += padded_row(row, widths);
  return text;
}

std::string Table::csv() const {
  std::string text = csv_row(columns);
  for (const auto& row : rows) text += csv_row(row);
  return text;
}

std::string Table::html(const std::vector<std::string>& links) const {
  std::string text = "<div class=\"table\"><table>\n<thead>" + html_row(columns, "th") + "</thead>\n<tbody>\n";
  for (std::size_t i = 0; i < rows.size(); ++i) text += html_row(rows[i], "td", i < links.size() ? links[i] : std::string());
  return text + "</tbody></table></div>\n";
}

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace ffzero
