// What an estimator may ask of a loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// L+ - L- of every direction and group, and what a training log gets for free.
struct Differences {
  Matrix<double> delta;    ///< (m, groups): L_g(theta + eps d_j) - L_g(theta - eps d_j)
  double mean_loss = 0.0;  ///< mean over the directions of (L+ + L-) / 2, summed over the groups
  bool may_miss = false;   ///< said by the caller: pairs whose losses an instrument could not measure may be left out
  /// (m): false for a pair that was left out, whose delta is 0 and says nothing; empty: all are there. A pair that lost some samples of
  /// the batch has the mean difference of the others.
  std::vector<bool> came;

  /// How many of the m pairs are there.
  [[nodiscard]] Index pairs() const { return came.empty() ? delta.rows() : static_cast<Index>(std::count(came.begin(), came.end(), true)); }
};

/// The loss of one block on one batch, as a function of the block's parameters: values only. All fast paths hide behind `differences`.
template <class S>
class ScalarFunction {
 public:
  virtual ~ScalarFunction() = default;
  /// Groups, units and fixed parameters of theta.
  [[nodiscard]] virtual const ParameterLayout& layout() const = 0;
  [[nodiscard]] virtual Index dimension() const = 0;

  /// losses (groups), overwritten: the loss of every group at theta (dimension). Cost: one forward evaluation of the batch.
  virtual void values(std::span<const S> theta, std::span<double> losses) const = 0;

  /// directions (m, dimension), eps > 0. theta is never changed. Default: 2 m calls of values at fresh copies theta +- eps d_j.
  /// Cost: 2 m forward evaluations of the batch, whatever shortcut computes them; joint losses over G groups: 2 m G.
  virtual void differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const;

  /// True if hadamard_differences is faster than differences for m directions.
  [[nodiscard]] virtual bool serves_hadamard(Index m) const {
    static_cast<void>(m);
    return false;
  }
  /// differences for directions d_j[i] = signs[i] (-1)^(number of bits of i & j), j < m, which are then never written down. Default:
  /// writes them down.   signs (dimension)
  virtual void hadamard_differences(std::span<const S> theta, std::span<const S> signs, Index m, double eps, Differences& out) const;
};

/// The loss at theta (dimension), summed over the groups. Cost: one forward evaluation of the batch.
template <class S>
[[nodiscard]] double total_loss(const ScalarFunction<S>& f, std::span<const S> theta);

/// A loss that also knows its exact gradient.
template <class S>
class DifferentiableFunction {
 public:
  virtual ~DifferentiableFunction() = default;
  /// gradient (dimension), overwritten with the gradient of the sum of the groups' losses; returns that sum. Cost: one forward
  /// evaluation of the batch; its pullbacks are counted apart.
  virtual double value_and_gradient(std::span<const S> theta, std::span<S> gradient) const = 0;
};

extern template class ScalarFunction<float>;
extern template class ScalarFunction<double>;

}  // namespace ffzero
