// The cosine head and the logits head: values, edges and exact gradients.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

struct Tolerance {
  double values = 1e-13;          ///< double against the definition
  double single = 2e-6;           ///< float against double, scores of size 1
  double single_gradient = 1e-5;  ///< float against double, relative to the largest entry
};
constexpr Tolerance kTolerance;

std::vector<Matrix<double>> make_prototypes(Index groups, Index classes, Index dimension) {
  std::vector<Matrix<double>> all;
  for (Index g = 0; g < groups; ++g) {
    all.push_back(simplex_prototypes(classes, dimension, RandomStream(5, Stream::prototype, static_cast<std::uint32_t>(g))));
  }
  return all;
}

template <class S>
Matrix<S> scores_of(const Head<S>& head, const Matrix<S>& z) {
  Matrix<S> s = Matrix<S>::Constant(z.rows(), head.groups() * head.classes(), std::numeric_limits<S>::quiet_NaN());
  head.scores(z, s);
  return s;
}

template <class S>
Matrix<S> pullback_of(const Head<S>& head, const Matrix<S>& z, const Matrix<S>& gs) {
  Matrix<S> gz = Matrix<S>::Constant(z.rows(), z.cols(), std::numeric_limits<S>::quiet_NaN());
  head.pullback(z, gs, gz);
  return gz;
}

/// The definition, sample by sample.
Matrix<double> plain_scores(const std::vector<Matrix<double>>& r, const Matrix<double>& z, double floor) {
  const Index classes = r.front().rows();
  const Index d = r.front().cols();
  Matrix<double> s(z.rows(), isize(r.size()) * classes);
  for (Index b = 0; b < z.rows(); ++b) {
    for (std::size_t g = 0; g < r.size(); ++g) {
      const Eigen::RowVectorXd zg = z.row(b).segment(isize(g) * d, d);
      const double length = std::max(zg.norm(), floor);
      for (Index k = 0; k < classes; ++k) s(b, isize(g) * classes + k) = length == 0.0 ? 0.0 : zg.dot(r[g].row(k)) / length;
    }
  }
  return s;
}

TEST(PrototypeHead, EqualsTheDefinitionForAnyShape) {
  test::expect_property("cosine similarities", [] {
    const auto groups = *rc::gen::inRange<Index>(1, 5);
    const auto classes = *rc::gen::inRange<Index>(1, 6);
    const auto d = classes + *rc::gen::inRange<Index>(0, 20);
    const auto batch = *rc::gen::inRange<Index>(0, 9);
    const auto r = make_prototypes(groups, classes, d);
    const Matrix<double> z = test::normal_matrix(batch, groups * d, *rc::gen::arbitrary<std::uint64_t>());
    const PrototypeHead<double> head(r);
    const Matrix<double> s = scores_of<double>(head, z);
    const double worst = batch == 0 ? 0.0 : (s - plain_scores(r, z, 0.0)).cwiseAbs().maxCoeff();
    RC_ASSERT(worst < kTolerance.values);
  });
}

TEST(PrototypeHead, SeesTheDirectionOfZAlone) {
  const auto r = make_prototypes(2, 3, 7);
  const PrototypeHead<double> head(r);
  const Matrix<double> z = test::normal_matrix(5, 14, 1);
  EXPECT_LT((scores_of<double>(head, z * 1e-90) - scores_of<double>(head, z * 1e90)).cwiseAbs().maxCoeff(), 1e-13);
}

TEST(PrototypeHead, GivesZeroForAZeroOutputAndKeepsNotANumber) {
  const PrototypeHead<float> head(make_prototypes(1, 3, 4));
  Matrix<float> z = Matrix<float>::Zero(2, 4);
  z(1, 2) = std::numeric_limits<float>::quiet_NaN();
  const Matrix<float> s = scores_of<float>(head, z);
  EXPECT_EQ(s.row(0).cwiseAbs().maxCoeff(), 0.0F);
  EXPECT_TRUE(std::isnan(s(1, 0)));
  const Matrix<float> gz = pullback_of<float>(head, z, Matrix<float>::Ones(2, 3));
  EXPECT_EQ(gz.row(0).cwiseAbs().maxCoeff(), 0.0F);
}

TEST(PrototypeHead, ScoresASampleTheSameAloneAndInABatch) {
  const PrototypeHead<double> head(make_prototypes(2, 4, 6));
  const Matrix<double> z = test::normal_matrix(17, 12, 8);
  const Matrix<double> all = scores_of<double>(head, z);
  for (Index b = 0; b < z.rows(); ++b) {
    EXPECT_LT((scores_of<double>(head, Matrix<double>(z.row(b))) - all.row(b)).cwiseAbs().maxCoeff(), kTolerance.values);
  }
}

TEST(PrototypeHead, WorksOnViewsOfLargerMatrices) {
  const auto r = make_prototypes(1, 3, 5);
  const PrototypeHead<double> head(r);
  const Matrix<double> wide = test::normal_matrix(6, 11, 3);
  Matrix<double> out = Matrix<double>::Constant(6, 9, 7.0);
  head.scores(wide.middleCols(4, 5), out.middleCols(2, 3));
  EXPECT_LT((out.middleCols(2, 3) - plain_scores(r, wide.middleCols(4, 5), 0.0)).cwiseAbs().maxCoeff(), kTolerance.values);
  EXPECT_TRUE((out.leftCols(2).array() == 7.0).all());
  EXPECT_TRUE((out.rightCols(4).array() == 7.0).all());
}

TEST(PrototypeHead, HasTheGradientOfItsScores) {
  const PrototypeHead<double> head(make_prototypes(3, 4, 6));
  const Matrix<double> z = test::normal_matrix(4, 18, 21);
  const Matrix<double> gs = test::normal_matrix(4, 12, 22);
  const auto f = [&](const Matrix<double>& at) { return scores_of<double>(head, at).cwiseProduct(gs).sum(); };
  test::expect_matrix_gradient(f, z, pullback_of<double>(head, z, gs), "cosine head");
}

TEST(PrototypeHead, HasTheGradientOfItsScoresOnBothSidesOfTheFloor) {
  const double floor = 2.0;
  const auto r = make_prototypes(1, 3, 5);
  const PrototypeHead<double> head(r, floor);
  Matrix<double> z = test::normal_matrix(4, 5, 31);
  for (Index b = 0; b < z.rows(); ++b) z.row(b) *= (b % 2 == 0 ? 0.7 : 1.5) * floor / z.row(b).norm();
  EXPECT_LT((scores_of<double>(head, z) - plain_scores(r, z, floor)).cwiseAbs().maxCoeff(), kTolerance.values);
  const Matrix<double> gs = test::normal_matrix(4, 3, 32);
  const auto f = [&](const Matrix<double>& at) { return scores_of<double>(head, at).cwiseProduct(gs).sum(); };
  test::expect_matrix_gradient(f, z, pullback_of<double>(head, z, gs), "floored cosine head");
}

TEST(PrototypeHead, AgreesInFloatAndDouble) {
  const auto r = make_prototypes(2, 10, 50);
  const PrototypeHead<float> single(r);
  const PrototypeHead<double> exact(r);
  const Matrix<float> z = test::normal_matrix<float>(32, 100, 4) * 1e-3F;
  const Matrix<float> gs = test::normal_matrix<float>(32, 20, 5);
  const Matrix<double> wide = z.cast<double>();
  const Matrix<double> wide_gs = gs.cast<double>();
  EXPECT_LT((scores_of<float>(single, z).cast<double>() - scores_of<double>(exact, wide)).cwiseAbs().maxCoeff(), kTolerance.single);
  const Matrix<double> expected = pullback_of<double>(exact, wide, wide_gs);
  EXPECT_LT((pullback_of<float>(single, z, gs).cast<double>() - expected).cwiseAbs().maxCoeff(),
            kTolerance.single_gradient * expected.cwiseAbs().maxCoeff());
}

TEST(PrototypeHead, KeepsItsPrototypesInItsState) {
  const auto r = make_prototypes(2, 3, 4);
  const PrototypeHead<double> source(r);
  PrototypeHead<double> copy(make_prototypes(2, 3, 4));
  std::fill(copy.state().begin(), copy.state().end(), 0.0);
  std::copy(source.state().begin(), source.state().end(), copy.state().begin());
  EXPECT_EQ(copy.state().size(), 24U);
  EXPECT_EQ(Matrix<double>(copy.prototypes(1)), r[1]);
}

TEST(PrototypeHead, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(PrototypeHead<float>({}), ShapeError);
  EXPECT_THROW(PrototypeHead<float>({Matrix<double>::Ones(2, 3), Matrix<double>::Ones(3, 3)}), ShapeError);
  EXPECT_THROW(PrototypeHead<float>({Matrix<double>::Ones(2, 3)}, -1.0), ShapeError);
  const PrototypeHead<float> head({Matrix<double>::Ones(2, 3)});
  Matrix<float> z(4, 3);
  Matrix<float> s(4, 2);
  Matrix<float> wrong(4, 5);
  EXPECT_THROW(head.scores(wrong, s), ShapeError);
  EXPECT_THROW(head.scores(z, wrong), ShapeError);
  EXPECT_THROW(head.pullback(z, wrong, z), ShapeError);
  EXPECT_THROW(head.pullback(z, s, wrong), ShapeError);
}

TEST(LogitsHead, TakesTheFirstColumns) {
  const LogitsHead<double> head(6, 4);
  const Matrix<double> z = test::normal_matrix(3, 6, 1);
  EXPECT_EQ(scores_of<double>(head, z), Matrix<double>(z.leftCols(4)));
  const Matrix<double> gs = test::normal_matrix(3, 4, 2);
  const auto f = [&](const Matrix<double>& at) { return scores_of<double>(head, at).cwiseProduct(gs).sum(); };
  test::expect_matrix_gradient(f, z, pullback_of<double>(head, z, gs), "logits head");
  EXPECT_TRUE(head.state().empty());
}

TEST(LogitsHead, RefusesMoreClassesThanOutputs) {
  EXPECT_THROW(LogitsHead<float>(3, 4), ConfigError);
  EXPECT_THROW(LogitsHead<float>(3, 0), ShapeError);
  const LogitsHead<float> head(3, 2);
  Matrix<float> z(1, 3);
  Matrix<float> s(1, 3);
  EXPECT_THROW(head.scores(z, s), ShapeError);
  EXPECT_THROW(head.pullback(z, s, z), ShapeError);
}

TEST(Heads, AcceptAnEmptyBatch) {
  const PrototypeHead<float> prototypes(make_prototypes(2, 3, 4));
  EXPECT_EQ(pullback_of<float>(prototypes, Matrix<float>(0, 8), Matrix<float>(0, 6)).rows(), 0);
  const LogitsHead<float> logits(8, 3);
  EXPECT_EQ(scores_of<float>(logits, Matrix<float>(0, 8)).rows(), 0);
  EXPECT_EQ(pullback_of<float>(logits, Matrix<float>(0, 8), Matrix<float>(0, 3)).rows(), 0);
}

}  // namespace
}  // namespace ffzero
