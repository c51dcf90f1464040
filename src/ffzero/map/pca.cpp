// Principal components by the eigenvectors of the covariance.
// SPDX-License-Identifier: MIT
#include "ffzero/map/pca.hpp"

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/hermitian.hpp"

namespace ffzero {

template <class S>
void Pca<S>::begin_statistics() {
  const Index d = this->input_shape().size();
  count_ = 0;
  sum_.setZero(d);
  products_.setZero(d, d);
}

template <class S>
void Pca<S>::absorb(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x) {
  if (x.rows() == 0) return;
  if (count_ == 0) shift_ = x.row(0).transpose();
  const Matrix<S> shifted = x.rowwise() - shift_.transpose();
  const Index d = x.cols();
  Matrix<S> products(d, d);
  gram_tn<S>(shifted, products);
  // Only the upper triangle, row by row: a triangular view goes down the columns, a line of memory for every number.
  for (Index i = 0; i < d; ++i) products_.row(i).tail(d - i) += products.row(i).tail(d - i).template cast<double>();
  Vector<double> sum = Vector<double>::Zero(d);
  for (Index r = 0; r < x.rows(); ++r) sum += shifted.row(r).transpose().template cast<double>();
  sum_ += sum;
  count_ += x.rows();
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
