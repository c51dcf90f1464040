// Principal components of a layer's inputs: label-free statistics of forward passes. Dependency level 2 (map).
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// y_c = <x - mean, v_c> / lambda_c^(power/2), the `components` directions v_c of largest variance lambda_c, signs fixed by their largest
/// entry. State: mean (D), then components (C, D) already scaled. Fitted by begin/absorb/finish; no parameters.
template <class S>
class Pca final : public ForwardMap<S>, public StatefulMap<S> {
 public:
  /// power in [0, 1]: 0 leaves the variances, 1 makes them equal. @throws ConfigError if components > D or < 1.
  Pca(Shape input, Index components, double power);

  [[nodiscard]] Shape input_shape() const override { return input_; }
  [[nodiscard]] Shape output_shape() const override { return {1, 1, components_}; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return "pca"; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;

  [[nodiscard]] std::span<const S> state() const override { return {state_.data(), usize(state_.size())}; }
  [[nodiscard]] std::span<S> state() override { return {state_.data(), usize(state_.size())}; }
  void infer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override { forward(theta, x, y); }
  void begin_statistics() override;
  void absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) override;
  void finish_statistics() override;

 private:
  Shape input_;
  Index components_;
  double power_;
  Vector<S> state_;
  Index count_ = 0;
  Vector<double> sum_;
  Matrix<double> products_;  // of x - shift with itself
  Vector<S> shift_;          // the first sample: keeps the products small
};

extern template class Pca<float>;
extern template class Pca<double>;

}  // namespace ffzero
