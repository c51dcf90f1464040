// The directional estimator: losses at parameters moved a little forwards and backwards. Dependency level 2 (gradient).
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/gradient/directions.hpp"
#include "ffzero/gradient/function.hpp"
#include "ffzero/tensor/aligned_matrix.hpp"

namespace ffzero {

struct DirectionalOptions {
  Index directions = 1;  ///< m >= 1
  double eps = 1e-3;     ///< length of the step along each unit direction, > 0
  Distribution distribution = Distribution::gaussian;
};

/// g_u = size(u) / m  sum_j  (L(theta + eps d_j) - L(theta - eps d_j)) / (2 eps)  d_j   for every unit u, with the difference of its group:
/// an unbiased estimate of the gradient as eps -> 0  [spec.md section 5]. Plain descent on it is the reference's P-scaled step.
template <class S>
class Directional {
 public:
  /// @throws ConfigError if an option is out of range.
  explicit Directional(const DirectionalOptions& options);

  /// gradient (dimension), overwritten; parameters of no unit get 0. Returns the loss of the log. Cost: 2 m evaluations of the batch.
  double estimate(const ScalarFunction<S>& f, std::span<const S> theta, const RandomStream& random, const Executor& executor,
                  std::span<S> gradient);

  /// The same from directions (m, dimension) of the caller.
  double estimate_along(const ScalarFunction<S>& f, std::span<const S> theta, const ConstMatrixRef<S>& directions, const Executor& executor,
                        std::span<S> gradient);

 private:
  /// Adds every direction's share to a piece of one unit.
  void add_piece(const Segment& piece, const Unit& unit, const ConstMatrixRef<S>& directions, std::span<S> gradient) const;

  DirectionalOptions options_;
  AlignedMatrix<S> directions_;  // kept between steps: no allocation in a step
  Differences differences_;
};

extern template class Directional<float>;
extern template class Directional<double>;

}  // namespace ffzero
