// Forward evaluation of convolution with batch norm: values, statistics, targets, threads, errors.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "support/expect_error.hpp"
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
Matrix<S> forward(const ConvBatchNorm<S>& map, const Vector<S>& theta, const Matrix<S>& x) {
  Matrix<S> y = Matrix<S>::Constant(x.rows(), map.output_shape().size(), S{-77});
  map.forward(as_span(theta), x, y);
  return y;
}

TEST(ConvBatchNorm, EqualsPlainLoopsForEveryShapeAndBatch) {
  for (const ConvOptions& o : conv_cases())
    for (const Index batch : {1, 2, 7, 19, 33}) {
      const Vector<double> theta = random_parameters(o, 3);
      const Matrix<double> x = random_matrix(batch, o.input.size(), 4);
      expect_near(forward(ConvBatchNorm<double>(o), theta, x), plain_conv(o, theta, x).y, 1e-11, 1e-11, name_of(o));
    }
}

TEST(ConvBatchNorm, EveryInstructionSetGivesTheSameValuesUpToRounding) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const ConvOptions& o : conv_cases()) {
      const Vector<double> theta = random_parameters(o, 5);
      const Matrix<double> x = random_matrix(21, o.input.size(), 6);
      const Matrix<double> expected = plain_conv(o, theta, x).y;
      const std::string what = std::string(hwy::TargetName(target)) + " " + name_of(o);
      expect_near(forward(ConvBatchNorm<double>(o), theta, x), expected, 1e-11, 1e-11, what);
      const Vector<float> theta_float = theta.cast<float>();
      const Matrix<float> x_float = x.cast<float>();
      expect_near(forward(ConvBatchNorm<float>(o), theta_float, x_float).cast<double>(), expected, 2e-5, 2e-5, what);
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(ConvBatchNorm, KeepsItsPrecisionOnImagesWithALargeOffset) {
  const ConvOptions o{.input = {1, 12, 12}, .channels = 3, .kernel = 5};
  const Vector<double> theta = random_parameters(o, 7);
  const Matrix<double> x = random_matrix(40, o.input.size(), 8).array() + 100.0;
  const Vector<float> theta_float = theta.cast<float>();
  const Matrix<float> x_float = x.cast<float>();
  expect_near(forward(ConvBatchNorm<float>(o), theta_float, x_float).cast<double>(),
              plain_conv(o, theta_float.cast<double>(), x_float.cast<double>()).y, 3e-4, 0.0, "offset of 100 deviations");
}

TEST(ConvBatchNorm, IsTheSameBitsForOneThreadAndTwo) {
  const auto one = std::make_shared<const Executor>(1), two = std::make_shared<const Executor>(2);
  for (const ConvOptions& o : conv_cases()) {
    const Vector<float> theta = random_parameters(o, 9).cast<float>();
    const Matrix<float> x = random_matrix<float>(133, o.input.size(), 10);
    const ConvBatchNorm<float> serial(o), single(o, one), threaded(o, two);
    const Matrix<float> y = forward(serial, theta, x);
    EXPECT_EQ(y, forward(single, theta, x)) << name_of(o);
    EXPECT_EQ(y, forward(threaded, theta, x)) << name_of(o);
    const Matrix<float> gy = random_matrix<float>(133, y.cols(), 11);
    Vector<float> g_serial = Vector<float>::Zero(theta.size()), g_threaded = g_serial;
    Matrix<float> gx_serial(133, x.cols()), gx_threaded(133, x.cols());
    MatrixRef<float> serial_view(gx_serial), threaded_view(gx_threaded);
    serial.pullback(as_span(theta), x, y, gy, as_span(g_serial), &serial_view);
    threaded.pullback(as_span(theta), x, y, gy, as_span(g_threaded), &threaded_view);
    EXPECT_EQ(g_serial, g_threaded) << name_of(o);
    EXPECT_EQ(gx_serial, gx_threaded) << name_of(o);
  }
}

TEST(ConvBatchNorm, RunningStatisticsAreThoseOfTheWholeSetHoweverItIsCut) {
  for (const ConvOptions& o : conv_cases()) {
    const Vector<double> theta = random_parameters(o, 12);
    const Matrix<double> x = random_matrix(50, o.input.size(), 13).array() + 3.0;
    ConvBatchNorm<double> map(o);
    map.begin_statistics();
    for (const auto& [first, rows] : {std::pair<Index, Index>{0, 1}, {1, 32}, {33, 17}})
      map.absorb(as_span(theta), x.middleRows(first, rows));
    map.finish_statistics();
    const auto plain = plain_conv(o, theta, x);
    for (Index c = 0; c < o.channels; ++c) {
      EXPECT_NEAR(map.state()[usize(c)], plain.mean[usize(c)], 1e-11) << name_of(o);
      EXPECT_NEAR(map.state()[usize(o.channels + c)], plain.variance[usize(c)], 1e-10) << name_of(o);
    }
    // The whole set at once: running and batch statistics agree, and inference of one sample does not depend on its batch mates.
    Matrix<double> y(50, map.output_shape().size()), single(1, y.cols());
    map.infer(as_span(theta), x, y);
    expect_near(y, plain.y, 1e-10, 1e-10, name_of(o));
    map.infer(as_span(theta), x.middleRows(37, 1), single);
    EXPECT_EQ(single, y.middleRows(37, 1)) << name_of(o);
  }
}

TEST(ConvBatchNorm, InfersWithTheBatchOwnStatisticsInModeBatch) {
  const ConvOptions o{.input = {1, 6, 6}, .channels = 2, .kernel = 3, .batchnorm = BatchnormMode::batch};
  const Vector<double> theta = random_parameters(o, 14);
  const Matrix<double> x = random_matrix(5, o.input.size(), 15);
  const ConvBatchNorm<double> map(o);
  Matrix<double> y(5, map.output_shape().size());
  map.infer(as_span(theta), x, y);
  EXPECT_EQ(y, forward(map, theta, x));
}

TEST(ConvBatchNorm, BlankBordersOfAnySizeChangeNothing) {
  for (const ConvOptions& o : conv_cases())
    for (Index blank = 0; blank < 5; ++blank) {
      // Another border for every channel and side; what is left may be nothing.
      Matrix<double> x = random_matrix(5, o.input.size(), 18);
      for (Index c = 0; c < o.input.channels; ++c)
        for (Index i = 0; i < o.input.height; ++i)
          for (Index k = 0; k < o.input.width; ++k)
            if (i < blank + c || i >= o.input.height - blank || k < blank || k >= o.input.width - blank / 2 - c)
              x.col((c * o.input.height + i) * o.input.width + k).setZero();
      const Vector<double> theta = random_parameters(o, 19);
      const ConvBatchNorm<double> map(o);
      const Matrix<double> y = forward(map, theta, x), gy = random_matrix(5, y.cols(), 20);
      expect_near(y, plain_conv(o, theta, x).y, 1e-11, 1e-11, name_of(o));
      // The gradient is linear in gy, and its product with the kernels is that of gy with the normalised map's change.
      Vector<double> g = Vector<double>::Zero(theta.size());
      map.pullback(as_span(theta), x, y, gy, as_span(g), nullptr);
      const Vector<double> move = random_matrix(theta.size(), 1, 21);
      const double h = 1e-6;
      const double slope = (gy.cwiseProduct(plain_conv(o, theta + h * move, x).y - plain_conv(o, theta - h * move, x).y)).sum() / (2.0 * h);
      EXPECT_NEAR(g.dot(move), slope, 1e-5 * (1.0 + g.norm() * move.norm())) << name_of(o) << ", border " << blank;
    }
}

TEST(ConvBatchNorm, NotANumberStaysVisible) {
  const ConvOptions o{.input = {1, 6, 6}, .channels = 1, .kernel = 3};
  Matrix<double> x = Matrix<double>::Zero(2, 36);
  x(1, 35) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(forward(ConvBatchNorm<double>(o), random_parameters(o, 22), x)(0, 0)));
}

TEST(ConvBatchNorm, SurvivesAConstantMapAndAnEmptyBatch) {
  const ConvOptions o{.input = {1, 4, 4}, .channels = 2, .kernel = 3};
  const Vector<double> theta = random_parameters(o, 16);
  const ConvBatchNorm<double> map(o);
  const Matrix<double> y = forward(map, theta, Matrix<double>::Zero(3, 16).eval());
  for (Index c = 0; c < 2; ++c) EXPECT_NEAR(y(0, c * 4), theta[20 + c], 1e-12);
  EXPECT_EQ(forward(map, theta, Matrix<double>(0, 16)).rows(), 0);
}

TEST(ConvBatchNorm, InitialParametersAreBoundedByTheFanIn) {
  const ConvOptions o{.input = {4, 13, 13}, .channels = 6, .kernel = 6};
  const ConvBatchNorm<float> map(o);
  Vector<float> theta(map.parameter_count());
  map.initialise(as_span(theta), RandomStream(1, Stream::initial));
  const auto kernels = theta.head(6 * 144);
  EXPECT_LE(kernels.cwiseAbs().maxCoeff(), 1.0F / 12.0F);
  EXPECT_GT(kernels.cwiseAbs().maxCoeff(), 0.99F / 12.0F);
  EXPECT_EQ(theta.segment(6 * 144, 6), Vector<float>::Ones(6));
  EXPECT_EQ(theta.tail(6), Vector<float>::Zero(6));
}

TEST(ConvBatchNorm, GroupsAreChannelsAndCoverEveryParameterOnce) {
  const ConvOptions o{.input = {2, 5, 5}, .channels = 3, .kernel = 2};
  const ConvBatchNorm<float> map(o);
  const ParameterLayout layout = map.parameter_layout();
  EXPECT_EQ(layout.groups, 3);
  ASSERT_EQ(layout.units.size(), 3U);
  std::vector<int> seen(usize(map.parameter_count()));
  for (const Unit& unit : layout.units) {
    EXPECT_EQ(unit.size(), 8 + 2);
    for (const Segment& s : unit.segments)
      for (Index i = s.begin; i < s.begin + s.size; ++i) ++seen[usize(i)];
  }
  EXPECT_EQ(seen, std::vector<int>(usize(map.parameter_count()), 1));
  EXPECT_EQ(layout.units[1].segments[0].begin, 8);
  EXPECT_EQ(layout.units[1].segments[1].begin, 25);
  EXPECT_EQ(layout.units[1].segments[2].begin, 28);
}

TEST(ConvBatchNorm, RefusesShapesWithPlaceValueAndRemedy) {
  const ConvOptions good{.input = {1, 8, 6}, .channels = 2, .kernel = 3};
  const auto message = [&](auto change) {
    ConvOptions o = good;
    change(o);
    return test::message_of<ConfigError>([&] { ConvBatchNorm<float> map(o); });
  };
  EXPECT_EQ(message([](ConvOptions& o) { o.kernel = 9, o.padding = 1; }),
            "model.conv.kernel: must fit into the padded image: 1x8x6 with padding 1; got 9; use a kernel of at most 8 or more padding");
  EXPECT_EQ(message([](ConvOptions& o) { o.stride = 0; }), "model.conv.stride: must be at least 1; got 0; 1 visits every position");
  EXPECT_EQ(message([](ConvOptions& o) { o.channels = 0; }),
            "model.conv.channels: must be at least 1; got 0; give every convolution a positive number of channels");
  EXPECT_EQ(message([](ConvOptions& o) { o.kernel = 0; }), "model.conv.kernel: must be at least 1; got 0; give a positive kernel size");
  EXPECT_EQ(message([](ConvOptions& o) { o.padding = -1; }), "model.conv.padding: must be at least 0; got -1; 0 adds nothing");
  EXPECT_EQ(message([](ConvOptions& o) { o.input = {0, 8, 6}; }), "model.conv: the input must not be empty; got 0x8x6");
  EXPECT_THROW(ConvBatchNorm<float>({.input = good.input, .epsilon = 0.0}), ConfigError);
  EXPECT_EQ(test::message_of<ConfigError>([] { static_cast<void>(batchnorm_mode("fixed")); }),
            "model.conv.batchnorm: must be running or batch; got \"fixed\"; choose one of them");
  EXPECT_EQ(batchnorm_mode("batch"), BatchnormMode::batch);
  EXPECT_EQ(batchnorm_mode("running"), BatchnormMode::running);
}

TEST(ConvBatchNorm, RefusesCallsOfTheWrongSize) {
  const ConvOptions o{.input = {1, 6, 6}, .channels = 2, .kernel = 3};
  ConvBatchNorm<double> map(o);
  const Vector<double> theta = random_parameters(o, 17);
  Matrix<double> y(3, 32), narrow(3, 31);
  EXPECT_THROW(map.forward(as_span(theta), Matrix<double>(3, 35), y), ShapeError);
  EXPECT_THROW(map.forward(as_span(theta), Matrix<double>(3, 36), narrow), ShapeError);
  EXPECT_THROW(map.forward(as_span(theta).first(5), Matrix<double>(3, 36), y), ShapeError);
  EXPECT_THROW(map.absorb(as_span(theta), Matrix<double>(3, 36)), ShapeError);
  EXPECT_THROW(map.finish_statistics(), ShapeError);
}

}  // namespace
}  // namespace ffzero
