// Dense (fully connected) layer.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/dense_layout.hpp"
#include "ffzero/map/linear_map.hpp"

namespace ffzero {

/// z = W x + b.  theta: W row-major (H, D), then b (H).  x (B, D)   z (B, H)
/// groups = G splits the H outputs into G equal ranges; each range, with its rows of W and b, is a parameter group of its own.
/// Initial values: uniform in +-1/sqrt(D). With skip_zeros, inputs that are mostly zero are multiplied
/// without their zeros: the same sums in another order.
template <class S>
class Dense final : public AdjointMap<S>, public LinearMap<S> {
 public:
  /// @throws ConfigError if a size is below 1 or G does not divide H.
  Dense(Shape input, Index outputs, Index groups = 1, bool skip_zeros = true);

  [[nodiscard]] Shape input_shape() const override { return input_; }
  [[nodiscard]] Shape output_shape() const override { return {1, 1, outputs_}; }
  [[nodiscard]] Index parameter_count() const override { return outputs_ * (inputs_ + 1); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return dense_layout(inputs_, outputs_, groups_); }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return "dense"; }

  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void forward_stacked(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                       MatrixRef<S> p) const override;
  [[nodiscard]] std::unique_ptr<StackedProduct<S>> stacked_product() const override;
  [[nodiscard]] bool serves_hadamard(Index m) const override;
  void forward_hadamard(std::span<const S> theta, std::span<const S> signs, Index m, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                        MatrixRef<S> p) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;
  [[nodiscard]] Index gradient_pieces() const override;
  void add_gradient_piece(Index piece, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gy, std::span<S> gtheta) const override;

 private:
  class Product;
  [[nodiscard]] bool skips_zeros_of(const ConstMatrixRef<S>& x) const;

  Shape input_;
  Index inputs_, outputs_, groups_;
  bool skip_zeros_;
};

extern template class Dense<float>;
extern template class Dense<double>;

}  // namespace ffzero
