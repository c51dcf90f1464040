// Length normalisation between layers.
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

enum class NormaliseKind { none, length, centre_length };

/// "none", "length" or "centre_length". @throws ConfigError (place "model.normalise") for any other word.
[[nodiscard]] NormaliseKind normalise_kind(std::string_view word);
[[nodiscard]] std::string_view to_string(NormaliseKind kind) noexcept;

/// length: y = x / |x|;  centre_length: y = (x - mean x) / |x - mean x|, row by row; no parameters.
/// A zero (or, centred, a constant) row gives a zero row with zero slope, never NaN. Sums in double. groups = G: each of G equal ranges
/// of the outputs is normalised by itself, so that a group of outputs never sees the parameters of another.
/// x, y (B, shape.size()); no forward evaluation of its own.
template <class S>
class Normalise final : public AdjointMap<S> {
 public:
  /// groups must divide the size of a sample. @throws ConfigError (place "model.groups")
  Normalise(Shape shape, NormaliseKind function, Index groups = 1);

  [[nodiscard]] Shape input_shape() const override { return shape_; }
  [[nodiscard]] Shape output_shape() const override { return shape_; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return "normalise"; }
  [[nodiscard]] NormaliseKind function() const noexcept { return function_; }
  [[nodiscard]] Index groups() const noexcept { return groups_; }

  /// @throws ShapeError if sizes do not fit
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

 private:
  Shape shape_;
  NormaliseKind function_;
  Index groups_;
};

extern template class Normalise<float>;
extern template class Normalise<double>;

}  // namespace ffzero
