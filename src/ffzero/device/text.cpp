// Foreign text and numbers on the wire.
// SPDX-License-Identifier: MIT
#include "ffzero/device/text.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>

namespace ffzero {

namespace {

constexpr std::size_t kLongestLogLine = 200;

bool printable(char c) { return c >= ' ' && c <= '~'; }

constexpr std::array<std::uint16_t, 256> crc16_table() {
  std::array<std::uint16_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1) ^ 0x1021U : crc << 1;
    table[byte] = static_cast<std::uint16_t>(crc);
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> crc32_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? (crc >> 1) ^ 0xEDB88320U : crc >> 1;
    table[byte] = crc;
  }
  return table;
}

constexpr auto kCrc16 = crc16_table();
constexpr auto kCrc32 = crc32_table();

template <class T>
std::optional<T> parse_real(std::string_view token) noexcept {
  if (token.starts_with('+')) {
    token.remove_prefix(1);
    if (token.starts_with('-')) return std::nullopt;
  }
  if (token.empty()) return std::nullopt;
  T value{};
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (end != token.data() + token.size()) return std::nullopt;
  if (error == std::errc()) return value;
  if (error != std::errc::result_out_of_range) return std::nullopt;
  // Beyond the type, on which side the exponent's sign says: 1e-60 is a detector in the dark, not an error.
  const auto exponent = token.find_first_of("eE");
  const bool tiny = exponent != std::string_view::npos ? token.substr(exponent + 1).starts_with('-') : token.find('.') < 3;
  const T magnitude = tiny ? T(0) : std::numeric_limits<T>::infinity();
  return token.front() == '-' ? -magnitude : magnitude;
}

}  // namespace

std::string clean_text(std::string_view foreign, std::size_t longest) {
  std::string clean(foreign.substr(0, longest));
  for (char& c : clean)
    if (!printable(c)) c = '?';
  if (foreign.size() > longest) clean += "...";
  return clean;
}

std::string_view next_token(std::string_view& rest) noexcept {
  const auto begin = rest.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    rest = {};
    return {};
  }
  const auto end = std::min(rest.find_first_of(" \t", begin), rest.size());
  const std::string_view token = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return token;
}

std::optional<float> parse_number(std::string_view token) noexcept { return parse_real<float>(token); }
std::optional<double> parse_double(std::string_view token) noexcept { return parse_real<double>(token); }

std::optional<std::int64_t> parse_count(std::string_view token, std::int64_t largest) noexcept {
  std::int64_t value = 0;
  if (token.empty() || token.front() == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc() || end != token.data() + token.size() || value > largest) return std::nullopt;
  return value;
}

void append_number(std::string& out, float value) {
  char text[32];
  const auto done = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 9);
  out.append(text, done.ptr);
}

std::string number_text(double value) {
  std::string text;
  append_number(text, static_cast<float>(value));
  return text;
}

std::uint16_t crc16(std::string_view bytes) noexcept {
  unsigned crc = 0xFFFF;
  for (const char c : bytes) crc = ((crc << 8) ^ kCrc16[((crc >> 8) ^ static_cast<unsigned char>(c)) & 0xFFU]) & 0xFFFFU;
  return static_cast<std::uint16_t>(crc);
}

std::uint32_t crc32_of(std::string_view bytes) noexcept {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) crc = (crc >> 8) ^ kCrc32[(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
  return ~crc;
}

void ForeignLog::add(std::string_view line) {
  ++count_;
  lines_.push_back(clean_text(line, kLongestLogLine));
  if (lines_.size() > kLines) lines_.pop_front();
}

void ForeignLog::add_stream(std::string_view bytes) {
  for (const char c : bytes) {
    if (c == '\r') continue;
    if (c == '\n' || open_.size() >= kLongestLogLine) {
      if (!open_.empty()) add(open_);
      open_.clear();
    }
    if (c != '\n') open_ += c;
  }
}

std::string ForeignLog::last() const {
  if (open_.find_first_not_of(' ') != std::string::npos) return clean_text(open_, kLongestLogLine);
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line)
    if (line->find_first_not_of(' ') != std::string::npos) return *line;
  return {};
}

}  // namespace ffzero
