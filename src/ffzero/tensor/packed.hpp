// The right-hand side of many products, packed once.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/tensor/aligned_matrix.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// b (N, length) of x b^T in the order in which our kernels read it. Packed once a step, it serves every piece of a batch, on any thread.
template <class S>
class PackedOperand {
 public:
  /// rows: for products with dense rows (`affine_nt` below). lines: for those of SparseLines.
  enum class Use { rows, lines };

  /// Packs b, keeping the storage if it suffices.
  void assign(const ConstMatrixRef<S>& b, Use use);

  [[nodiscard]] Index outputs() const noexcept { return outputs_; }
  [[nodiscard]] Index length() const noexcept { return length_; }
  [[nodiscard]] Use use() const noexcept { return use_; }
  [[nodiscard]] const S* data() const noexcept { return data_; }

  /// c = x b^T + 1 offset^T, for short lengths.   x (B, length)   offset (N) or empty: 0   c (B, N)   @throws ShapeError
  void affine_nt(const ConstMatrixRef<S>& x, std::span<const S> offset, MatrixRef<S> c) const;

 private:
  void resize(Index outputs, Index length, Use use);
  [[nodiscard]] Index pieces() const noexcept;
  void pack_piece(const ConstMatrixRef<S>& b, Index piece);

  Index outputs_ = 0, length_ = 0;
  Use use_ = Use::rows;
  AlignedMatrix<S> storage_;
  S* data_ = nullptr;
};

/// True for shapes that a PackedOperand multiplies faster than the BLAS does, packing included: the length is short.
[[nodiscard]] constexpr bool worth_packing(Index outputs, Index length) noexcept { return outputs >= 8 && length < 256; }

extern template class PackedOperand<float>;
extern template class PackedOperand<double>;

}  // namespace ffzero
