// Element-wise nonlinearity between layers.
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

enum class ActivationKind { none, relu, tanh };

/// "none", "relu" or "tanh". @throws ConfigError (place "model.activation") for any other word.
[[nodiscard]] ActivationKind activation_kind(std::string_view word);
[[nodiscard]] std::string_view to_string(ActivationKind kind) noexcept;

/// y = max(0, x), tanh x or x, entry by entry; no parameters. The slope of relu at 0 is 0. NaN stays NaN.
/// x, y (B, shape.size()); no forward evaluation of its own.
template <class S>
class Activation final : public AdjointMap<S> {
 public:
  Activation(Shape shape, ActivationKind function) : shape_(shape), function_(function) {}

  [[nodiscard]] Shape input_shape() const override { return shape_; }
  [[nodiscard]] Shape output_shape() const override { return shape_; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return std::string(to_string(function_)); }
  [[nodiscard]] ActivationKind function() const noexcept { return function_; }

  /// @throws ShapeError if sizes do not fit
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

 private:
  Shape shape_;
  ActivationKind function_;
};

extern template class Activation<float>;
extern template class Activation<double>;

}  // namespace ffzero
