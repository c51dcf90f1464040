// Accuracy, confusion matrix, R^2, quartiles.
// SPDX-License-Identifier: MIT
#include "ffzero/metric/metric.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ffzero/base/error.hpp"

namespace ffzero {
namespace {

const std::vector<std::int32_t> kPredicted{0, 1, 2, 2};
const std::vector<std::int32_t> kTrue{0, 2, 2, 0};

TEST(Accuracy, CountsHits) {
  EXPECT_DOUBLE_EQ(accuracy(kPredicted, kTrue), 0.5);
  EXPECT_THROW(static_cast<void>(accuracy(kPredicted, std::vector<std::int32_t>{0})), ShapeError);
  EXPECT_THROW(static_cast<void>(accuracy({}, {})), ShapeError);
}

TEST(ConfusionMatrix, HasTrueClassesInRows) {
  ConfusionMatrix m(3);
  EXPECT_EQ(m.accuracy(), 0.0);
  m.add(kPredicted, kTrue);
  m.add(kPredicted, kTrue);
  EXPECT_EQ(m.counts()(2, 1), 2);
  EXPECT_EQ(m.counts()(0, 2), 2);
  EXPECT_EQ(m.counts()(1, 2), 0);
  EXPECT_EQ(m.counts()(2, 2), 2);
  EXPECT_EQ(m.total(), 8);
  EXPECT_DOUBLE_EQ(m.accuracy(), accuracy(kPredicted, kTrue));
  m.reset();
  EXPECT_EQ(m.total(), 0);
}

TEST(ConfusionMatrix, RefusesWhatDoesNotFitAndKeepsItsCounts) {
  ConfusionMatrix m(2);
  EXPECT_THROW(m.add(kPredicted, kTrue), ShapeError);
  EXPECT_THROW(m.add(std::vector<std::int32_t>{-1}, std::vector<std::int32_t>{0}), ShapeError);
  EXPECT_THROW(m.add(std::vector<std::int32_t>{1}, std::vector<std::int32_t>{}), ShapeError);
  EXPECT_EQ(m.total(), 0);
  EXPECT_THROW(ConfusionMatrix(0), ShapeError);
}

TEST(BalancedAccuracy, CountsEveryClassAlike) {
  Matrix<std::int64_t> counts(3, 3);
  counts << 90, 10, 0, 5, 5, 0, 0, 0, 0;
  const auto recalls = recalls_of(counts);
  EXPECT_DOUBLE_EQ(*recalls[0], 0.9);
  EXPECT_DOUBLE_EQ(*recalls[1], 0.5);
  EXPECT_FALSE(recalls[2].has_value()) << "no samples, no recall";
  EXPECT_DOUBLE_EQ(balanced_accuracy(counts), 0.7);
  EXPECT_EQ(balanced_accuracy(Matrix<std::int64_t>::Zero(2, 2)), 0.0);
}

TEST(RSquared, IsOneForExactZeroForTheMeanAndNegativeForWorse) {
  const std::vector<double> y{1.0, 2.0, 3.0, 6.0};
  EXPECT_DOUBLE_EQ(r_squared(y, y), 1.0);
  EXPECT_NEAR(r_squared(std::vector<double>(4, 3.0), y), 0.0, 1e-15);
  EXPECT_LT(r_squared(std::vector<double>(4, 30.0), y), 0.0);
  const std::vector<double> p{1.0, 2.0, 4.0, 5.0};
  EXPECT_DOUBLE_EQ(r_squared(p, y), 1.0 - 2.0 / 14.0);
}

TEST(RSquared, DoesNotDependOnTheScale) {
  const std::vector<float> y{-1.0F, -0.5F, 0.25F, 1.0F};
  const std::vector<float> p{-0.9F, -0.6F, 0.5F, 0.8F};
  const auto rescaled = [](const std::vector<float>& v) {
    std::vector<double> out;
    for (const float x : v) out.push_back(12.0 - 3.5 * static_cast<double>(x));
    return out;
  };
  EXPECT_NEAR(r_squared(rescaled(p), rescaled(y)), r_squared(p, y), 1e-12);
}

TEST(RSquared, SaysMinusInfinityWithoutSpread) {
  const std::vector<double> y{2.0, 2.0};
  EXPECT_DOUBLE_EQ(r_squared(y, y), 1.0);
  EXPECT_EQ(r_squared(std::vector<double>{2.0, 1.0}, y), -INFINITY);
  EXPECT_THROW(static_cast<void>(r_squared(std::vector<double>{}, std::vector<double>{})), ShapeError);
  EXPECT_THROW(static_cast<void>(r_squared(std::vector<double>{1.0}, y)), ShapeError);
}

TEST(Summarise, InterpolatesBetweenOrderStatistics) {
  const Summary s = summarise(std::vector<double>{4.0, 1.0, 3.0, 2.0});
  EXPECT_DOUBLE_EQ(s.mean, 2.5);
  EXPECT_DOUBLE_EQ(s.minimum, 1.0);
  EXPECT_DOUBLE_EQ(s.lower_quartile, 1.75);
  EXPECT_DOUBLE_EQ(s.median, 2.5);
  EXPECT_DOUBLE_EQ(s.upper_quartile, 3.25);
  EXPECT_DOUBLE_EQ(s.maximum, 4.0);
  EXPECT_DOUBLE_EQ(summarise(std::vector<double>{7.0}).upper_quartile, 7.0);
  EXPECT_DOUBLE_EQ(quantile(std::vector<double>{0.0, 10.0}, 0.9), 9.0);
  EXPECT_THROW(static_cast<void>(summarise({})), ShapeError);
  EXPECT_THROW(static_cast<void>(quantile(std::vector<double>{1.0}, 1.5)), ShapeError);
}

}  // namespace
}  // namespace ffzero
