// Foreign text and numbers on the wire.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace ffzero {

/// What a device says, fit for messages, logs and pages: bytes outside printable ASCII become '?', at most `longest` characters are kept.
[[nodiscard]] std::string clean_text(std::string_view foreign, std::size_t longest = 200);

/// The next token of `rest`, which is shortened; empty at the end. Blanks and tabs separate.
[[nodiscard]] std::string_view next_token(std::string_view& rest) noexcept;

/// A whole token as binary32: decimal point, optional sign and exponent, nan and inf in any case. Too large: infinite, too small: zero.
[[nodiscard]] std::optional<float> parse_number(std::string_view token) noexcept;
/// The same in double, for limits and times.
[[nodiscard]] std::optional<double> parse_double(std::string_view token) noexcept;
/// A whole number without a sign, at most `largest`.
[[nodiscard]] std::optional<std::int64_t> parse_count(std::string_view token, std::int64_t largest) noexcept;

/// Appends %.9g, whatever the locale: reading it gives the same bits.
void append_number(std::string& out, float value);
/// The same by itself, for messages.
[[nodiscard]] std::string number_text(double value);

/// CRC-16/CCITT-FALSE: "123456789" gives 0x29B1.
[[nodiscard]] std::uint16_t crc16(std::string_view bytes) noexcept;
/// CRC-32 of zlib and Ethernet: "123456789" gives 0xCBF43926.
[[nodiscard]] std::uint32_t crc32_of(std::string_view bytes) noexcept;

/// Lines that are no protocol: cleaned, the last few kept, the rest counted.
class ForeignLog {
 public:
  static constexpr std::size_t kLines = 200;

  /// One whole line.
  void add(std::string_view line);
  /// A piece of a stream; lines end at \\n or after 200 characters.
  void add_stream(std::string_view bytes);

  [[nodiscard]] const std::deque<std::string>& lines() const noexcept { return lines_; }
  /// All lines so far, those that were dropped included.
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  /// The last line that says something, an unfinished one included; empty if there is none.
  [[nodiscard]] std::string last() const;

 private:
  std::deque<std::string> lines_;
  std::string open_;
  std::int64_t count_ = 0;
};

}  // namespace ffzero
