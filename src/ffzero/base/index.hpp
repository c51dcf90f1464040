// The signed size type of the whole library.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ffzero {

/// Sizes and positions; signed, so that differences and descending loops are safe.
using Index = std::ptrdiff_t;

/// Signed to unsigned at the borders to the standard library.
[[nodiscard]] constexpr std::size_t usize(Index i) noexcept { return static_cast<std::size_t>(i); }

/// Unsigned to signed, for sizes of standard containers.
[[nodiscard]] constexpr Index isize(std::size_t i) noexcept { return static_cast<Index>(i); }

/// How many pieces of `size` hold `count` things; the last one may have fewer. As the steps of an epoch.   count >= 0   size >= 1
[[nodiscard]] constexpr Index divide_up(Index count, Index size) noexcept { return (count + size - 1) / size; }

}  // namespace ffzero
