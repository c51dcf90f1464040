// Element-wise nonlinearities.
// SPDX-License-Identifier: MIT
#include "ffzero/map/activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "support/expect_error.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"

namespace ffzero {
namespace {

const Matrix<double> kInput{{-2.0, -0.3, 0.4}, {0.1, 3.0, -0.7}};

Matrix<double> forward(ActivationKind kind, const Matrix<double>& x) {
  Matrix<double> y(x.rows(), x.cols());
  Activation<double>({1, 1, x.cols()}, kind).forward({}, x, y);
  return y;
}

TEST(Activation, IsEntryByEntry) {
  EXPECT_EQ(forward(ActivationKind::none, kInput), kInput);
  EXPECT_EQ(forward(ActivationKind::relu, kInput), kInput.cwiseMax(0.0));
  test::expect_near(forward(ActivationKind::tanh, kInput), kInput.array().tanh().matrix(), 1e-15, 1e-15, "tanh");
}

TEST(Activation, ReluKeepsNotANumberVisible) {
  const Matrix<double> x = Matrix<double>::Constant(1, 1, std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(std::isnan(forward(ActivationKind::relu, x)(0, 0)));
}

TEST(Activation, PullsBackExactly) {
  const Matrix<double> gy{{1.0, -2.0, 0.5}, {0.7, 0.2, -1.1}};
  for (const ActivationKind kind : {ActivationKind::none, ActivationKind::relu, ActivationKind::tanh}) {
    const Activation<double> map({1, 1, 3}, kind);
    Matrix<double> gx(2, 3);
    MatrixRef<double> view(gx);
    map.pullback({}, kInput, forward(kind, kInput), gy, {}, &view);
    map.pullback({}, kInput, forward(kind, kInput), gy, {}, nullptr);
    test::expect_matrix_gradient([&](const Matrix<double>& x) { return forward(kind, x).cwiseProduct(gy).sum(); }, kInput, gx, map.kind());
  }
}

TEST(Activation, SlopeOfReluAtZeroIsZero) {
  const Activation<double> map({1, 1, 1}, ActivationKind::relu);
  const Matrix<double> zero = Matrix<double>::Zero(1, 1), one = Matrix<double>::Ones(1, 1);
  Matrix<double> gx(1, 1);
  MatrixRef<double> view(gx);
  map.pullback({}, zero, zero, one, {}, &view);
  EXPECT_EQ(gx(0, 0), 0.0);
}

TEST(Activation, WordsAreThoseOfTheConfiguration) {
  for (const char* word : {"none", "relu", "tanh"}) EXPECT_EQ(to_string(activation_kind(word)), word);
  EXPECT_EQ(test::message_of<ConfigError>([] { static_cast<void>(activation_kind("gelu")); }),
            "model.activation: must be none, relu or tanh; got \"gelu\"; choose one of them");
}

TEST(Activation, RefusesSizesThatDoNotFit) {
  const Activation<double> map({1, 2, 2}, ActivationKind::relu);
  Matrix<double> x(2, 4), y(2, 3);
  EXPECT_EQ(test::message_of<ShapeError>([&] { map.forward({}, x, y); }), "activation: y must be 2 x 4; got 2 x 3");
  EXPECT_EQ(test::message_of<ShapeError>([&] { map.forward({}, y, x); }), "activation: x must have 4 columns; got 2 x 3");
}

}  // namespace
}  // namespace ffzero
