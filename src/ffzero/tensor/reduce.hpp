// Sums over vectors, accumulated in double. Dependency level 1 (tensor).
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

namespace ffzero {

/// Sum of the squares of v, in double, in an order that depends on the size of v and the type of the processor alone.
[[nodiscard]] double squared_norm(std::span<const float> v);
[[nodiscard]] double squared_norm(std::span<const double> v);

}  // namespace ffzero
