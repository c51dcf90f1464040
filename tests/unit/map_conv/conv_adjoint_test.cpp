// Exact gradient of convolution with batch norm against differences.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "unit/map_conv/plain_conv.hpp"

namespace ffzero {
namespace {

using test::conv_cases;
using test::name_of;
using test::random_matrix;
using test::random_parameters;

/// A smooth function of the output that sees every entry differently.
struct Readout {
  explicit Readout(Index rows, Index cols) : factors(random_matrix(rows, cols, 51)) {}
  [[nodiscard]] double value(const Matrix<double>& y) const { return (factors.array() * y.array().sin()).sum(); }
  [[nodiscard]] Matrix<double> slope(const Matrix<double>& y) const { return (factors.array() * y.array().cos()).matrix(); }
  Matrix<double> factors;
};

TEST(ConvAdjoint, IsTheGradientWithRespectToParametersAndInputForEveryShape) {
  for (const ConvOptions& o : conv_cases()) {
    if (o.input.size() > 300) continue;  // differences along every pixel
    const ConvBatchNorm<double> map(o);
    const Vector<double> theta = random_parameters(o, 52);
    const Matrix<double> x = random_matrix(2, o.input.size(), 53);
    const Readout readout(2, map.output_shape().size());
    const auto outputs = [&](const Vector<double>& t, const Matrix<double>& in) {
      Matrix<double> y(in.rows(), map.output_shape().size());
      map.forward(as_span(t), in, y);
      return y;
    };
    const Matrix<double> y = outputs(theta, x);
    Vector<double> g = Vector<double>::Constant(theta.size(), 5.0);
    Matrix<double> gx(2, x.cols());
    MatrixRef<double> gx_view(gx);
    map.pullback(as_span(theta), x, y, readout.slope(y), as_span(g), &gx_view);
    g.array() -= 5.0;  // added to, not overwritten
    const test::GradientTolerance tolerance{.absolute = 1e-7, .relative = 1e-6};
    test::expect_gradient([&](const Vector<double>& t) { return readout.value(outputs(t, x)); }, theta, g, name_of(o), tolerance);
    test::expect_matrix_gradient([&](const Matrix<double>& in) { return readout.value(outputs(theta, in)); }, x, gx, name_of(o), tolerance);
  }
}

TEST(ConvAdjoint, EqualsPairedDifferencesAlongEveryCoordinate) {
  for (const ConvOptions& o : conv_cases()) {
    const ConvBatchNorm<double> map(o);
    const Vector<double> theta = random_parameters(o, 54);
    if (theta.size() > 700) continue;
    const Matrix<double> x = random_matrix(5, o.input.size(), 55), directions = Matrix<double>::Identity(theta.size(), theta.size());
    Matrix<double> y(5, map.output_shape().size());
    map.forward(as_span(theta), x, y);
    const Readout readout(5, y.cols());
    Vector<double> g = Vector<double>::Zero(theta.size()), differences(theta.size());
    map.pullback(as_span(theta), x, y, readout.slope(y), as_span(g), nullptr);
    const double eps = 1e-5;
    map.forward_pairs(as_span(theta), directions, eps, x, nullptr,
                      [&](Index j, const ConstMatrixRef<double>& plus, const ConstMatrixRef<double>& minus) {
                        differences[j] = (readout.value(plus) - readout.value(minus)) / (2.0 * eps);
                      });
    test::expect_near(differences, g, 2e-7 * (1.0 + g.cwiseAbs().maxCoeff()), 0.0, name_of(o));
  }
}

TEST(ConvAdjoint, FloatFollowsDoubleOnEveryInstructionSet) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const ConvOptions& o : conv_cases()) {
      const ConvBatchNorm<float> map(o);
      const ConvBatchNorm<double> exact(o);
      const Vector<float> theta = random_parameters(o, 56).cast<float>();
      const Vector<double> exact_theta = theta.cast<double>();
      const Matrix<float> x = random_matrix<float>(37, o.input.size(), 57), gy = random_matrix<float>(37, map.output_shape().size(), 58);
      Vector<float> g = Vector<float>::Zero(theta.size());
      Vector<double> exact_g = Vector<double>::Zero(theta.size());
      Matrix<float> gx(37, x.cols());
      Matrix<double> exact_gx(37, x.cols());
      MatrixRef<float> gx_view(gx);
      MatrixRef<double> exact_view(exact_gx);
      map.pullback(as_span(theta), x, gy, gy, as_span(g), &gx_view);
      exact.pullback(as_span(exact_theta), x.cast<double>(), gy.cast<double>(), gy.cast<double>(), as_span(exact_g), &exact_view);
      const double scale = exact_g.cwiseAbs().maxCoeff();
      test::expect_near(g.cast<double>(), exact_g, 1e-5 * (1.0 + scale), 1e-4, name_of(o) + " parameters");
      test::expect_near(gx.cast<double>(), exact_gx, 2e-5, 1e-4, name_of(o) + " input");
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace
}  // namespace ffzero
