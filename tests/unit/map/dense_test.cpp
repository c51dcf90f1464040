// The dense layer against its definition.
// SPDX-License-Identifier: MIT
#include "ffzero/map/dense.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/base/executor.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

TEST(Dense, IsWeightTimesInputPlusBias) {
  test::expect_property("z = W x + b", [] {
    const auto inputs = *rc::gen::inRange<Index>(1, 20), outputs = *rc::gen::inRange<Index>(1, 20), rows = *rc::gen::inRange<Index>(0, 9);
    const Dense<double> map({.width = inputs}, outputs);
    const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
    const Matrix<double> x = test::normal_matrix(rows, inputs, 2);
    Matrix<double> z(rows, outputs);
    map.forward(as_span(theta), x, z);
    for (Index b = 0; b < rows; ++b)
      for (Index h = 0; h < outputs; ++h) {
        double expected = theta[inputs * outputs + h];
        for (Index k = 0; k < inputs; ++k) expected += theta[h * inputs + k] * x(b, k);
        RC_ASSERT(std::abs(z(b, h) - expected) < 1e-12);
      }
  });
}

TEST(Dense, StackedProductsAreThoseOfTheDirections) {
  const Dense<double> map({.width = 5}, 4);
  const Vector<double> theta = test::normal_matrix(24, 1, 1);
  const Matrix<double> x = test::normal_matrix(3, 5, 2), directions = test::normal_matrix(2, 24, 3);
  Matrix<double> z(3, 4), p(3, 8), expected(3, 4);
  map.forward_stacked(as_span(theta), directions, x, z, p);
  for (Index j = 0; j < 2; ++j) {
    const Vector<double> moved = theta + 0.5 * directions.row(j).transpose();
    map.forward(as_span(moved), x, expected);
    EXPECT_LT((z + 0.5 * p.middleCols(4 * j, 4) - expected).cwiseAbs().maxCoeff(), 1e-13);
  }
}

TEST(Dense, PullbackIsTheGradientAndAddsUp) {
  const Dense<double> map({.width = 5}, 4);
  const Vector<double> theta = test::normal_matrix(24, 1, 1);
  const Matrix<double> x = test::normal_matrix(3, 5, 2), gy = test::normal_matrix(3, 4, 4);
  Matrix<double> y(3, 4), gx(3, 5);
  map.forward(as_span(theta), x, y);
  Vector<double> g = Vector<double>::Ones(24);
  MatrixRef<double> gx_view(gx);
  map.pullback(as_span(theta), x, y, gy, as_span(g), &gx_view);
  const auto loss = [&](const Vector<double>& t, const Matrix<double>& at) {
    Matrix<double> z(3, 4);
    map.forward(as_span(t), at, z);
    return z.cwiseProduct(gy).sum();
  };
  test::expect_gradient([&](const Vector<double>& t) { return loss(t, x); }, theta, g - Vector<double>::Ones(24), "theta");
  test::expect_matrix_gradient([&](const Matrix<double>& at) { return loss(theta, at); }, x, gx, "x");
}

TEST(Dense, SkipsTheZerosOfSparseInputsAndChangesNothing) {
  const Index rows = 20, inputs = 90, outputs = 18;
  const Dense<double> map({.width = inputs}, outputs);
  const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
  const Matrix<double> directions = test::normal_matrix(2, map.parameter_count(), 3), gy = test::normal_matrix(rows, outputs, 4);
  // Only every fourth input is other than 0: what the sparse path sees; the plain products see the columns that are left.
  Matrix<double> x = Matrix<double>::Zero(rows, inputs);
  for (Index k = 0; k < inputs; k += 4) x.col(k) = test::normal_matrix(rows, 1, static_cast<std::uint32_t>(10 + k));
  const auto plain = [&](const Vector<double>& t) {
    const Eigen::Map<const Matrix<double>> w(t.data(), outputs, inputs);
    Matrix<double> z = (x * w.transpose()).eval();
    z.rowwise() += t.tail(outputs).transpose();
    return z;
  };
  Matrix<double> y(rows, outputs), z(rows, outputs), p(rows, 2 * outputs);
  map.forward(as_span(theta), x, y);
  EXPECT_LT((y - plain(theta)).cwiseAbs().maxCoeff(), 1e-12);
  map.forward_stacked(as_span(theta), directions, x, z, p);
  EXPECT_EQ(z, y);
  for (Index j = 0; j < 2; ++j)
    EXPECT_LT((p.middleCols(j * outputs, outputs) - plain(directions.row(j).transpose())).cwiseAbs().maxCoeff(), 1e-12);
  Vector<double> g = Vector<double>::Ones(map.parameter_count());
  map.pullback(as_span(theta), x, y, gy, as_span(g), nullptr);
  const Matrix<double> gw = Eigen::Map<const Matrix<double>>(g.data(), outputs, inputs);
  EXPECT_LT((gw - Matrix<double>::Ones(outputs, inputs) - gy.transpose() * x).cwiseAbs().maxCoeff(), 1e-12);
}

/// Wide inputs, of which about `share` are not 0.
Matrix<double> wide_inputs(Index rows, Index inputs, double share) {
  Matrix<double> x = test::normal_matrix(rows, inputs, 5);
  const Matrix<double> kept = test::normal_matrix(rows, inputs, 6);
  const double bound = share >= 1.0 ? 1e9 : -0.84;  // a fifth of all normal numbers lies below
  for (Index i = 0; i < x.size(); ++i)
    if (kept.data()[i] > bound) x.data()[i] = 0.0;
  return x;
}

TEST(Dense, ProductsThatPiecesShareAreThoseOfEachPiece) {
  for (const int threads : {1, 3})
    for (const Index inputs : {7, 100, 300})
      for (const double share : {0.2, 1.0}) {
        const Executor executor(threads);
        const Index outputs = 33, rows = 29;
        const Dense<double> map({.width = inputs}, outputs);
        const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
        const Matrix<double> x = wide_inputs(rows, inputs, share), directions = test::normal_matrix(2, map.parameter_count(), 3);
        Matrix<double> z(rows, outputs), p(rows, 2 * outputs), own_z = z, own_p = p, forward(rows, outputs);
        map.forward_stacked(as_span(theta), directions, x, z, p);
        const auto shared = map.stacked_product();
        ASSERT_NE(shared, nullptr);
        shared->prepare(as_span(theta), directions, x);
        executor.run(2, [&](Index i) {
          const Index first = i * 16, count = i == 0 ? 16 : 13;
          shared->rows(first, 0, own_z.middleRows(first, count), own_p.middleRows(first, count));
        });
        EXPECT_LT((own_z - z).cwiseAbs().maxCoeff(), 1e-11) << inputs << " inputs";
        EXPECT_LT((own_p - p).cwiseAbs().maxCoeff(), 1e-11) << inputs << " inputs";
        Matrix<double> second(rows, outputs);
        shared->rows(0, 0, own_z, own_p);
        shared->rows(0, 1, own_z, second);
        EXPECT_EQ(second, own_p.rightCols(outputs)) << inputs << " inputs: a direction depends on the others";
        shared->prepare(as_span(theta), Matrix<double>(0, map.parameter_count()), x);
        shared->rows(0, forward);
        EXPECT_LT((forward - z).cwiseAbs().maxCoeff(), 1e-11) << inputs << " inputs, no direction";
        // What a thread packed belongs to one step of one product.
        const Vector<double> moved = 2.0 * theta;
        const auto other = map.stacked_product();
        other->prepare(as_span(moved), Matrix<double>(0, map.parameter_count()), x);
        shared->rows(0, forward);
        EXPECT_LT((forward - z).cwiseAbs().maxCoeff(), 1e-11) << inputs << " inputs, beside another product";
        other->rows(0, forward);
        EXPECT_LT((forward - 2.0 * z).cwiseAbs().maxCoeff(), 1e-11) << inputs << " inputs, the next step";
      }
}

TEST(Dense, PiecesOfTheGradientMakeUpAllOfIt) {
  for (const Index inputs : {7, 300})
    for (const double share : {0.2, 1.0}) {
      const Index outputs = 33, rows = 40;
      const Dense<double> map({.width = inputs}, outputs);
      const Matrix<double> x = wide_inputs(rows, inputs, share), gy = test::normal_matrix(rows, outputs, 4);
      Vector<double> g = Vector<double>::Ones(map.parameter_count());
      for (Index piece = 0; piece < map.gradient_pieces(); ++piece) map.add_gradient_piece(piece, x, gy, as_span(g));
      const Matrix<double> weights = gy.transpose() * x;
      const Vector<double> biases = gy.colwise().sum().transpose();
      g.array() -= 1.0;
      EXPECT_LT((Eigen::Map<const Matrix<double>>(g.data(), outputs, inputs) - weights).cwiseAbs().maxCoeff(), 1e-11);
      EXPECT_LT((g.tail(outputs) - biases).cwiseAbs().maxCoeff(), 1e-11);
    }
}

TEST(Dense, GroupsShareOutTheParameters) {
  const Dense<double> map({.width = 5}, 6, 3);
  const ParameterLayout layout = map.parameter_layout();
  ASSERT_EQ(layout.groups, 3);
  std::vector<int> owner(36, -1);
  for (const Unit& unit : layout.units)
    for (const Segment& s : unit.segments)
      for (Index i = s.begin; i < s.begin + s.size; ++i) {
        EXPECT_EQ(owner[usize(i)], -1);
        owner[usize(i)] = static_cast<int>(unit.group);
      }
  for (Index h = 0; h < 6; ++h) {
    for (Index k = 0; k < 5; ++k) EXPECT_EQ(owner[usize(h * 5 + k)], h / 2);
    EXPECT_EQ(owner[usize(30 + h)], h / 2);
  }
}

TEST(Dense, StartsWithinTheInverseRootOfItsInputs) {
  const Dense<double> map({.width = 100}, 50);
  Vector<double> theta(map.parameter_count());
  map.initialise(as_span(theta), RandomStream(1, Stream::initial));
  EXPECT_LT(theta.cwiseAbs().maxCoeff(), 0.1);
  EXPECT_GT(theta.cwiseAbs().maxCoeff(), 0.0999);
  EXPECT_NEAR(theta.mean(), 0.0, 5.0 * 0.1 / std::sqrt(3.0 * 5050.0));
}

TEST(Dense, RefusesWidthsThatDoNotFit) {
  EXPECT_THROW(Dense<float>({.width = 5}, 0), ConfigError);
  EXPECT_THROW(Dense<float>({.width = 0}, 3), ConfigError);
  EXPECT_THROW(Dense<float>({.width = 5}, 6, 4), ConfigError);
}

}  // namespace
}  // namespace ffzero
