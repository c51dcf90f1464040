// Projection on fitted axes.
// SPDX-License-Identifier: MIT
#include "ffzero/map/front_end.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

template <class S>
FrontEnd<S>::FrontEnd(Shape input, Index components, double power) : input_(input), components_(components), power_(power) {
  if (components < 1 || components > input.size())
    throw ConfigError("model.pca", "components must lie in 1 .. " + std::to_string(input.size()) + ", the inputs of that layer",
                      std::to_string(components), "keep fewer components");
  state_.setZero(input.size() * (components + 1));
}

template <class S>
void FrontEnd<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  const Index d = input_.size();
  const Eigen::Map<const Matrix<S>> axes(state_.data() + d, components_, d);
  gemm_nt<S>(x, axes, y);
  const Eigen::Matrix<S, 1, Eigen::Dynamic> offset = (axes * state_.head(d)).transpose();
  y.rowwise() -= offset;
}

template <class S>
void FrontEnd<S>::set_axis(Index component, Vector<double> axis, double variance, double floor) {
  axis /= std::pow(std::max(variance, floor), power_ / 2.0);
  state_.segment(input_.size() * (component + 1), input_.size()) = axis.cast<S>();
}

template class FrontEnd<float>;
template class FrontEnd<double>;

}  // namespace ffzero
