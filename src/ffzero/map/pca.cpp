// Principal components by the eigenvectors of the covariance.
// SPDX-License-Identifier: MIT
#include "ffzero/map/pca.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

template <class S>
Pca<S>::Pca(Shape input, Index components, double power) : input_(input), components_(components), power_(power) {
  if (components < 1 || components > input.size())
    throw ConfigError("model.pca", "components must lie in 1 .. " + std::to_string(input.size()) + ", the inputs of that layer",
                      std::to_string(components), "keep fewer components");
  state_.setZero(input.size() * (components + 1));
}

template <class S>
void Pca<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  const Index d = input_.size();
  const Eigen::Map<const Matrix<S>> axes(state_.data() + d, components_, d);
  gemm_nt<S>(x, axes, y);
  const Eigen::Matrix<S, 1, Eigen::Dynamic> offset = (axes * state_.head(d)).transpose();
  y.rowwise() -= offset;
}

template <class S>
void Pca<S>::begin_statistics() {
  count_ = 0;
  sum_.setZero(input_.size());
  products_.setZero(input_.size(), input_.size());
}

template <class S>
void Pca<S>::absorb(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x) {
  if (x.rows() == 0) return;
  if (count_ == 0) shift_ = x.row(0).transpose();
  const Matrix<S> shifted = x.rowwise() - shift_.transpose();
  Matrix<S> products(input_.size(), input_.size());
  gemm_tn<S>(shifted, shifted, products);
  products_ += products.template cast<double>();
  sum_ += shifted.template cast<double>().colwise().sum().transpose();
  count_ += x.rows();
}

template <class S>
void Pca<S>::finish_statistics() {
  const Index d = input_.size();
  if (count_ == 0) throw DataError("model.pca", "needs at least one sample to fit");
  const Vector<double> mean = sum_ / static_cast<double>(count_);
  const Matrix<double> covariance = products_ / static_cast<double>(count_) - mean * mean.transpose();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  const double floor = 1e-9 * std::max(solver.eigenvalues().maxCoeff(), 1e-300);
  state_.head(d) = (mean + shift_.template cast<double>()).template cast<S>();
  for (Index c = 0; c < components_; ++c) {
    Vector<double> axis = solver.eigenvectors().col(d - 1 - c);
    Index largest = 0;
    axis.cwiseAbs().maxCoeff(&largest);
    if (axis(largest) < 0.0) axis = -axis;
    axis /= std::pow(std::max(solver.eigenvalues()(d - 1 - c), floor), power_ / 2.0);
    state_.segment(d * (c + 1), d) = axis.cast<S>();
  }
  products_.resize(0, 0);
}

template class Pca<float>;
template class Pca<double>;

}  // namespace ffzero
