// Packed operands.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/packed.hpp"

#include <algorithm>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/sparse_kernel-inl.hpp"

namespace ffzero {

namespace {

/// Inputs of a piece.
constexpr Index kPieceLength = 128;

template <class S>
sparse_kernel::Packing packing_of(const PackedOperand<S>& b) {
  const bool lines = b.use() == PackedOperand<S>::Use::lines;
  return {.outputs = b.outputs(), .length = b.length(), .use = lines ? sparse_kernel::Use::lines : sparse_kernel::Use::rows};
}

}  // namespace

template <class S>
void PackedOperand<S>::resize(Index outputs, Index length, Use use) {
  outputs_ = outputs;
  length_ = length;
  use_ = use;
  storage_.resize(1, sparse_kernel::packed_size(packing_of(*this)));
  data_ = storage_.view().data();
}

template <class S>
Index PackedOperand<S>::pieces() const noexcept {
  return divide_up(length_, kPieceLength);
}

template <class S>
void PackedOperand<S>::pack_piece(const ConstMatrixRef<S>& b, Index piece) {
  if (b.rows() != outputs_ || b.cols() != length_) throw ShapeError("packed operand", "must have the size that was made room for");
  const Index first = piece * kPieceLength;
  sparse_kernel::pack(sparse_kernel::View<S>{b.data(), b.outerStride()}, packing_of(*this), first, std::min(length_, first + kPieceLength),
                      data_);
}

template <class S>
void PackedOperand<S>::assign(const ConstMatrixRef<S>& b, Use use) {
  resize(b.rows(), b.cols(), use);
  for (Index i = 0; i < pieces(); ++i) pack_piece(b, i);
}

template <class S>
void PackedOperand<S>::affine_nt(const ConstMatrixRef<S>& x, std::span<const S> offset, MatrixRef<S> c) const {
  if (use_ != Use::rows) throw ShapeError("packed product", "an operand that is packed for rows");
  if (x.cols() != length_ || (!offset.empty() && isize(offset.size()) != outputs_))
    throw ShapeError("packed product", "the inner sizes must agree");
  if (c.rows() != x.rows() || c.cols() != outputs_) throw ShapeError("packed product", "the result must have a column for each output");
  sparse_kernel::affine_rows(sparse_kernel::View<S>{x.data(), x.outerStride()}, x.rows(), length_, data_, outputs_,
                             offset.empty() ? nullptr : offset.data(), c.data(), c.outerStride());
}

template class PackedOperand<float>;
template class PackedOperand<double>;

}  // namespace ffzero
