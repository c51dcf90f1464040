// Principal components by the eigenvectors of the covariance.
// SPDX-License-Identifier: MIT
#include "ffzero/map/pca.hpp"

#include <algorithm>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/hermitian.hpp"

namespace ffzero {

namespace {
constexpr Index kAddedRows = 32;  // rows of the triangle that a thread adds at a time
}  // namespace

template <class S>
void Pca<S>::begin_statistics() {
  const Index d = this->input_shape().size();
  count_ = 0;
  sum_.setZero(d);
  products_.setZero(d, d);
}

template <class S>
auto Pca<S>::sums_of(const ConstMatrixRef<S>& x) const -> Sums {
  Sums sums{.values = Vector<double>::Zero(x.cols()), .products = Matrix<S>::Zero(x.cols(), x.cols())};
  if (x.rows() == 0) return sums;
  const Matrix<S> shifted = x.rowwise() - shift_.transpose();
  gram_tn<S>(shifted, sums.products);
  for (Index r = 0; r < x.rows(); ++r) sums.values += shifted.row(r).transpose().template cast<double>();
  return sums;
}

template <class S>
void Pca<S>::absorb(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x) {
  const Matrix<S> batch = x;
  absorb_many({&batch, 1}, Executor(1));
}

// Each batch is summed by one thread, and what the batches gave is added in their order: bits depend on the batches, not on the threads.
template <class S>
void Pca<S>::absorb_many(std::span<const Matrix<S>> batches, const Executor& executor) {
  for (const Matrix<S>& x : batches) {
    if (count_ == 0 && x.rows() > 0) shift_ = x.row(0).transpose();
    count_ += x.rows();
  }
  if (count_ == 0) return;
  std::vector<Sums> sums(batches.size());
  executor.run(isize(batches.size()), [&](Index b) { sums[usize(b)] = sums_of(batches[usize(b)]); });
  for (const Sums& of_batch : sums) sum_ += of_batch.values;
  const Index d = products_.cols();
  executor.run(divide_up(d, kAddedRows), [&](Index piece) {
    const Index end = std::min(d, (piece + 1) * kAddedRows);
    for (const Sums& of_batch : sums)
      // Row by row: a triangular view of Eigen goes down the columns, a line of memory for every number.
      for (Index i = piece * kAddedRows; i < end; ++i)
        products_.row(i).tail(d - i) += of_batch.products.row(i).tail(d - i).template cast<double>();
  });
}

template <class S>
void Pca<S>::finish_statistics() {
  const Index components = this->output_shape().size();
  if (count_ == 0) throw DataError("model.pca", "needs at least one sample to fit");
  const Vector<double> mean = sum_ / static_cast<double>(count_);
  // Only the upper triangle is meant.
  const Matrix<double> covariance = products_ / static_cast<double>(count_) - mean * mean.transpose();
  const SymmetricEigen eigen = symmetric_eigen(covariance, components);
  this->set_mean(mean + shift_.template cast<double>());
  const double least = this->least_variance(eigen.values(components - 1));
  for (Index c = 0; c < components; ++c) {
    Vector<double> axis = eigen.vectors.col(components - 1 - c);
    Index largest = 0;
    axis.cwiseAbs().maxCoeff(&largest);
    if (axis(largest) < 0.0) axis = -axis;
    this->set_axis(c, axis, eigen.values(components - 1 - c), least);
  }
  products_.resize(0, 0);
}

template class Pca<float>;
template class Pca<double>;

}  // namespace ffzero
