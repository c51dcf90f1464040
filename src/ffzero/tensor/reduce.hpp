// Sums over vectors, accumulated in double.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

namespace ffzero {

/// Sum of the squares of v, in double, in an order that depends on the size of v and the type of the processor alone.
[[nodiscard]] double squared_norm(std::span<const float> v);
[[nodiscard]] double squared_norm(std::span<const double> v);
/// Sum and sum of squares.
struct Moments {
  double sum = 0.0, squares = 0.0;
};
/// Of v, in one pass, in the same order as squared_norm.
[[nodiscard]] Moments moments(std::span<const float> v);
[[nodiscard]] Moments moments(std::span<const double> v);
/// Sum of (v - centre)^2, in double, in an order that depends on the size of v and the type of the processor alone.
[[nodiscard]] double squared_distance(std::span<const float> v, double centre);
[[nodiscard]] double squared_distance(std::span<const double> v, double centre);
/// <a, b>, summed in double; of the shorter length.
[[nodiscard]] double inner_product(std::span<const float> a, std::span<const float> b);
[[nodiscard]] double inner_product(std::span<const double> a, std::span<const double> b);

}  // namespace ffzero
