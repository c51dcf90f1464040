// Fixed random read-out of every channel of a convolutional layer.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/conv/average_pool.hpp"
#include "ffzero/map/fixed_state.hpp"

namespace ffzero {

/// z_c = M_c a_c: the flattened map a_c of channel c times a fixed matrix of that channel, entries uniform in +-1/sqrt(map size), no
/// bias, never trained, part of the checkpoint.  x (B, C H W)   y (B, C d): channel c owns columns [c d, (c+1) d).
/// With `pool` P > 0 the maps are first averaged to P x P (adaptive cells) and M_c is (d, P P). No forward evaluation of its own.
template <class S>
class ChannelProjection final : public AdjointMap<S>, public FixedState<S> {
 public:
  /// random: a stream of Stream::projection, one part for each layer; channel c takes its numbers c d n .. (c+1) d n - 1.
  /// @throws ConfigError (model.conv.projection, model.conv.projection_pool) if d < 1, P < 0 or P larger than the maps
  ChannelProjection(Shape maps, Index size, const RandomStream& random, Index pool = 0);

  [[nodiscard]] Shape input_shape() const override { return maps_; }
  [[nodiscard]] Shape output_shape() const override { return {1, 1, maps_.channels * size_}; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  [[nodiscard]] std::string kind() const override { return "channel_projection"; }
  [[nodiscard]] Index size() const noexcept { return size_; }  ///< d

  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

  /// All matrices, (C d, n), n = P P or H W.
  [[nodiscard]] std::span<const S> state() const override { return {matrices_.data(), usize(matrices_.size())}; }
  [[nodiscard]] std::span<S> state() override { return {matrices_.data(), usize(matrices_.size())}; }

  /// The matrices with the pooling folded in, position by position: out (C, H W, d), row-major, overwritten.
  void write_by_position(std::span<S> out) const;

 private:
  [[nodiscard]] auto matrix(Index channel) const { return matrices_.middleRows(channel * size_, size_); }

  Shape maps_;
  Index size_;
  AdaptivePool<S> pool_;
  Matrix<S> matrices_;
};

extern template class ChannelProjection<float>;
extern template class ChannelProjection<double>;

}  // namespace ffzero
