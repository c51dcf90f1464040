// Channel by channel products with fixed matrices.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/channel_projection.hpp"

#include <cmath>

#include "ffzero/map/shape_check.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

template <class S>
ChannelProjection<S>::ChannelProjection(Shape maps, Index size, const RandomStream& random, Index pool)
    : maps_(maps), size_(size), pool_(maps, pool, "model.conv.projection_pool") {
  if (size < 1)
    throw ConfigError("model.conv.projection", "must be at least 1", std::to_string(size), "give the number of classes or more");
  const Index inputs = pool_.output_shape().height * pool_.output_shape().width;
  matrices_.resize(maps.channels * size, inputs);
  random.fill_uniform(state());
  const double bound = 1.0 / std::sqrt(static_cast<double>(inputs));
  for (S& m : state()) m = static_cast<S>(bound * (2.0 * static_cast<double>(m) - 1.0));
}

template <class S>
void ChannelProjection<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes("channel projection", x, maps_, y, output_shape());
  const Index inputs = matrices_.cols();
  const auto project = [&](const ConstMatrixRef<S>& maps) {
    for (Index c = 0; c < maps_.channels; ++c) gemm_nt<S>(maps.middleCols(c * inputs, inputs), matrix(c), y.middleCols(c * size_, size_));
  };
  if (pool_.identity()) {
    project(x);
    return;
  }
  Matrix<S> pooled(x.rows(), pool_.output_shape().size());
  pool_.forward({}, x, pooled);
  project(pooled);
}

template <class S>
void ChannelProjection<S>::pullback(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/,
                                    const ConstMatrixRef<S>& gy, std::span<S> /*gtheta*/, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  const Index inputs = matrices_.cols();
  const auto spread = [&](MatrixRef<S> maps) {
    for (Index c = 0; c < maps_.channels; ++c) gemm_nn<S>(gy.middleCols(c * size_, size_), matrix(c), maps.middleCols(c * inputs, inputs));
  };
  if (pool_.identity()) {
    spread(*gx);
    return;
  }
  Matrix<S> pooled(x.rows(), pool_.output_shape().size());
  spread(pooled);
  pool_.pullback({}, x, pooled, pooled, {}, gx);
}

template <class S>
void ChannelProjection<S>::write_by_position(std::span<S> out) const {
  const Index positions = maps_.height * maps_.width;
  if (isize(out.size()) != maps_.channels * positions * size_) throw ShapeError("channel projection", "span of the wrong size");
  // The transpose of average pooling spreads a matrix row over the positions that it looks at.
  Matrix<S> spread(size_, positions);
  for (Index c = 0; c < maps_.channels; ++c) {
    if (pool_.identity())
      spread = matrix(c);
    else
      pool_.spread_plane(matrix(c), spread);
    Eigen::Map<Matrix<S>>(out.data() + c * positions * size_, positions, size_) = spread.transpose();
  }
}

template class ChannelProjection<float>;
template class ChannelProjection<double>;

}  // namespace ffzero
