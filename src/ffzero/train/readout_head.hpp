// A digital linear readout that learns together with the layer in front of it.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/head/head.hpp"

namespace ffzero {

/// scores = temperature (f W^T + b), f = z divided by its mean: powers on the sample's own scale; a zero z gives scores 0. The loss divides
/// by the same temperature, so that it sees f W^T + b. W and b are the head's state and change in training, by readings alone; while a
/// gradient of the layer is estimated they stand still.
template <class S>
class ReadoutHead final : public Head<S> {
 public:
  /// prototypes (K, d): where W starts, scaled so that fully developed speckle gives about the similarities; b starts at 0.
  ReadoutHead(const Matrix<double>& prototypes, double temperature);

  [[nodiscard]] std::string kind() const override { return "readout"; }
  [[nodiscard]] Index input_size() const override { return weights_.cols() - 1; }
  [[nodiscard]] Index classes() const override { return weights_.rows(); }
  [[nodiscard]] Index groups() const override { return 1; }
  void scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const override;
  void pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const override;
  /// gradient (K, d + 1), overwritten: of the loss in W and b, b in the last column, given gs (B, K) = its gradient in the scores.
  void weight_gradient(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gradient) const;
  [[nodiscard]] std::span<const S> state() const override { return {weights_.data(), usize(weights_.size())}; }
  [[nodiscard]] std::span<S> state() override { return {weights_.data(), usize(weights_.size())}; }

 private:
  Matrix<S> weights_;  // (K, d + 1)
  S temperature_;
};

extern template class ReadoutHead<float>;
extern template class ReadoutHead<double>;

}  // namespace ffzero
