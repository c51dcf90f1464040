// Fixed random projections of channels.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/channel_projection.hpp"

#include <gtest/gtest.h>

#include "ffzero/base/error.hpp"
#include "support/expect_error.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "unit/map_conv/plain_conv.hpp"

namespace ffzero {
namespace {

using test::random_matrix;

const RandomStream kRandom(1, Stream::projection);

TEST(ChannelProjection, MultipliesEachChannelWithItsOwnMatrix) {
  const Shape maps{3, 4, 5};
  const ChannelProjection<double> projection(maps, 7, kRandom);
  const Matrix<double> x = random_matrix(6, maps.size(), 71);
  Matrix<double> y(6, 21);
  projection.forward({}, x, y);
  for (Index c = 0; c < 3; ++c) {
    const Eigen::Map<const Matrix<double>> m(projection.state().data() + c * 7 * 20, 7, 20);
    test::expect_near(y.middleCols(c * 7, 7), x.middleCols(c * 20, 20) * m.transpose(), 1e-13, 0.0, "channel");
  }
}

TEST(ChannelProjection, EntriesAreBoundedAndDifferFromChannelToChannel) {
  const ChannelProjection<float> projection({2, 9, 9}, 10, kRandom);
  const auto m = as_vector<float>(projection.state());
  EXPECT_EQ(m.size(), 2 * 10 * 81);
  EXPECT_LE(m.cwiseAbs().maxCoeff(), 1.0F / 9.0F);
  EXPECT_GT(m.cwiseAbs().maxCoeff(), 0.99F / 9.0F);
  EXPECT_NEAR(m.mean(), 0.0, 0.005);
  EXPECT_NE(m[0], m[810]);
  EXPECT_EQ(ChannelProjection<float>({2, 9, 9}, 10, kRandom).state()[5], projection.state()[5]);
  EXPECT_NE(ChannelProjection<float>({2, 9, 9}, 10, kRandom.of(1)).state()[5], projection.state()[5]);
}

TEST(ChannelProjection, PoolsFirstIfAskedTo) {
  const Shape maps{2, 7, 5};
  const ChannelProjection<double> projection(maps, 4, kRandom, 3);
  EXPECT_EQ(projection.state().size(), 2U * 4 * 9);
  const AdaptivePool<double> pool(maps, 3, "p");
  const Matrix<double> x = random_matrix(5, maps.size(), 72);
  Matrix<double> pooled(5, 18), y(5, 8);
  pool.forward({}, x, pooled);
  projection.forward({}, x, y);
  for (Index c = 0; c < 2; ++c) {
    const Eigen::Map<const Matrix<double>> m(projection.state().data() + c * 36, 4, 9);
    test::expect_near(y.middleCols(c * 4, 4), pooled.middleCols(c * 9, 9) * m.transpose(), 1e-13, 0.0, "channel");
  }
}

TEST(ChannelProjection, PullsBackExactly) {
  for (const Index cells : {0, 2}) {
    const Shape maps{2, 4, 3};
    const ChannelProjection<double> projection(maps, 5, kRandom, cells);
    const Matrix<double> x = random_matrix(2, maps.size(), 73), gy = random_matrix(2, 10, 74);
    const auto forward = [&](const Matrix<double>& in) {
      Matrix<double> y(2, 10);
      projection.forward({}, in, y);
      return y;
    };
    Matrix<double> gx(2, maps.size());
    MatrixRef<double> view(gx);
    projection.pullback({}, x, forward(x), gy, {}, &view);
    projection.pullback({}, x, forward(x), gy, {}, nullptr);
    test::expect_matrix_gradient([&](const Matrix<double>& in) { return forward(in).cwiseProduct(gy).sum(); }, x, gx, "projection");
  }
}

TEST(ChannelProjection, ByPositionIsTheSameMapWithThePoolingFoldedIn) {
  for (const Index cells : {0, 3}) {
    const Shape maps{2, 5, 4};
    const ChannelProjection<double> projection(maps, 3, kRandom, cells);
    std::vector<double> by_position(2 * 20 * 3);
    projection.write_by_position(by_position);
    const Matrix<double> x = random_matrix(4, maps.size(), 75);
    Matrix<double> y(4, 6);
    projection.forward({}, x, y);
    for (Index c = 0; c < 2; ++c) {
      const Eigen::Map<const Matrix<double>> m(by_position.data() + c * 60, 20, 3);
      test::expect_near(x.middleCols(c * 20, 20) * m, y.middleCols(c * 3, 3), 1e-13, 0.0, "channel");
    }
    EXPECT_THROW(projection.write_by_position(std::span(by_position).first(7)), ShapeError);
  }
}

TEST(ChannelProjection, RefusesSizesThatLeaveNothing) {
  EXPECT_EQ(test::message_of<ConfigError>([] {
              ChannelProjection<float>({1, 4, 4}, 0, kRandom);
            }),
            "model.conv.projection: must be at least 1; got 0; give the number of classes or more");
  EXPECT_EQ(test::message_of<ConfigError>([] {
              ChannelProjection<float>({1, 4, 4}, 3, kRandom, 5);
            }),
            "model.conv.projection_pool: must be 0 (no pooling) or at most the size of the maps, 1x4x4; got 5; choose a smaller grid");
}

}  // namespace
}  // namespace ffzero
