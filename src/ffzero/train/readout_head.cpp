// The learning readout.
// SPDX-License-Identifier: MIT
#include "ffzero/train/readout_head.hpp"

#include <cmath>

#include "ffzero/tensor/gemm.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

namespace {

// The features with a column of ones for the bias; dark rows are 0 throughout.
template <class S>
Matrix<S> with_bias(const ConstMatrixRef<S>& z) {
  Matrix<S> f(z.rows(), z.cols() + 1);
  f.leftCols(z.cols()) = readout_features<S>(z);
  for (Index i = 0; i < z.rows(); ++i) f(i, z.cols()) = z.row(i).isZero(S{0}) ? S{0} : S{1};
  return f;
}

}  // namespace

template <class S>
ReadoutHead<S>::ReadoutHead(const Matrix<double>& prototypes, double temperature)
    : weights_(Matrix<S>::Zero(prototypes.rows(), prototypes.cols() + 1)), temperature_(static_cast<S>(temperature)) {
  // Powers of speckle are exponentially distributed, so |f|^2 is about 2 d.
  const double scale = 1.0 / (temperature * std::sqrt(2.0 * static_cast<double>(prototypes.cols())));
  weights_.leftCols(prototypes.cols()) = (scale * prototypes).template cast<S>();
}

template <class S>
void ReadoutHead<S>::scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const {
  gemm_nt<S>(with_bias<S>(z), weights_, scores);
  scores *= temperature_;
}

template <class S>
void ReadoutHead<S>::pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const {
  // f_j = z_j / mean(z), so dL/dz_i = (gf_i - <gf, f> / d) / mean(z).
  const Matrix<S> f = readout_features<S>(z);
  const Matrix<S> gf = temperature_ * (gs * weights_.leftCols(z.cols()));
  for (Index i = 0; i < z.rows(); ++i) {
    const S mean = z.row(i).mean();
    if (mean == S{0}) {
      gz.row(i).setZero();
      continue;
    }
    const S radial = gf.row(i).dot(f.row(i)) / static_cast<S>(z.cols());
    gz.row(i) = ((gf.row(i).array() - radial) / mean).matrix();
  }
}

template <class S>
void ReadoutHead<S>::weight_gradient(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gradient) const {
  gemm_tn<S>(gs, with_bias<S>(z), gradient);
  gradient *= temperature_;
}

template class ReadoutHead<float>;
template class ReadoutHead<double>;

}  // namespace ffzero
