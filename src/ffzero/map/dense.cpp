// Dense layer on BLAS products.
// SPDX-License-Identifier: MIT
#include "ffzero/map/dense.hpp"

#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/sparse.hpp"

namespace ffzero {

namespace {

/// Outputs for which a sparse product is worth packing for.
constexpr Index kLeastOutputs = 16;
/// Directions for which a transform of the sums of one product is faster than a product for each of them.
constexpr Index kLeastDirections = 3;

template <class S>
Eigen::Map<const Matrix<S>> weight(std::span<const S> theta, Index outputs, Index inputs) {
  return {theta.data(), outputs, inputs};
}

template <class S>
std::span<const S> bias(std::span<const S> theta, Index outputs, Index inputs) {
  return theta.subspan(usize(outputs * inputs), usize(outputs));
}

}  // namespace

template <class S>
Dense<S>::Dense(Shape input, Index outputs, Index groups, bool skip_zeros)
    : input_(input), inputs_(input.size()), outputs_(outputs), groups_(groups), skip_zeros_(skip_zeros) {
  if (inputs_ < 1) throw ConfigError("model.layers", "a dense layer needs at least one input", std::to_string(inputs_));
  if (outputs < 1) throw ConfigError("model.layers", "a width must be at least 1", std::to_string(outputs), "give a positive width");
  if (groups < 1 || outputs % groups != 0)
    throw ConfigError("model.groups", "the number of groups must divide the width " + std::to_string(outputs), std::to_string(groups),
                      "choose a divisor of the width");
}

template <class S>
ParameterLayout Dense<S>::parameter_layout() const {
  ParameterLayout layout{.groups = groups_, .units = {}};
  const Index rows = outputs_ / groups_;
  for (Index g = 0; g < groups_; ++g)
    layout.units.push_back(
        {.group = g,
         .segments = {{.begin = g * rows * inputs_, .size = rows * inputs_}, {.begin = outputs_ * inputs_ + g * rows, .size = rows}}});
  return layout;
}

/// The entries of x that are not 0, of this thread, kept until its next call: no allocation in a step.
template <class S>
SparseLines<S>& lines_of_thread() {
  static thread_local SparseLines<S> lines;
  return lines;
}

template <class S>
bool Dense<S>::skips_zeros_of(const ConstMatrixRef<S>& x) const {
  return skip_zeros_ && outputs_ >= kLeastOutputs && mostly_zero<S>(x);
}

template <class S>
void Dense<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  if (!skips_zeros_of(x)) return affine_nt<S>(x, weight(theta, outputs_, inputs_), bias(theta, outputs_, inputs_), y);
  SparseLines<S>& rows = lines_of_thread<S>();
  rows.assign_rows(x);
  rows.affine_nt(weight(theta, outputs_, inputs_), bias(theta, outputs_, inputs_), y);
}

template <class S>
void Dense<S>::forward_stacked(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                               MatrixRef<S> p) const {
  const auto direction = [&](Index j) { return std::span<const S>(directions.row(j).data(), usize(parameter_count())); };
  const auto part = [&](Index j) { return p.middleCols(j * outputs_, outputs_); };
  const bool skip = skips_zeros_of(x);
  SparseLines<S>& rows = lines_of_thread<S>();
  if (skip) rows.assign_rows(x);
  const auto apply = [&](std::span<const S> parameters, MatrixRef<S> y) {
    const auto w = weight(parameters, outputs_, inputs_);
    const auto b = bias(parameters, outputs_, inputs_);
    if (skip)
      rows.affine_nt(w, b, y);
    else
      affine_nt<S>(x, w, b, y);
  };
  apply(theta, z);
  for (Index j = 0; j < directions.rows(); ++j) apply(direction(j), part(j));
}

template <class S>
bool Dense<S>::serves_hadamard(Index m) const {
  return m >= kLeastDirections;
}

template <class S>
void Dense<S>::forward_hadamard(std::span<const S> theta, std::span<const S> signs, Index m, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                                MatrixRef<S> p) const {
  forward(theta, x, z);
  SparseLines<S>& lines = lines_of_thread<S>();
  lines.assign_classes(x);
  lines.hadamard_nt(signs, outputs_, m, p);
}

template <class S>
void Dense<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/, const ConstMatrixRef<S>& gy,
                        std::span<S> gtheta, MatrixRef<S>* gx) const {
  Eigen::Map<Matrix<S>> gw(gtheta.data(), outputs_, inputs_);
  if (skips_zeros_of(x)) {
    SparseLines<S>& columns = lines_of_thread<S>();
    columns.assign_columns(x);
    columns.add_gemm_tn(gy, gw);
  } else {
    gemm_tn<S>(gy, x, gw, S{1});
  }
  Eigen::Map<Eigen::Matrix<S, 1, Eigen::Dynamic>>(gtheta.data() + outputs_ * inputs_, outputs_) += gy.colwise().sum();
  if (gx != nullptr) gemm_nn<S>(gy, weight(theta, outputs_, inputs_), *gx);
}

template class Dense<float>;
template class Dense<double>;

}  // namespace ffzero
