// Max pooling.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

/// Largest value of each size x size window, a window every `stride` pixels (smaller than the size: overlapping); what does not fill a
/// window is left out (floor). size 0: the identity. The slope goes to the first of equal maxima, in row-major order.
/// A NaN in the window gives NaN. x (B, C H W)   y (B, C H' W'); no parameters, no forward evaluation of its own.
template <class S>
class MaxPool final : public AdjointMap<S> {
 public:
  /// @throws ConfigError (model.conv.pool, model.conv.pool_stride) if a window does not fit the planes or the stride is below 1
  MaxPool(Shape input, Index size, Index stride);

  [[nodiscard]] Shape input_shape() const override { return input_; }
  [[nodiscard]] Shape output_shape() const override { return output_; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return "max_pool"; }
  [[nodiscard]] Index size() const noexcept { return size_; }  ///< 0: the identity
  [[nodiscard]] Index stride() const noexcept { return stride_; }

  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

 private:
  void pool_plane(const S* plane, S* line, S* out) const;
  [[nodiscard]] Index window_maximum(const S* plane, Index i, Index k) const;

  Shape input_, output_;
  Index size_, stride_;
};

extern template class MaxPool<float>;
extern template class MaxPool<double>;

}  // namespace ffzero
