// Simplex prototypes by QR of Gaussian matrices, and the heads that score with them.
// SPDX-License-Identifier: MIT
#include "ffzero/head/prototypes.hpp"

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/hermitian.hpp"
#include "ffzero/tensor/reduce.hpp"

namespace ffzero {

namespace {

/// K Haar-random orthonormal columns in R^d: Q of the QR with positive diagonal of R.  gaussian (d, K), K <= d.
/// For K = d the result is turned into a rotation.
Matrix<double> haar_frame(const Matrix<double>& gaussian) {
  const Index d = gaussian.rows();
  const Index k = gaussian.cols();
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(gaussian);
  Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(d, k);
  // Each reflection, and each column that is turned, changes the sign of the determinant.
  bool rotation = true;
  for (Index i = 0; i < k; ++i) {
    if (qr.hCoeffs()(i) != 0.0) rotation = !rotation;
    if (qr.matrixQR()(i, i) < 0.0) {
      q.col(i) = -q.col(i);
      rotation = !rotation;
    }
  }
  if (k == d && !rotation) q.col(0) = -q.col(0);
  return q;
}

Matrix<double> gaussian_matrix(Index rows, Index cols, const RandomStream& random) {
  Matrix<double> m(rows, cols);
  random.fill_normal(std::span<double>(m.data(), usize(m.size())));
  return m;
}

void require_room(Index classes, Index dimension) {
  if (classes < 1 || dimension < 1) {
    throw ShapeError("prototypes", "at least one class and one dimension", std::to_string(classes) + " and " + std::to_string(dimension));
  }
  if (classes > dimension) {
    throw ConfigError("prototypes",
                      "a simplex with one vertex per class needs at least as many outputs (of the layer, group or channel) as classes",
                      std::to_string(classes) + " classes, " + std::to_string(dimension) + " outputs",
                      "widen the layer, use fewer groups or choose fewer classes");
  }
}

/// 1 / max(|z|, floor), and 0 for a zero z without a floor. Not-a-number stays not-a-number, so that divergence shows.
double inverse_length(double length, double floor) {
  const double clamped = length < floor ? floor : length;
  return clamped == 0.0 ? 0.0 : 1.0 / clamped;
}

void require_shape(const char* place, const char* what, Index rows, Index cols, Index want_rows, Index want_cols) {
  if (rows == want_rows && cols == want_cols) return;
  throw ShapeError(place, std::string(what) + " must be " + std::to_string(want_rows) + " x " + std::to_string(want_cols),
                   std::to_string(rows) + " x " + std::to_string(cols));
}

}  // namespace

Matrix<double> haar_rotation(const Matrix<double>& gaussian) {
  require_shape("haar_rotation", "the Gaussian matrix", gaussian.rows(), gaussian.cols(), gaussian.rows(), gaussian.rows());
  return haar_frame(gaussian);
}

Matrix<double> simplex_vertices(Index classes, Index dimension) {
  require_room(classes, dimension);
  Matrix<double> v = Matrix<double>::Zero(classes, dimension);
  if (classes == 1) return v;
  const double mean = 1.0 / static_cast<double>(classes);
  const double length = std::sqrt(1.0 - mean);
  v.leftCols(classes).setConstant(-mean / length);
  v.leftCols(classes).diagonal().setConstant((1.0 - mean) / length);
  return v;
}

Matrix<double> simplex_prototypes(Index classes, Index dimension, const RandomStream& random) {
  require_room(classes, dimension);
  // The vertices live in the first K coordinates, so only K rows of the rotation are needed, and K rows of a Haar rotation are K
  // orthonormal vectors of a thin QR: time d K^2 instead of d^3.
  const Matrix<double> frame = haar_frame(gaussian_matrix(dimension, classes, random));
  if (classes == 1) return frame.transpose();
  return simplex_vertices(classes, classes) * frame.transpose();
}

Matrix<double> gram_pseudo_inverse(const Matrix<double>& gram, double precision) {
  const Index classes = gram.rows();
  require_shape("gram_pseudo_inverse", "the Gram matrix", gram.rows(), gram.cols(), classes, classes);
  const double k = static_cast<double>(classes);
  if (classes > 1) {
    Matrix<double> simplex = Matrix<double>::Constant(classes, classes, -1.0 / (k - 1.0));
    simplex.diagonal().setOnes();
    if ((gram - simplex).cwiseAbs().maxCoeff() <= 64.0 * precision) {
      Matrix<double> inverse = Matrix<double>::Constant(classes, classes, -(k - 1.0) / (k * k));
      inverse.diagonal().array() += (k - 1.0) / k;
      return inverse;
    }
  }
  const auto [values, vectors] = symmetric_eigen(gram, classes);
  // The decomposition itself is right to some roundings of double.
  const double least = k * std::max(precision, 16.0 * std::numeric_limits<double>::epsilon()) * values.maxCoeff();
  const Eigen::VectorXd inverse = values.unaryExpr([least](double value) { return value > least ? 1.0 / value : 0.0; });
  return vectors * inverse.asDiagonal() * vectors.transpose();
}

template <class S>
PrototypeHead<S>::PrototypeHead(const std::vector<Matrix<double>>& prototypes, double floor)
    : groups_(isize(prototypes.size())), classes_(0), dimension_(0), floor_(floor) {
  if (prototypes.empty() || prototypes.front().size() == 0) throw ShapeError("PrototypeHead", "at least one group, class and dimension");
  if (!(floor >= 0.0) || !std::isfinite(floor)) {
    throw ShapeError("PrototypeHead", "floor must be finite and not negative", std::to_string(floor));
  }
  classes_ = prototypes.front().rows();
  dimension_ = prototypes.front().cols();
  flat_.resize(groups_ * classes_, dimension_);
  for (Index g = 0; g < groups_; ++g) {
    const Matrix<double>& r = prototypes[usize(g)];
    require_shape("PrototypeHead", "the prototypes of every group", r.rows(), r.cols(), classes_, dimension_);
    flat_.middleRows(g * classes_, classes_) = r.template cast<S>();
  }
}

template <class S>
void PrototypeHead<S>::scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const {
  require_shape("PrototypeHead", "z", z.rows(), z.cols(), z.rows(), input_size());
  require_shape("PrototypeHead", "the scores", scores.rows(), scores.cols(), z.rows(), groups_ * classes_);
  if (z.rows() == 0) return;
  for (Index g = 0; g < groups_; ++g) {
    const ConstMatrixRef<S> zg = z.middleCols(g * dimension_, dimension_);
    MatrixRef<S> sg = scores.middleCols(g * classes_, classes_);
    gemm_nt<S>(zg, prototypes(g), sg);
    for (Index b = 0; b < z.rows(); ++b) {
      const S* row = &zg.coeffRef(b, 0);
      const double scale = inverse_length(std::sqrt(squared_norm(std::span<const S>(row, usize(dimension_)))), floor_);
      S* s = &sg.coeffRef(b, 0);
      for (Index k = 0; k < classes_; ++k) s[k] = static_cast<S>(static_cast<double>(s[k]) * scale);
    }
  }
}

template <class S>
void PrototypeHead<S>::pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const {
  require_shape("PrototypeHead", "z", z.rows(), z.cols(), z.rows(), input_size());
  require_shape("PrototypeHead", "gs", gs.rows(), gs.cols(), z.rows(), groups_ * classes_);
  require_shape("PrototypeHead", "gz", gz.rows(), gz.cols(), z.rows(), input_size());
  if (z.rows() == 0) return;
  for (Index g = 0; g < groups_; ++g) {
    const ConstMatrixRef<S> zg = z.middleCols(g * dimension_, dimension_);
    MatrixRef<S> t = gz.middleCols(g * dimension_, dimension_);
    gemm_nn<S>(gs.middleCols(g * classes_, classes_), prototypes(g), t);  // t = R^T gs
    for (Index b = 0; b < z.rows(); ++b) {
      const S* row = &zg.coeffRef(b, 0);
      S* out = &t.coeffRef(b, 0);
      const std::span<const S> own(row, usize(dimension_));
      const double length = std::sqrt(squared_norm(own));
      const double scale = inverse_length(length, floor_);
      // t / |z| - z <t, z> / |z|^3; where the floor holds, the denominator is constant and the radial part stays.
      const double radial = length > floor_ ? inner_product(std::span<const S>(out, usize(dimension_)), own) * scale * scale : 0.0;
      for (Index i = 0; i < dimension_; ++i) {
        out[i] = static_cast<S>((static_cast<double>(out[i]) - radial * static_cast<double>(row[i])) * scale);
      }
    }
  }
}

template <class S>
LogitsHead<S>::LogitsHead(Index input_size, Index classes) : input_size_(input_size), classes_(classes) {
  if (classes < 1) throw ShapeError("LogitsHead", "at least one class", std::to_string(classes));
  if (classes > input_size) {
    throw ConfigError("logits", "the last layer needs at least one output per class",
                      std::to_string(classes) + " classes, " + std::to_string(input_size) + " outputs",
                      "widen the last layer or choose fewer classes");
  }
}

template <class S>
void LogitsHead<S>::scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const {
  require_shape("LogitsHead", "z", z.rows(), z.cols(), z.rows(), input_size_);
  require_shape("LogitsHead", "the scores", scores.rows(), scores.cols(), z.rows(), classes_);
  scores = z.leftCols(classes_);
}

template <class S>
void LogitsHead<S>::pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const {
  require_shape("LogitsHead", "gs", gs.rows(), gs.cols(), z.rows(), classes_);
  require_shape("LogitsHead", "gz", gz.rows(), gz.cols(), z.rows(), input_size_);
  if (z.rows() == 0) return;
  gz.leftCols(classes_) = gs;
  gz.rightCols(input_size_ - classes_).setZero();
}

template class PrototypeHead<float>;
template class PrototypeHead<double>;
template class LogitsHead<float>;
template class LogitsHead<double>;

}  // namespace ffzero
