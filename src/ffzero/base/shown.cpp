// Text that cannot write over a terminal.
// SPDX-License-Identifier: MIT
#include "ffzero/base/shown.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace ffzero {

namespace {

// Bytes of the UTF-8 character at `at` that a terminal can show; 0: a control character, or no UTF-8.
std::size_t showable_bytes(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(at);
  if (first < 0x80) return first >= 0x20 && first != 0x7F ? 1 : 0;
  const std::size_t size = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(at + i) & 0xC0U) != 0x80U) return 0;
  const bool control = first == 0xC2 && byte(at + 1) < 0xA0;
  return control ? 0 : size;
}

void append_escaped(std::string& line, char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(c);
  if (c == '\n')
    line += "\\n";
  else if (c == '\t')
    line += "\\t";
  else
    line.append("\\x").append({kDigits[code / 16U], kDigits[code % 16U]});
}

}  // namespace

std::string shown(std::string_view text, std::size_t most) {
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    if (line.size() >= most) return line + "... (" + std::to_string(text.size()) + " bytes)";
    const std::size_t bytes = showable_bytes(text, at);
    if (bytes == 0)
      append_escaped(line, text[at]);
    else
      line.append(text.substr(at, bytes));
    at += std::max<std::size_t>(bytes, 1);
  }
  return line;
}

std::string shown_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

}  // namespace ffzero
