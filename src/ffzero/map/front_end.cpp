// Projection on fitted axes.
// SPDX-License-Identifier: MIT
#include "ffzero/map/front_end.hpp"

#include <cmath>
#include <limits>
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
double FrontEnd<S>::least_variance(double largest) const {
  const double mean = state_.head(input_.size()).template cast<double>().cwiseAbs().maxCoeff();
  const double rounding = std::numeric_limits<S>::epsilon() * mean;
  if (largest <= rounding * rounding * static_cast<double>(input_.size()))
    throw DataError("model.pca", "needs inputs that differ from sample to sample",
                    "a layer with " + std::to_string(input_.size()) + " inputs that are the same for all samples",
                    "look at the data set, or leave model.pca empty");
  return 1e-9 * largest;
}

template <class S>
void FrontEnd<S>::set_axis(Index component, Vector<double> axis, double variance, double least) {
  const double scale = variance <= least ? 0.0 : std::pow(variance, -power_ / 2.0);
  state_.segment(input_.size() * (component + 1), input_.size()) = (scale * axis).cast<S>();
}

template class FrontEnd<float>;
template class FrontEnd<double>;

}  // namespace ffzero
