// Max and average pooling.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/map/conv/average_pool.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "support/expect_error.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "unit/map_conv/plain_conv.hpp"

namespace ffzero {
namespace {

using test::random_matrix;

struct PoolCase {
  Shape input;
  Index size, stride;
};

/// Windows side by side, overlapping, apart, with pixels left over, whole planes and single pixels; wide enough for every vector length.
std::vector<PoolCase> pool_cases() {
  return {{{1, 4, 4}, 2, 2}, {{3, 7, 5}, 2, 2},   {{2, 6, 9}, 3, 1},   {{2, 9, 6}, 3, 2},   {{1, 5, 5}, 1, 2},
          {{1, 5, 5}, 5, 1}, {{4, 27, 27}, 2, 2}, {{2, 70, 67}, 2, 2}, {{2, 12, 40}, 2, 1}, {{1, 8, 8}, 2, 3}};
}

template <class Pool>
Matrix<double> forward(const Pool& pool, const Matrix<double>& x) {
  Matrix<double> y(x.rows(), pool.output_shape().size());
  pool.forward({}, x, y);
  return y;
}

template <class Reduce>
Matrix<double> plain_pool(const PoolCase& c, Shape out, const Matrix<double>& x, Reduce reduce) {
  Matrix<double> y(x.rows(), out.size());
  for (Index b = 0; b < x.rows(); ++b)
    for (Index p = 0; p < out.channels; ++p)
      for (Index i = 0; i < out.height; ++i)
        for (Index k = 0; k < out.width; ++k) {
          Matrix<double> window(c.size, c.size);
          for (Index r = 0; r < c.size; ++r)
            for (Index q = 0; q < c.size; ++q)
              window(r, q) = x(b, (p * c.input.height + i * c.stride + r) * c.input.width + k * c.stride + q);
          y(b, (p * out.height + i) * out.width + k) = reduce(window);
        }
  return y;
}

template <class Pool>
void expect_exact_pullback(const Pool& pool, const Matrix<double>& x, const std::string& what) {
  const Matrix<double> y = forward(pool, x), gy = random_matrix(y.rows(), y.cols(), 61);
  Matrix<double> gx = Matrix<double>::Constant(x.rows(), x.cols(), 9.0);
  MatrixRef<double> view(gx);
  pool.pullback({}, x, y, gy, {}, &view);
  pool.pullback({}, x, y, gy, {}, nullptr);
  test::expect_matrix_gradient([&](const Matrix<double>& in) { return forward(pool, in).cwiseProduct(gy).sum(); }, x, gx, what,
                               {.step = 1e-6, .absolute = 1e-7});
}

TEST(MaxPool, IsTheLargestOfEveryWindow) {
  for (const PoolCase& c : pool_cases()) {
    const MaxPool<double> pool(c.input, c.size, c.stride);
    const Matrix<double> x = random_matrix(3, c.input.size(), 62);
    EXPECT_EQ(pool.output_shape().height, (c.input.height - c.size) / c.stride + 1);
    const Matrix<double> expected = plain_pool(c, pool.output_shape(), x, [](const Matrix<double>& w) { return w.maxCoeff(); });
    EXPECT_EQ(forward(pool, x), expected);
    const MaxPool<float> rounded(c.input, c.size, c.stride);
    Matrix<float> y(3, expected.cols());
    const Matrix<float> x_float = x.cast<float>();
    rounded.forward({}, x_float, y);
    EXPECT_EQ(y, expected.cast<float>().eval());
    if (c.input.size() < 300) expect_exact_pullback(pool, x, to_string(c.input));
  }
}

TEST(MaxPool, GivesTheSlopeToTheFirstOfEqualMaxima) {
  const MaxPool<double> pool({1, 2, 2}, 2, 2);
  const Matrix<double> x = Matrix<double>::Zero(1, 4), gy = Matrix<double>::Constant(1, 1, 3.0);
  Matrix<double> gx(1, 4), expected(1, 4);
  expected << 3.0, 0.0, 0.0, 0.0;
  MatrixRef<double> view(gx);
  pool.pullback({}, x, forward(pool, x), gy, {}, &view);
  EXPECT_EQ(gx, expected);
}

TEST(MaxPool, KeepsNotANumberVisible) {
  for (Index at = 0; at < 4; ++at) {
    Matrix<double> x = random_matrix(1, 4, 63);
    x(0, at) = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(std::isnan(forward(MaxPool<double>({1, 2, 2}, 2, 2), x)(0, 0))) << at;
  }
}

TEST(AveragePool, IsTheMeanOfEveryWindow) {
  for (const PoolCase& c : pool_cases()) {
    const AveragePool<double> pool(c.input, c.size, c.stride);
    const Matrix<double> x = random_matrix(3, c.input.size(), 64);
    test::expect_near(forward(pool, x), plain_pool(c, pool.output_shape(), x, [](const Matrix<double>& w) { return w.mean(); }), 1e-14, 0.0,
                      to_string(c.input));
    if (c.input.size() < 300) expect_exact_pullback(pool, x, to_string(c.input));
  }
}

TEST(AdaptivePool, AveragesCellsThatCoverThePlane) {
  const AdaptivePool<double> pool({1, 3, 4}, 2, "model.conv.projection_pool");
  Matrix<double> x(1, 12), expected(1, 4);
  x << 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12;
  expected << 3.5, 5.5, 7.5, 9.5;  // rows 0-1 and 1-2: the middle row counts twice
  EXPECT_EQ(forward(pool, x), expected);
  expect_exact_pullback(pool, random_matrix(2, 12, 65), "adaptive");
}

TEST(Pools, OfSizeZeroOrOneCellPerPixelAreTheIdentity) {
  const Shape shape{2, 3, 3};
  const Matrix<double> x = random_matrix(2, 18, 66);
  EXPECT_EQ(forward(MaxPool<double>(shape, 0, 0), x), x);
  EXPECT_EQ(forward(AveragePool<double>(shape, 0, 0), x), x);
  EXPECT_EQ(forward(AdaptivePool<double>(shape, 0, "p"), x), x);
  EXPECT_EQ(forward(AdaptivePool<double>(shape, 3, "p"), x), x);
  EXPECT_TRUE(AdaptivePool<double>(shape, 3, "p").identity());
  EXPECT_FALSE(AveragePool<double>(shape, 1, 2).identity());
  expect_exact_pullback(MaxPool<double>(shape, 0, 1), x, "max");
  expect_exact_pullback(AveragePool<double>(shape, 0, 1), x, "average");
}

TEST(Pools, RefuseWindowsThatLeaveNothing) {
  EXPECT_EQ(test::message_of<ConfigError>([] {
              MaxPool<float>({4, 3, 5}, 4, 2);
            }),
            "model.conv.pool: pooling would leave nothing of maps of 4x3x5; got 4; choose a window that fits, or 0 for none");
  EXPECT_EQ(test::message_of<ConfigError>([] {
              MaxPool<float>({4, 3, 5}, 2, 0);
            }),
            "model.conv.pool_stride: must be at least 1; got 0; the size of the window is usual");
  EXPECT_EQ(test::message_of<ConfigError>([] {
              AveragePool<float>({4, 3, 5}, -1, 1);
            }),
            "model.conv.pool: must not be negative; got -1; 0 switches pooling off");
  EXPECT_EQ(test::message_of<ConfigError>([] {
              AdaptivePool<float>({4, 3, 5}, 4, "model.conv.projection_pool");
            }),
            "model.conv.projection_pool: must be 0 (no pooling) or at most the size of the maps, 4x3x5; got 4; choose a smaller grid");
  Matrix<float> x(2, 9), y(2, 4);
  EXPECT_THROW(MaxPool<float>({1, 3, 3}, 2, 2).forward({}, x, y), ShapeError);
}

}  // namespace
}  // namespace ffzero
