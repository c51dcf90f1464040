// Losses: values by hand, exact gradients, invariances, refusals.
// SPDX-License-Identifier: MIT
#include "ffzero/loss/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

constexpr double kTight = 1e-13;

template <class S>
Matrix<double> values_of(const Loss<S>& loss, const Matrix<S>& scores, Index classes, const Targets& targets) {
  Matrix<double> losses = Matrix<double>::Constant(scores.rows(), loss.joint() ? 1 : scores.cols() / classes, -1.0);
  loss.values(scores, classes, targets, losses);
  return losses;
}

template <class S>
Matrix<S> gradient_of(const Loss<S>& loss, const Matrix<S>& scores, Index classes, const Targets& targets) {
  Matrix<S> gs = Matrix<S>::Constant(scores.rows(), scores.cols(), std::numeric_limits<S>::quiet_NaN());
  loss.gradient(scores, classes, targets, gs);
  return gs;
}

void expect_exact_gradient(const Loss<double>& loss, Index groups, Index classes, const Targets& targets, Index batch) {
  const Matrix<double> s = test::normal_matrix(batch, groups * classes, 77) * 0.4;
  const auto f = [&](const Matrix<double>& at) { return values_of<double>(loss, at, classes, targets).sum(); };
  test::expect_matrix_gradient(f, s, gradient_of<double>(loss, s, classes, targets), loss.name());
}

TEST(MarginLoss, AddsTheMarginForTheTrueClassToo) {
  const auto loss = make_margin_loss<double>(0.3);
  Matrix<double> s(2, 3);
  s << 0.5, 0.4, -0.9, 1.0, 0.2, 0.1;
  const std::vector<std::int32_t> labels{0, 0};
  const Matrix<double> v = values_of<double>(*loss, s, 3, {.labels = labels, .values = {}});
  EXPECT_NEAR(v(0, 0), 0.3 + 0.2, kTight);
  EXPECT_NEAR(v(1, 0), 0.3, kTight);
  EXPECT_FALSE(loss->joint());
}

TEST(MarginLoss, IsTheSumOfItsHingesForAnyNumberOfClassesAndGroups) {
  for (const Index classes : {2, 3, 8, 10, 17})
    for (const Index groups : {1, 3}) {
      const Matrix<double> s = test::normal_matrix(5, groups * classes, 9);
      const auto labels = test::random_labels(5, classes, 3);
      Matrix<double> expected = Matrix<double>::Constant(5, groups, 0.3);
      for (Index b = 0; b < 5; ++b)
        for (Index g = 0; g < groups; ++g)
          for (Index k = 0; k < classes; ++k)
            if (const Index label = labels[usize(b)]; k != label)
              expected(b, g) += std::max(0.0, 0.3 + s(b, g * classes + k) - s(b, g * classes + label));
      const Matrix<double> found = values_of<double>(*make_margin_loss<double>(0.3), s, classes, {.labels = labels, .values = {}});
      EXPECT_LT((found - expected).cwiseAbs().maxCoeff(), kTight) << classes << " classes, " << groups << " groups";
    }
}

TEST(MarginLoss, HasNoSlopeAtTheKinkAndNoneForTheTrueClassAlone) {
  const auto loss = make_margin_loss<double>(0.25);
  Matrix<double> s(1, 3);
  s << 0.75, 0.5, 0.625;  // class 1 sits exactly on the kink
  const std::vector<std::int32_t> labels{0};
  const Matrix<double> g = gradient_of<double>(*loss, s, 3, {.labels = labels, .values = {}});
  EXPECT_EQ(g(0, 0), -1.0);
  EXPECT_EQ(g(0, 1), 0.0);
  EXPECT_EQ(g(0, 2), 1.0);
}

TEST(CosineLoss, IsOneMinusTheTrueSimilarity) {
  const auto loss = make_cosine_loss<float>();
  Matrix<float> s(2, 4);
  s << 0.5F, 1.0F, -0.25F, 0.75F, 0.0F, 0.0F, 0.0F, -1.0F;  // two groups of two classes
  const std::vector<std::int32_t> labels{0, 1};
  const Matrix<double> v = values_of<float>(*loss, s, 2, {.labels = labels, .values = {}});
  Matrix<double> expected(2, 2);
  expected << 0.5, 1.25, 1.0, 2.0;
  EXPECT_EQ(v, expected);
}

TEST(CrossEntropyLoss, EqualsItsDefinition) {
  const auto loss = make_cross_entropy_loss<double>(0.5, 0.1);
  Matrix<double> s(1, 2);
  s << 0.2, -0.3;
  const std::vector<std::int32_t> labels{1};
  const double z = std::exp(0.4) + std::exp(-0.6);
  const double expected = -(0.05 * std::log(std::exp(0.4) / z) + 0.95 * std::log(std::exp(-0.6) / z));
  EXPECT_NEAR(values_of<double>(*loss, s, 2, {.labels = labels, .values = {}})(0, 0), expected, kTight);
}

TEST(SoftmaxLosses, EqualTheirDefinitionForAnyNumberOfClassesAndGroups) {
  for (const Index classes : {2, 3, 8, 10, 17, 256, 300})
    for (const Index groups : {1, 3, 20}) {
      const Matrix<double> s = test::normal_matrix(7, groups * classes, 9);
      const auto labels = test::random_labels(7, classes, 3);
      const auto expect = [&](const Loss<double>& loss, double margin, double smoothing) {
        const Matrix<double> found = values_of<double>(loss, s, classes, {.labels = labels, .values = {}});
        for (Index b = 0; b < 7; ++b)
          for (Index g = 0; g < groups; ++g) {
            Vector<double> t = s.row(b).segment(g * classes, classes).transpose() / 0.3;
            t[labels[usize(b)]] -= margin / 0.3;
            const double expected = std::log(t.array().exp().sum()) - (1.0 - smoothing) * t[labels[usize(b)]] - smoothing * t.mean();
            ASSERT_NEAR(found(b, g), expected, 1e-12) << loss.name() << ", " << classes << " classes, " << groups << " groups";
          }
      };
      expect(*make_cross_entropy_loss<double>(0.3, 0.1), 0.0, 0.1);
      expect(*make_cross_entropy_loss<double>(0.3), 0.0, 0.0);
      expect(*make_n_pair_loss<double>(0.3, 0.2), 0.2, 0.0);
    }
}

TEST(CrossEntropyLoss, DoesNotChangeWhenAllScoresShift) {
  test::expect_property("softmax shift", [] {
    const auto classes = *rc::gen::inRange<Index>(2, 12);
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const double shift = *rc::gen::inRange(-1000, 1000) / 7.0;
    const double temperature = *rc::gen::inRange(1, 100) / 20.0;
    const double smoothing = *rc::gen::inRange(0, 9) / 10.0;
    const auto loss = make_cross_entropy_loss<double>(temperature, smoothing);
    const Matrix<double> s = test::normal_matrix(3, classes, seed);
    const Matrix<double> moved = s.array() + shift;
    const auto labels = test::random_labels(3, classes, seed);
    const Targets targets{.labels = labels, .values = {}};
    RC_ASSERT((values_of<double>(*loss, s, classes, targets) - values_of<double>(*loss, moved, classes, targets)).cwiseAbs().maxCoeff() <
              1e-11 / temperature);
    const Matrix<double> g = gradient_of<double>(*loss, s, classes, targets);
    RC_ASSERT(g.rowwise().sum().cwiseAbs().maxCoeff() < 1e-11);  // so the slope along the shift is none
  });
}

TEST(CrossEntropyLoss, StaysFiniteForHugeScores) {
  const auto loss = make_cross_entropy_loss<float>(0.05);
  Matrix<float> s(1, 2);
  s << 1e30F, -1e30F;
  const std::vector<std::int32_t> labels{1};
  const Targets targets{.labels = labels, .values = {}};
  EXPECT_TRUE(std::isfinite(values_of<float>(*loss, s, 2, targets)(0, 0)));
  EXPECT_TRUE(gradient_of<float>(*loss, s, 2, targets).allFinite());
}

TEST(NPairLoss, ComparesTheTrueClassWithEachOther) {
  const auto loss = make_n_pair_loss<double>(0.5, 0.2);
  Matrix<double> s(1, 3);
  s << 0.2, -0.3, 0.6;
  const std::vector<std::int32_t> labels{0};
  const double expected = std::log(1.0 + std::exp((0.2 - 0.3 - 0.2) / 0.5) + std::exp((0.2 + 0.6 - 0.2) / 0.5));
  EXPECT_NEAR(values_of<double>(*loss, s, 3, {.labels = labels, .values = {}})(0, 0), expected, kTight);
  const Matrix<double> cross_entropy = values_of<double>(*make_cross_entropy_loss<double>(0.5), s, 3, {.labels = labels, .values = {}});
  EXPECT_EQ(values_of<double>(*make_n_pair_loss<double>(0.5, 0.0), s, 3, {.labels = labels, .values = {}}), cross_entropy);
}

TEST(SquaredLoss, LooksAtTheMeanOverGroups) {
  const auto loss = make_squared_loss<double>();
  Matrix<double> s(2, 2);
  s << 0.5, 1.0, -0.5, 0.5;
  const std::vector<double> y{0.25, -1.0};
  const Matrix<double> v = values_of<double>(*loss, s, 1, {.labels = {}, .values = y});
  EXPECT_TRUE(loss->joint());
  ASSERT_EQ(v.cols(), 1);
  EXPECT_NEAR(v(0, 0), 0.25, kTight);
  EXPECT_NEAR(v(1, 0), 1.0, kTight);
}

TEST(Losses, HaveExactGradients) {
  const auto labels = test::random_labels(5, 4, 9);
  const Targets classes{.labels = labels, .values = {}};
  for (const Index groups : {1, 3}) {
    expect_exact_gradient(*make_margin_loss<double>(), groups, 4, classes, 5);
    expect_exact_gradient(*make_cosine_loss<double>(), groups, 4, classes, 5);
    expect_exact_gradient(*make_cross_entropy_loss<double>(), groups, 4, classes, 5);
    expect_exact_gradient(*make_cross_entropy_loss<double>(0.3, 0.2), groups, 4, classes, 5);
    expect_exact_gradient(*make_n_pair_loss<double>(0.3, 0.25), groups, 4, classes, 5);
    const std::vector<double> y{0.1, -0.7, 0.3, 1.0, -1.0};
    expect_exact_gradient(*make_squared_loss<double>(), groups, 1, {.labels = {}, .values = y}, 5);
  }
}

TEST(Losses, AgreeInFloatAndDouble) {
  const auto labels = test::random_labels(16, 10, 4);
  const Targets targets{.labels = labels, .values = {}};
  const Matrix<float> s = test::normal_matrix<float>(16, 20, 6) * 0.3F;
  const Matrix<double> wide = s.cast<double>();
  const auto compare = [&](const Loss<float>& single, const Loss<double>& exact) {
    EXPECT_EQ(values_of<float>(single, s, 10, targets), values_of<double>(exact, wide, 10, targets)) << single.name();
    EXPECT_LT(
        (gradient_of<float>(single, s, 10, targets).cast<double>() - gradient_of<double>(exact, wide, 10, targets)).cwiseAbs().maxCoeff(),
        1e-5)
        << single.name();
  };
  compare(*make_margin_loss<float>(), *make_margin_loss<double>());
  compare(*make_cosine_loss<float>(), *make_cosine_loss<double>());
  compare(*make_cross_entropy_loss<float>(0.05, 0.1), *make_cross_entropy_loss<double>(0.05, 0.1));
}

TEST(Losses, KeepNotANumber) {
  Matrix<double> s = Matrix<double>::Zero(1, 3);
  s(0, 2) = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::int32_t> labels{0};
  const Targets targets{.labels = labels, .values = {}};
  EXPECT_TRUE(std::isnan(values_of<double>(*make_margin_loss<double>(), s, 3, targets)(0, 0)));
  EXPECT_TRUE(std::isnan(values_of<double>(*make_cross_entropy_loss<double>(), s, 3, targets)(0, 0)));
}

TEST(Losses, RefuseTargetsThatDoNotFit) {
  const Matrix<double> s = Matrix<double>::Zero(2, 3);
  Matrix<double> losses(2, 1);
  const std::vector<std::int32_t> outside{0, 3};
  const std::vector<std::int32_t> negative{-1, 0};
  const std::vector<std::int32_t> few{0};
  const std::vector<double> real{0.0, 1.0};
  const auto margin = make_margin_loss<double>();
  EXPECT_THROW(margin->values(s, 3, {.labels = outside, .values = {}}, losses), ShapeError);
  EXPECT_THROW(margin->values(s, 3, {.labels = negative, .values = {}}, losses), ShapeError);
  EXPECT_THROW(margin->values(s, 3, {.labels = few, .values = {}}, losses), ShapeError);
  EXPECT_THROW(margin->values(s, 3, {.labels = {}, .values = real}, losses), ShapeError);
  EXPECT_THROW(margin->values(s, 2, {.labels = negative, .values = {}}, losses), ShapeError);
  const auto squared = make_squared_loss<double>();
  EXPECT_THROW(squared->values(s, 3, {.labels = {}, .values = real}, losses), ShapeError);
  EXPECT_THROW(squared->values(s, 1, {.labels = outside, .values = {}}, losses), ShapeError);
}

TEST(Losses, RefuseSettingsOutOfRange) {
  EXPECT_THROW(static_cast<void>(make_margin_loss<float>(-0.1)), ConfigError);
  EXPECT_THROW(static_cast<void>(make_cross_entropy_loss<float>(0.0)), ConfigError);
  EXPECT_THROW(static_cast<void>(make_cross_entropy_loss<float>(1.0, 1.0)), ConfigError);
  EXPECT_THROW(static_cast<void>(make_n_pair_loss<float>(0.1, -1.0)), ConfigError);
}

TEST(Targets, CutRows) {
  const std::vector<std::int32_t> labels{4, 5, 6, 7};
  const Targets part = Targets{.labels = labels, .values = {}}.rows(1, 2);
  ASSERT_EQ(part.size(), 2);
  EXPECT_EQ(part.labels[0], 5);
  EXPECT_TRUE(part.values.empty());
}

TEST(WeightedLoss, MultipliesEachSampleAndLeavesUnweightedOnesAsTheyAre) {
  const Matrix<double> s = test::normal_matrix(4, 6, 5);
  const auto labels = test::random_labels(4, 3, 1);
  const std::vector<double> weights{0.0, 1.0, 2.5, 0.25};
  for (const bool margin : {true, false}) {
    const auto make = [margin] { return margin ? make_margin_loss<double>() : make_cross_entropy_loss<double>(0.5); };
    const auto plain = make(), weighted = make_weighted_loss(make());
    const Targets targets{.labels = labels, .values = {}}, with{.labels = labels, .values = {}, .weights = weights};
    EXPECT_TRUE(values_of<double>(*weighted, s, 3, targets) == values_of<double>(*plain, s, 3, targets));
    EXPECT_TRUE(gradient_of<double>(*weighted, s, 3, targets) == gradient_of<double>(*plain, s, 3, targets));
    const Matrix<double> losses = values_of<double>(*weighted, s, 3, with), slopes = gradient_of<double>(*weighted, s, 3, with);
    for (Index b = 0; b < 4; ++b) {
      EXPECT_TRUE(losses.row(b) == weights[usize(b)] * values_of<double>(*plain, s, 3, targets).row(b));
      EXPECT_TRUE(slopes.row(b) == weights[usize(b)] * gradient_of<double>(*plain, s, 3, targets).row(b));
    }
    const Targets part = with.rows(2, 2);
    EXPECT_TRUE(values_of<double>(*weighted, Matrix<double>(s.bottomRows(2)), 3, part) == Matrix<double>(losses.bottomRows(2)));
    expect_exact_gradient(*weighted, 2, 3, with, 4);
    const std::vector<double> few{1.0};
    EXPECT_THROW(values_of<double>(*weighted, s, 3, {.labels = labels, .values = {}, .weights = few}), ShapeError);
  }
}

TEST(SquaredLoss, OfSeveralOutputsIsOneLossForEachGroup) {
  const auto loss = make_squared_loss<double>(2);
  EXPECT_FALSE(loss->joint());
  const std::vector<double> y{0.5, -0.5, 0.0, 1.0};
  const Targets targets{.labels = {}, .values = y, .outputs = 2};
  EXPECT_EQ(targets.size(), 2);
  Matrix<double> s(2, 4);
  s << 0.5, 0.0, 0.25, -0.5, 1.0, 1.0, 0.0, 0.5;
  Matrix<double> groups(2, 4), together(2, 2);
  groups << 0.0, 0.25, 0.0625, 0.0, 1.0, 0.0, 0.0, 0.25;
  together << 0.25, 0.0625, 1.0, 0.25;
  EXPECT_TRUE(values_of<double>(*loss, s, 1, targets) == groups) << "group g learns target g mod 2";
  EXPECT_TRUE(values_of<double>(*loss, s, 2, targets) == together) << "a score for each target, end to end";
  expect_exact_gradient(*loss, 4, 1, targets, 2);
  expect_exact_gradient(*loss, 1, 2, targets, 2);
  EXPECT_TRUE(values_of<double>(*loss, Matrix<double>(s.bottomRows(1)), 1, targets.rows(1, 1)) == Matrix<double>(groups.bottomRows(1)));
  EXPECT_THROW(values_of<double>(*loss, Matrix<double>(s.leftCols(3)), 1, targets), ShapeError);
  EXPECT_THROW(values_of<double>(*loss, s, 4, targets), ShapeError);
  EXPECT_THROW(values_of<double>(*loss, s, 1, {.labels = {}, .values = y}), ShapeError);
}

}  // namespace
}  // namespace ffzero
