// A reader that looks at every byte once.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/csv_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shown.hpp"

namespace ffzero {

namespace {

constexpr std::uintmax_t kLargestFile = std::uintmax_t{8} << 30;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string excerpt(std::string_view text) { return shown(text, 40); }

bool is_utf8(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(text[i])); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i++);
    if (lead < 0x80) continue;
    const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || i + more > text.size()) return false;
    unsigned code = lead & (0x3FU >> more);
    for (std::size_t k = 0; k < more; ++k) {
      if ((byte(i) & 0xC0U) != 0x80U) return false;
      code = code << 6U | (byte(i++) & 0x3FU);
    }
    // Too long a form, halves of a pair, beyond the last code point.
    if ((more == 2 && code < 0x800) || (more == 3 && code < 0x10000) || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF) return false;
  }
  return true;
}

bool CsvField::missing() const {
  if (quoted) return false;
  static constexpr std::array<std::string_view, 11> kWords{"", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?"};
  return std::find(kWords.begin(), kWords.end(), text) != kWords.end();
}

bool parse_number(std::string_view text, double& value) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  // Of what from_chars reads, the words for infinity and not-a-number are no numbers in a table.
  const auto* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ptr != end || text.empty()) return false;
  if (result.ec == std::errc()) return std::isfinite(value);
  // Out of the range of double: far too large, or so small that it is 0.
  if (result.ec != std::errc::result_out_of_range) return false;
  value = text.find("e-") != std::string_view::npos || text.find("E-") != std::string_view::npos ? 0.0 : HUGE_VAL;
  return true;
}

std::string read_csv_text(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    throw DataError(path.string(), "must be a file of comma-separated values",
                    std::filesystem::exists(path, error) ? "a folder or device" : "no such file", "name it with --data-dir");
  const auto size = std::filesystem::file_size(path, error);
  if (error || size > kLargestFile)
    throw DataError(path.string(), "must be at most 8 GiB", error ? error.message() : std::to_string(size) + " bytes", "use an npz file");
  std::ifstream in(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(size), '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(size)))
    throw DataError(path.string(), "must be a readable file", "a failed read", "check its permissions");
  return text;
}

CsvReader::CsvReader(std::string_view text, std::string place) : text_(text), place_(std::move(place)) {
  if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
    throw DataError(place_, "must be text in UTF-8", "UTF-16", "save it as CSV in UTF-8");
  if (text_.starts_with("PK\x03\x04"))
    throw DataError(place_, "must be text", "an archive", "export the table as CSV, or use dataset.name = \"npz\"");
  if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
  read_header();
}

void CsvReader::read_header() {
  std::vector<CsvField> record;
  const auto fail_header = [this](std::string_view requirement, std::string_view value, std::string_view remedy) {
    throw DataError(place_ + ": line " + std::to_string(record_line_), requirement, value, remedy);
  };
  if (!read_record(record)) throw DataError(place_, "must begin with a line that names the columns", "an empty file");
  bool numbers = true;
  for (const CsvField& field : record) {
    double ignored = 0.0;
    numbers = numbers && parse_number(field.text, ignored);
  }
  if (numbers) fail_header("must name the columns", "numbers", "put a line with names on top");
  if (record.size() == 1)
    for (const auto& [separator, name] : {std::pair(';', "semicolons"), std::pair('\t', "tabs"), std::pair('|', "bars")})
      if (record[0].text.find(separator) != std::string::npos && !record[0].quoted)
        fail_header("columns must be separated by commas", name, "export the table with commas and decimal points");
  std::set<std::string> seen;
  for (const CsvField& field : record) {
    if (field.text.empty())
      fail_header("every column must have a name", "column " + std::to_string(names_.size() + 1) + " without", "name it");
    if (!seen.insert(field.text).second)
      fail_header("columns must have different names", "\"" + excerpt(field.text) + "\" twice", "rename one");
    names_.push_back(field.text);
  }
}

std::size_t CsvReader::column(std::string_view name, std::string_view key) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found != names_.end()) return static_cast<std::size_t>(found - names_.begin());
  std::string all;
  for (std::size_t i = 0; i < std::min<std::size_t>(names_.size(), 12); ++i) all += (i == 0 ? "" : ", ") + excerpt(names_[i]);
  if (names_.size() > 12) all += ", ...";
  throw DataError(place_, "must have the column \"" + excerpt(name) + "\"", "only " + all,
                  key.empty() ? std::string() : "set " + std::string(key) + " to the name of a column");
}

void CsvReader::fail_line(std::string_view requirement, std::string_view value, std::string_view remedy) const {
  throw DataError(place_ + ": line " + std::to_string(line_), requirement, value, remedy);
}

void CsvReader::fail(std::size_t column, std::string_view requirement, std::string_view value, std::string_view remedy) const {
  throw DataError(place_ + ": line " + std::to_string(record_line_) + ", column \"" + excerpt(names_.at(column)) + "\"", requirement, value,
                  remedy);
}

double CsvReader::number(const std::vector<CsvField>& record, std::size_t column) const {
  const CsvField& field = record.at(column);
  if (field.missing())
    fail(column, "must be a number", field.text.empty() ? "nothing" : excerpt(field.text), "fill in the value or remove the row");
  double value = 0.0;
  if (!parse_number(trimmed(field.text), value))
    fail(column, "must be a number", "\"" + excerpt(field.text) + "\"",
         "write texts as numbers, or leave the column out with dataset.ignore");
  if (!std::isfinite(static_cast<float>(value)))
    fail(column, "must be finite in float32", excerpt(field.text), "choose another unit, or remove the row");
  return value;
}

bool CsvReader::next(std::vector<CsvField>& record) {
  if (!read_record(record)) return false;
  if (record.size() != names_.size())
    throw DataError(place_ + ": line " + std::to_string(record_line_),
                    "must have " + std::to_string(names_.size()) + " values, one a column",
                    record.size() == 1 && record[0].text.empty() ? "a blank line" : std::to_string(record.size()),
                    "a value with a comma needs quotes around it");
  return true;
}

bool CsvReader::read_record(std::vector<CsvField>& record) {
  // Blank lines at the very end are no records.
  if (text_.find_first_not_of("\r\n", at_) == std::string_view::npos) return false;
  record_line_ = line_;
  for (std::size_t fields = 0;; ++fields) {
    if (fields >= kMostColumns) fail_line("must have at most " + std::to_string(kMostColumns) + " columns", "more", "use an npz file");
    if (fields == record.size()) record.emplace_back();
    CsvField& field = record[fields];
    field.text.clear();
    const std::size_t start = text_.find_first_not_of(" \t", at_);
    field.quoted = start != std::string_view::npos && text_[start] == '"';
    if (field.quoted) {
      at_ = start + 1;
      read_quoted(field);
    } else {
      read_plain(field);
    }
    if (at_ < text_.size() && text_[at_] == ',') {
      ++at_;
      continue;
    }
    record.resize(fields + 1);
    if (at_ == text_.size()) return true;
    if (text_[at_] == '\r') {
      ++at_;
      if (at_ == text_.size()) return true;
      if (text_[at_] != '\n')
        fail_line("lines must end with LF or CR LF", "a carriage return alone", "save the file with line ends of Unix or Windows");
    }
    ++at_;
    ++line_;
    return true;
  }
}

void CsvReader::read_quoted(CsvField& field) {
  const Index opened = line_;
  while (true) {
    const std::size_t quote = text_.find('"', at_);
    const std::string_view piece = text_.substr(at_, quote == std::string_view::npos ? quote : quote - at_);
    if (quote == std::string_view::npos || field.text.size() + piece.size() > kLongestField) {
      line_ = opened;
      fail_line("quotes must be closed", "a quote that is left open", "double the quotes inside a quoted value");
    }
    if (piece.find('\0') != std::string_view::npos) fail_line("must be text", "a NUL byte", "save the file as CSV in UTF-8");
    field.text += piece;
    line_ += std::count(piece.begin(), piece.end(), '\n');
    at_ = quote + 1;
    if (at_ < text_.size() && text_[at_] == '"') {
      field.text += '"';
      ++at_;
      continue;
    }
    at_ = std::min(text_.size(), text_.find_first_not_of(" \t", at_));
    if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\r' && text_[at_] != '\n')
      fail_line("a quoted value must end at its closing quote", "\"" + excerpt(text_.substr(at_, 1)) + "\" behind it",
                "double the quotes inside a quoted value");
    return;
  }
}

void CsvReader::read_plain(CsvField& field) {
  const std::size_t end = std::min(text_.size(), text_.find_first_of(",\r\n", at_));
  const std::string_view piece = trimmed(text_.substr(at_, end - at_));
  if (piece.size() > kLongestField)
    fail_line("values must be shorter than a megabyte", std::to_string(piece.size()) + " bytes", "check the file");
  if (piece.find('"') != std::string_view::npos)
    fail_line("quotes must stand around a whole value", "\"" + excerpt(piece) + "\"", "double the quotes and put the value in quotes");
  if (piece.find('\0') != std::string_view::npos) fail_line("must be text", "a NUL byte", "save the file as CSV in UTF-8");
  field.text = piece;
  at_ = end;
}

}  // namespace ffzero
