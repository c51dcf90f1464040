// What stands before a layer: fixed axes fitted to its inputs without labels.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/executor.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// y_c = <x - mean, v_c> / variance_c^(power/2) along `components` orthonormal directions v_c. State: mean (D), then the directions (C, D),
/// already scaled. Fitted by begin/absorb/finish on forward activations; no parameters. Where the inputs vary along fewer than `components`
/// directions, the rest of y is 0.
template <class S>
class FrontEnd : public ForwardMap<S>, public StatefulMap<S> {
 public:
  [[nodiscard]] Shape input_shape() const override { return input_; }
  [[nodiscard]] Shape output_shape() const override { return {1, 1, components_}; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;

  [[nodiscard]] std::span<const S> state() const override { return {state_.data(), usize(state_.size())}; }
  [[nodiscard]] std::span<S> state() override { return {state_.data(), usize(state_.size())}; }
  void infer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override { forward(theta, x, y); }
  /// absorb() of each of these batches (N_b, D) in their order, to the same bits. Where statistics are sums, threads of `executor` share
  /// out the batches. Cost: as absorb().
  virtual void absorb_many(std::span<const Matrix<S>> batches, const Executor& /*executor*/) {
    for (const Matrix<S>& x : batches) this->absorb({}, x);
  }

 protected:
  /// power in [0, 1]: 0 leaves the variances, 1 makes them equal. @throws ConfigError if components > D or < 1.
  FrontEnd(Shape input, Index components, double power);
  void set_mean(const Vector<double>& mean) { state_.head(input_.size()) = mean.cast<S>(); }
  /// The variance that a direction must exceed to be a component, given the largest one. After set_mean.
  /// @throws DataError if inputs are constant up to the rounding of S: then there is no component at all.
  [[nodiscard]] double least_variance(double largest) const;
  /// axis (D): a unit vector; variance of the inputs along it. Not above `least`: the inputs do not vary along it, and the component is 0
  /// for every sample.
  void set_axis(Index component, Vector<double> axis, double variance, double least);

 private:
  Shape input_;
  Index components_;
  double power_;
  Vector<S> state_;
};

extern template class FrontEnd<float>;
extern template class FrontEnd<double>;

}  // namespace ffzero
