// The two synthetic regression problems.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "ffzero/dataset/dataset.hpp"

namespace ffzero {

/// sin x0 + cos x1.                                                                                    [spec section 2]
[[nodiscard]] double function1(std::span<const double, 2> x) noexcept;
/// exp(x0) sin x1 + x2 cos x3 - x4 x0.                                                                 [spec section 2]
[[nodiscard]] double function2(std::span<const double, 5> x) noexcept;

/// 10,000 training and 2,000 test points, x uniform in (-1, 1)^D with D = 2 and 5. The train targets carry Gaussian noise of 0.05 times
/// their standard deviation; both splits are scaled by the range of the noisy train targets, so test targets may leave [-1, 1] a little.
[[nodiscard]] Splits make_function1(std::uint64_t seed);
[[nodiscard]] Splits make_function2(std::uint64_t seed);

}  // namespace ffzero
