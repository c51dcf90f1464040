// Comma-separated values, record by record. Strict: what is not plainly right is refused with its line.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// One value of a record. Blanks around a value without quotes do not belong to it.
struct CsvField {
  std::string text;
  bool quoted = false;
  /// Nothing, or one of the words that programs write for nothing (NA, NaN, null, None, ?), without quotes.
  [[nodiscard]] bool missing() const;
};

/// Reads records separated by LF or CR LF and fields separated by commas (RFC 4180): a field in double quotes may hold commas, line breaks
/// and doubled quotes. A byte order mark of UTF-8 is passed over, and so are blank lines at the end. The first record names the columns.
/// Safe for any bytes whatsoever; memory: one record.
class CsvReader {
 public:
  static constexpr std::size_t kMostColumns = 65536;     ///< more can only be a mistake
  static constexpr std::size_t kLongestField = 1 << 20;  ///< bytes of one value: an open quote, rather than a value, goes on for longer

  /// text must stay; place stands for the file in messages. @throws DataError if the first record is no header: it is missing, names a
  /// column twice or not at all, holds numbers only, or is not separated by commas.
  CsvReader(std::string_view text, std::string place);

  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] const std::string& place() const noexcept { return place_; }
  /// Position of a column. @throws DataError naming the name, the columns that there are and `key`, which may be empty
  [[nodiscard]] std::size_t column(std::string_view name, std::string_view key) const;

  /// The next record, with as many fields as there are columns, in storage of the caller that is used again; false at the end.
  /// @throws DataError naming the line: another number of values, a stray quote or carriage return, an open quote, a NUL byte.
  [[nodiscard]] bool next(std::vector<CsvField>& record);
  /// Line, counted from 1, in which the last record began.
  [[nodiscard]] Index line() const noexcept { return record_line_; }
  /// @throws DataError "place: line N, column "name": requirement; got value; remedy"
  [[noreturn]] void fail(std::size_t column, std::string_view requirement, std::string_view value, std::string_view remedy) const;
  /// The number in a field of the last record. @throws DataError naming line and column if it is missing, is no number, or is not finite in
  /// float32
  [[nodiscard]] double number(const std::vector<CsvField>& record, std::size_t column) const;

 private:
  void read_header();
  bool read_record(std::vector<CsvField>& record);
  void read_quoted(CsvField& field);
  void read_plain(CsvField& field);
  [[noreturn]] void fail_line(std::string_view requirement, std::string_view value, std::string_view remedy) const;

  std::string_view text_;
  std::string place_;
  std::vector<std::string> names_;
  std::size_t at_ = 0;
  Index line_ = 1, record_line_ = 1;
};

/// A finite or infinite decimal number, the whole of `text`; false if it is something else. A leading plus is read, hexadecimal is not.
[[nodiscard]] bool parse_number(std::string_view text, double& value);

/// True if `text` is well-formed UTF-8.
[[nodiscard]] bool is_utf8(std::string_view text);

/// The bytes of a file. @throws DataError if it is no readable file, or is larger than 8 GiB
[[nodiscard]] std::string read_csv_text(const std::filesystem::path& path);

/// Text of a file as it may stand in a message: one line, printable, short.
[[nodiscard]] std::string excerpt(std::string_view text);

}  // namespace ffzero
