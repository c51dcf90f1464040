// Both sides of a difference from one pass: the paired path against two plain evaluations.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include "ffzero/base/error.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "support/golden.hpp"
#include "unit/map_conv/plain_conv.hpp"

namespace ffzero {
namespace {

using test::conv_cases;
using test::expect_near;
using test::name_of;
using test::plain_conv;
using test::random_matrix;
using test::random_parameters;

template <class S>
struct Pair {
  Matrix<S> plus, minus;
};

template <class S>
std::vector<Pair<S>> pairs(const ConvBatchNorm<S>& map, const Vector<S>& theta, const Matrix<S>& directions, double eps, const Matrix<S>& x,
                           const ForwardMap<S>* readout) {
  std::vector<Pair<S>> all;
  map.forward_pairs(as_span(theta), directions, eps, x, readout,
                    [&](Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus) {
                      EXPECT_EQ(j, isize(all.size()));
                      all.push_back({plus, minus});
                    });
  EXPECT_EQ(isize(all.size()), directions.rows());
  return all;
}

TEST(ConvPairs, AreTwoPlainEvaluationsForEveryShape) {
  for (const ConvOptions& o : conv_cases())
    for (const double eps : {1e-3, 0.5}) {
      const ConvBatchNorm<double> map(o);
      const Vector<double> theta = random_parameters(o, 21);
      const Matrix<double> x = random_matrix(18, o.input.size(), 22), directions = random_matrix(3, theta.size(), 23);
      const auto both = pairs(map, theta, directions, eps, x, {});
      for (Index j = 0; j < 3; ++j) {
        const Vector<double> step = eps * directions.row(j).transpose();
        expect_near(both[usize(j)].plus, plain_conv(o, theta + step, x).y, 1e-10, 1e-10, name_of(o) + " plus");
        expect_near(both[usize(j)].minus, plain_conv(o, theta - step, x).y, 1e-10, 1e-10, name_of(o) + " minus");
      }
    }
}

TEST(ConvPairs, FusedProjectionIsProjectionAfterwards) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const ConvOptions& o : conv_cases())
      for (const auto& [size, pool] : {std::pair<Index, Index>{10, 0}, {3, 1}, {13, 0}}) {
        const ConvBatchNorm<double> map(o);
        const ChannelProjection<double> projection(map.output_shape(), size, RandomStream(1, Stream::projection), pool);
        ASSERT_TRUE(map.fuses(projection));
        const Vector<double> theta = random_parameters(o, 24);
        const Matrix<double> x = random_matrix(19, o.input.size(), 25), directions = random_matrix(2, theta.size(), 26);
        const auto whole = pairs(map, theta, directions, 0.01, x, {});
        const auto fused = pairs<double>(map, theta, directions, 0.01, x, &projection);
        for (std::size_t j = 0; j < 2; ++j) {
          Matrix<double> expected(19, projection.output_shape().size());
          projection.forward({}, whole[j].plus, expected);
          expect_near(fused[j].plus, expected, 1e-11, 1e-10, name_of(o) + " plus");
          projection.forward({}, whole[j].minus, expected);
          expect_near(fused[j].minus, expected, 1e-11, 1e-10, name_of(o) + " minus");
        }
      }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(ConvPairs, SeeAChangedProjection) {
  const ConvOptions o = conv_cases()[3];
  const ConvBatchNorm<double> map(o);
  ChannelProjection<double> projection(map.output_shape(), 4, RandomStream(1, Stream::projection));
  const Vector<double> theta = random_parameters(o, 27);
  const Matrix<double> x = random_matrix(6, o.input.size(), 28), directions = random_matrix(1, theta.size(), 29);
  const auto before = pairs<double>(map, theta, directions, 0.01, x, &projection);
  for (double& m : projection.state()) m *= 2.0;
  const auto after = pairs<double>(map, theta, directions, 0.01, x, &projection);
  expect_near(after[0].plus, 2.0 * before[0].plus, 1e-12, 1e-12, "doubled");
}

TEST(ConvPairs, FloatFollowsDouble) {
  for (const ConvOptions& o : conv_cases()) {
    const ConvBatchNorm<float> map(o);
    const ConvBatchNorm<double> exact(o);
    const ChannelProjection<float> projection(map.output_shape(), 10, RandomStream(2, Stream::projection));
    const ChannelProjection<double> exact_projection(map.output_shape(), 10, RandomStream(2, Stream::projection));
    const Vector<float> theta = random_parameters(o, 30).cast<float>();
    const Matrix<float> x = random_matrix<float>(64, o.input.size(), 31);
    const Matrix<float> directions = random_matrix<float>(2, theta.size(), 32) / std::sqrt(static_cast<float>(theta.size()));
    const auto rounded = pairs<float>(map, theta, directions, 1e-2, x, &projection);
    const auto fine = pairs<double>(exact, theta.cast<double>(), directions.cast<double>(), 1e-2, x.cast<double>(), &exact_projection);
    for (std::size_t j = 0; j < 2; ++j) {
      expect_near(rounded[j].plus.cast<double>(), fine[j].plus, 5e-5, 5e-5, name_of(o));
      // The difference of the sides must survive: it is what a gradient is made of.
      expect_near((rounded[j].plus - rounded[j].minus).cast<double>(), fine[j].plus - fine[j].minus, 5e-5, 0.0, name_of(o));
    }
  }
}

TEST(ConvPairs, AreTheSameBitsForOneThreadAndTwo) {
  const auto two = std::make_shared<const Executor>(2);
  for (const ConvOptions& o : conv_cases()) {
    const ConvBatchNorm<float> serial(o), threaded(o, two);
    const ChannelProjection<float> projection(serial.output_shape(), 10, RandomStream(3, Stream::projection));
    const Vector<float> theta = random_parameters(o, 33).cast<float>();
    const Matrix<float> x = random_matrix<float>(100, o.input.size(), 34), directions = random_matrix<float>(25, theta.size(), 35);
    const Matrix<float> last = directions.bottomRows(1);
    for (const ForwardMap<float>* readout :
         {static_cast<const ForwardMap<float>*>(nullptr), static_cast<const ForwardMap<float>*>(&projection)}) {
      const auto a = pairs(serial, theta, directions, 1e-3, x, readout), b = pairs(threaded, theta, directions, 1e-3, x, readout);
      for (std::size_t j = 0; j < a.size(); ++j) {
        EXPECT_EQ(a[j].plus, b[j].plus) << name_of(o);
        EXPECT_EQ(a[j].minus, b[j].minus) << name_of(o);
      }
      // A direction's result does not depend on the company that it is evaluated in, up to the rounding of the statistics.
      expect_near(pairs(serial, theta, last, 1e-3, x, readout)[0].plus.cast<double>(), a[24].plus.cast<double>(), 1e-5, 1e-5, name_of(o));
    }
  }
}

TEST(ConvPairs, LeaveTheirNumbersAloneWhileASinkEvaluatesTheMap) {
  const ConvOptions o = conv_cases()[2];
  const ConvBatchNorm<double> map(o);
  const Vector<double> theta = random_parameters(o, 36);
  const Matrix<double> x = random_matrix(9, o.input.size(), 37), directions = random_matrix(2, theta.size(), 38);
  map.forward_pairs(as_span(theta), directions, 0.1, x, nullptr,
                    [&](Index j, const ConstMatrixRef<double>& plus, const ConstMatrixRef<double>&) {
                      const Vector<double> moved = theta + 0.1 * directions.row(j).transpose();
                      Matrix<double> y(9, map.output_shape().size());
                      map.forward(as_span(moved), x, y);
                      expect_near(plus, y, 1e-10, 1e-10, "plus");
                    });
}

TEST(ConvPairs, RefuseReadoutsThatDoNotFit) {
  const ConvOptions o = conv_cases()[0];
  const ConvBatchNorm<double> map(o);
  const ChannelProjection<double> other({1, 9, 9}, 4, RandomStream(1, Stream::projection));
  const Activation<double> relu(map.output_shape(), ActivationKind::relu);
  EXPECT_FALSE(map.fuses(other));
  EXPECT_FALSE(map.fuses(relu));
  const Vector<double> theta = random_parameters(o, 39);
  const auto ignore = [](Index, const ConstMatrixRef<double>&, const ConstMatrixRef<double>&) {};
  const Matrix<double> x = random_matrix(2, o.input.size(), 40), directions = random_matrix(1, theta.size(), 41);
  EXPECT_THROW(map.forward_pairs(as_span(theta), directions, 0.1, x, &other, ignore), ShapeError);
  EXPECT_THROW(map.forward_pairs(as_span(theta), random_matrix(1, 3, 42), 0.1, x, nullptr, ignore), ShapeError);
}

}  // namespace
}  // namespace ffzero
