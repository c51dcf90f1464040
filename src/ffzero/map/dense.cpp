// Dense layer on BLAS products.
// SPDX-License-Identifier: MIT
#include "ffzero/map/dense.hpp"

#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace {

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
Dense<S>::Dense(Shape input, Index outputs, Index groups) : input_(input), inputs_(input.size()), outputs_(outputs), groups_(groups) {
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

template <class S>
void Dense<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  affine_nt<S>(x, weight(theta, outputs_, inputs_), bias(theta, outputs_, inputs_), y);
}

template <class S>
void Dense<S>::forward_stacked(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                               MatrixRef<S> p) const {
  forward(theta, x, z);
  for (Index j = 0; j < directions.rows(); ++j)
    forward({directions.row(j).data(), usize(parameter_count())}, x, p.middleCols(j * outputs_, outputs_));
}

template <class S>
void Dense<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/, const ConstMatrixRef<S>& gy,
                        std::span<S> gtheta, MatrixRef<S>* gx) const {
  gemm_tn<S>(gy, x, Eigen::Map<Matrix<S>>(gtheta.data(), outputs_, inputs_), S{1});
  Eigen::Map<Eigen::Matrix<S, 1, Eigen::Dynamic>>(gtheta.data() + outputs_ * inputs_, outputs_) += gy.colwise().sum();
  if (gx != nullptr) gemm_nn<S>(gy, weight(theta, outputs_, inputs_), *gx);
}

template class Dense<float>;
template class Dense<double>;

}  // namespace ffzero
