// Shape of one sample as it travels between layers.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// A sample is `channels` planes of `height` x `width` numbers, row-major, plane after plane. A plain vector of n features
/// is {1, 1, n}; a complex field on n waveguides is {2, 1, n}: first all real parts, then all imaginary parts.
struct Shape {
  Index channels = 1;
  Index height = 1;
  Index width = 0;

  [[nodiscard]] constexpr Index size() const noexcept { return channels * height * width; }
  friend constexpr bool operator==(const Shape&, const Shape&) = default;
};

/// "784", "1x28x28" or "2x1x64": as it stands in messages and in summaries.
[[nodiscard]] inline std::string to_string(const Shape& s) {
  if (s.channels == 1 && s.height == 1) return std::to_string(s.width);
  return std::to_string(s.channels) + "x" + std::to_string(s.height) + "x" + std::to_string(s.width);
}

}  // namespace ffzero
