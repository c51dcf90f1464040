// Lines without their zeros.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/sparse.hpp"

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/sparse_kernel-inl.hpp"

namespace ffzero {

namespace {

// Below, packing the other operand costs more than the zeros.
constexpr Index kLeastRows = 8, kLeastColumns = 64;
// An entry of a sparse product costs about twice what one of a dense product does.
constexpr double kLargestShare = 0.4;

template <class V>
void grow(V& v, Index size) {
  if (isize(v.size()) < size) v.resize(usize(size));
}

void require(bool fits, const char* what) {
  if (!fits) throw ShapeError("sparse product", what);
}

}  // namespace

template <class S>
bool mostly_zero(const ConstMatrixRef<S>& x) {
  if (x.rows() < kLeastRows || x.cols() < kLeastColumns) return false;
  const Index entries = sparse_kernel::count(sparse_kernel::View<S>{x.data(), x.outerStride()}, x.rows(), x.cols());
  return static_cast<double>(entries) <= kLargestShare * static_cast<double>(x.size());
}

template <class S>
void SparseLines<S>::compress(const S* data, Index stride, Index lines, Index length) {
  lines_ = lines;
  length_ = length;
  grow(values_, lines * length + sparse_kernel::kSlack);
  grow(positions_, lines * length + sparse_kernel::kSlack);
  ends_.resize(usize(lines * sparse_kernel::pieces_of(length) + 1));
  sparse_kernel::compress(sparse_kernel::View<S>{data, stride}, lines, length, values_.data(), positions_.data(), ends_.data());
}

template <class S>
void SparseLines<S>::assign_rows(const ConstMatrixRef<S>& x) {
  compress(x.data(), x.outerStride(), x.rows(), x.cols());
}

template <class S>
void SparseLines<S>::assign_columns(const ConstMatrixRef<S>& x) {
  grow(transposed_, x.size());
  sparse_kernel::transpose(sparse_kernel::View<S>{x.data(), x.outerStride()}, x.rows(), x.cols(), transposed_.data());
  compress(transposed_.data(), x.rows(), x.cols(), x.rows());
}

template <class S>
void SparseLines<S>::assign_classes(const ConstMatrixRef<S>& x) {
  constexpr Index kPiece = sparse_kernel::kPiece;
  const Index stride = (x.cols() / sparse_kernel::kClasses + kPiece) / kPiece * kPiece, lines = x.rows() * sparse_kernel::kClasses;
  grow(transposed_, lines * stride);
  sparse_kernel::split_classes(sparse_kernel::View<S>{x.data(), x.outerStride()}, x.rows(), x.cols(), stride, transposed_.data());
  compress(transposed_.data(), stride, lines, stride);
  inputs_ = x.cols();
}

template <class S>
void SparseLines<S>::affine_nt(const ConstMatrixRef<S>& b, std::span<const S> offset, MatrixRef<S> c) const {
  static thread_local PackedOperand<S> packed;  // kept between calls: no allocation in a step
  packed.assign(b, PackedOperand<S>::Use::lines);
  affine_nt(packed, offset, c);
}

template <class S>
void SparseLines<S>::affine_nt(const PackedOperand<S>& b, std::span<const S> offset, MatrixRef<S> c) const {
  require(b.use() == PackedOperand<S>::Use::lines, "the operand must be packed for lines");
  require(b.length() == length_ && isize(offset.size()) == b.outputs(), "the inner sizes must agree");
  require(c.rows() == lines_ && c.cols() == b.outputs(), "the result must have a row for each line and a column for each output");
  const sparse_kernel::Lines<S> x{lines_, length_, values_.data(), positions_.data(), ends_.data()};
  sparse_kernel::affine_lines(x, b.data(), b.outputs(), offset.data(), c.data(), c.outerStride());
}

template <class S>
void SparseLines<S>::add_gemm_tn(const ConstMatrixRef<S>& a, MatrixRef<S> c) const {
  require(a.rows() == length_, "the inner sizes must agree");
  require(c.rows() == a.cols() && c.cols() == lines_, "the result must have a row for each output and a column for each line");
  const sparse_kernel::Lines<S> x{lines_, length_, values_.data(), positions_.data(), ends_.data()};
  sparse_kernel::add_tn(sparse_kernel::View<S>{a.data(), a.outerStride()}, a.cols(), x, c.data(), c.outerStride());
}

template <class S>
void SparseLines<S>::hadamard_nt(std::span<const S> signs, Index outputs, Index directions, MatrixRef<S> p) const {
  require(isize(signs.size()) == outputs * (inputs_ + 1), "one sign for each weight and offset");
  require(p.rows() * sparse_kernel::kClasses == lines_ && p.cols() == directions * outputs,
          "the result must have a row for each sample and a column for each direction and output");
  const sparse_kernel::Lines<S> x{lines_, length_, values_.data(), positions_.data(), ends_.data()};
  sparse_kernel::hadamard_nt(x, inputs_, signs.data(), outputs, directions, p.data(), p.outerStride());
}

template bool mostly_zero<float>(const ConstMatrixRef<float>&);
template bool mostly_zero<double>(const ConstMatrixRef<double>&);
template class SparseLines<float>;
template class SparseLines<double>;

}  // namespace ffzero
