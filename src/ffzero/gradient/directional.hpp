// The directional estimator: losses at parameters moved a little forwards and backwards.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/gradient/directions.hpp"
#include "ffzero/gradient/function.hpp"
#include "ffzero/tensor/aligned_matrix.hpp"

namespace ffzero {

/// How m measured slopes s_j along directions d_j become one gradient.
enum class Aggregation {
  average,  ///< size / m  sum_j s_j d_j: unbiased; its length grows with the number of parameters
  aligned,  ///< least squares: the shortest g with <g, d_j> = s_j for all j, times size / m while m is smaller. Never noisier in its
            ///< direction than the average; the same for orthogonal directions; exact once the directions span everything
};
[[nodiscard]] std::string to_string(Aggregation a);

struct DirectionalOptions {
  Index directions = 1;  ///< m >= 1
  double eps = 1e-3;     ///< length of the step along each unit direction, > 0
  Distribution distribution = Distribution::gaussian;
  Aggregation aggregation = Aggregation::average;
  double recycle = 0.0;  ///< in [0, 1]: share of each measured surprise that the memory of past slopes takes over; 0: no memory
};

/// g_u = size(u) / m  sum_j  (L(theta + eps d_j) - L(theta - eps d_j)) / (2 eps)  d_j   for every unit u, with the difference of its group:
/// an unbiased estimate of the gradient as eps -> 0  [docs/notation.md, Gradient]. Plain descent on it is the reference's P-scaled step.
///
/// With memory c (recycle = kappa > 0): s_j gives way to its surprise s_j - <c, d_j>, and the estimate is c + the sum above: unbiased
/// whatever c is, and less noisy the closer c is to the gradient. Then c moves kappa of the way towards agreeing with the new slopes.
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

  [[nodiscard]] const DirectionalOptions& options() const noexcept { return options_; }
  /// Pairs of losses that the last estimate was made of: fewer than asked for where an instrument could not measure them. 0: the estimate
  /// is a gradient of zeros and a loss that is not a number.
  [[nodiscard]] Index pairs() const { return differences_.pairs(); }
  /// @throws ConfigError unless eps > 0
  void set_eps(double eps);

  /// Starts a memory of zeros for a function of `dimension` parameters; nothing without recycle.
  void start_memory(Index dimension);
  /// (dimension), or empty without recycle: what a checkpoint needs besides theta.
  [[nodiscard]] std::span<S> memory() noexcept { return as_span(memory_); }

 private:
  void subtract_expected(const ParameterLayout& layout, const ConstMatrixRef<S>& directions, const Executor& executor);
  void weigh(const ParameterLayout& layout, const ConstMatrixRef<S>& directions);
  void align(const ParameterLayout& layout, const ConstMatrixRef<S>& directions);
  /// The estimate from differences_ along the rows of a signed Hadamard matrix.
  void combine_hadamard(const ParameterLayout& layout, std::span<const S> signs, const Executor& executor, std::span<S> gradient) const;
  /// Adds every direction's share to a piece of one unit.
  void add_piece(const Segment& piece, std::size_t unit, Index group, const ConstMatrixRef<S>& directions, std::span<S> gradient);

  DirectionalOptions options_;
  AlignedMatrix<S> directions_;  // kept between steps: no allocation in a step
  Differences differences_;
  Matrix<double> weights_;   // (m, units): coefficient of each direction in the estimate
  Matrix<double> surprise_;  // (m, groups): coefficient of each direction in what the memory learns
  Vector<S> memory_;
};

extern template class Directional<float>;
extern template class Directional<double>;

}  // namespace ffzero
