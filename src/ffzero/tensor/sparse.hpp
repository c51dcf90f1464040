// Products with matrices that are mostly zero, as images of digits are.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "ffzero/tensor/packed.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// True if skipping the zeros of x makes a product with it faster: by its shape and the number of its zeros, nothing else.
/// Cost: reads x once.
template <class S>
[[nodiscard]] bool mostly_zero(const ConstMatrixRef<S>& x);

/// The entries of a matrix that are not 0, line by line: its rows or its columns. Not-a-number is an entry.
template <class S>
class SparseLines {
 public:
  /// The storage of earlier assignments is kept.
  void assign_rows(const ConstMatrixRef<S>& x);
  void assign_columns(const ConstMatrixRef<S>& x);
  /// For hadamard_nt: every row in 16 lines, by the number of the column modulo 16.
  void assign_classes(const ConstMatrixRef<S>& x);

  [[nodiscard]] Index lines() const noexcept { return lines_; }
  /// Length of a line, zeros included.
  [[nodiscard]] Index length() const noexcept { return length_; }
  [[nodiscard]] Index entries() const noexcept { return ends_.empty() ? 0 : static_cast<Index>(ends_.back()); }

  /// c = x b^T + 1 offset^T, x the matrix whose rows these lines are.   b (N, length), packed for lines   offset (N)   c (lines, N)
  void affine_nt(const PackedOperand<S>& b, std::span<const S> offset, MatrixRef<S> c) const;
  void affine_nt(const ConstMatrixRef<S>& b, std::span<const S> offset, MatrixRef<S> c) const;
  /// c += a^T x, x the matrix whose columns these lines are.   a (length, N)   c (N, lines)
  void add_gemm_tn(const ConstMatrixRef<S>& a, MatrixRef<S> c) const;
  /// Products with the first `directions` rows of a signed Hadamard matrix for little more than one product; after assign_classes(x).
  /// Direction j of theta = {W (outputs, x.cols()), offsets (outputs)} is signs[i] times (-1)^(number of bits of i & j).
  /// p (x.rows(), directions * outputs): columns [j outputs, (j + 1) outputs) = x W_j^T + 1 offsets_j^T
  void hadamard_nt(std::span<const S> signs, Index outputs, Index directions, MatrixRef<S> p) const;

 private:
  using Position = std::conditional_t<sizeof(S) == 4, std::uint32_t, std::uint64_t>;
  void compress(const S* data, Index stride, Index lines, Index length);

  Index lines_ = 0, length_ = 0;
  Index inputs_ = 0;  // of assign_classes
  std::vector<S> values_, transposed_;
  std::vector<Position> positions_;
  std::vector<std::uint32_t> ends_;
};

extern template class SparseLines<float>;
extern template class SparseLines<double>;

}  // namespace ffzero
