// Text of others in our messages.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ffzero {

/// `text` as a line on a terminal can show it: control characters (line breaks, escape sequences) and bytes that are no UTF-8 become \n,
/// \t or \x1b; what is longer than `most` bytes is cut, with its size in bytes behind it. Every part of an error_line is shown like this.
[[nodiscard]] std::string shown(std::string_view text, std::size_t most = 400);

/// A number in at most six digits, with an exponent where it is very large or small: "0.5", "1e+300", "nan".
[[nodiscard]] std::string shown_number(double value);

}  // namespace ffzero
