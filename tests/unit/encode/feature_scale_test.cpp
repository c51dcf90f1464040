// Features on a common scale: fitted on one split, applied to any sample.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/feature_scale.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/encode/encoder.hpp"
#include "support/expect_error.hpp"

namespace ffzero {
namespace {

using Rows = std::vector<std::vector<float>>;

FeatureScale fit(ScaleKind kind, const Rows& rows) {
  return fit_feature_scale(kind, isize(rows.front().size()), isize(rows.size()),
                           [&rows](Index i) { return std::span<const float>(rows[usize(i)]); });
}

std::vector<float> apply(const FeatureScale& scale, const std::vector<float>& x) {
  std::vector<float> out(x.size());
  scale.apply(x, out);
  return out;
}

TEST(FeatureScale, StandardisesEachFeatureByItsOwnMeanAndDeviation) {
  const FeatureScale scale = fit(ScaleKind::standardise, {{1, 10}, {3, 10}, {5, 40}, {7, 40}});
  EXPECT_EQ(scale.offset, (std::vector<double>{4, 25}));
  EXPECT_NEAR(scale.factor[0], 1.0 / std::sqrt(5.0), 1e-15);
  EXPECT_NEAR(scale.factor[1], 1.0 / 15.0, 1e-15);
  EXPECT_EQ(apply(scale, {4, 55}), (std::vector<float>{0, 2}));
}

TEST(FeatureScale, OnTheSphereSamplesHaveALengthOfOneInTheMean) {
  const Rows samples{{1, 10}, {3, 10}, {5, 40}, {7, 40}};
  const FeatureScale scale = fit(ScaleKind::sphere, samples);
  double squares = 0.0;
  for (const auto& sample : samples)
    for (const float x : apply(scale, sample)) squares += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(squares / 4.0, 1.0, 1e-6);
  EXPECT_NEAR(scale.factor[1], 1.0 / (15.0 * std::sqrt(2.0)), 1e-15);
}

TEST(FeatureScale, UnitTakesTheRangeToZeroAndOne) {
  const FeatureScale scale = fit(ScaleKind::unit, {{-2, 5}, {2, 9}, {0, 7}});
  EXPECT_EQ(apply(scale, {-2, 9}), (std::vector<float>{0, 1}));
  EXPECT_EQ(apply(scale, {1, 11}), (std::vector<float>{0.75F, 1.5F})) << "samples outside the range are not cut at it";
}

TEST(FeatureScale, NoneIsEmpty) { EXPECT_TRUE(fit(ScaleKind::none, {{1, 2}}).empty()); }

TEST(FeatureScale, ConstantFeaturesBecomeZero) {
  // The mean of three times 0.1F is not 0.1F.
  for (const ScaleKind kind : {ScaleKind::standardise, ScaleKind::sphere, ScaleKind::unit}) {
    const FeatureScale scale = fit(kind, {{0.1F, 1}, {0.1F, 2}, {0.1F, 3}});
    EXPECT_EQ(scale.factor[0], 0.0);
    EXPECT_EQ(apply(scale, {0.1F, 1})[0], 0.0F);
    EXPECT_EQ(apply(scale, {3e38F, 1})[0], 0.0F) << "also where a later sample differs";
  }
  EXPECT_EQ(apply(fit(ScaleKind::standardise, {{7, 8}}), {7, 8}), (std::vector<float>{0, 0})) << "a single sample";
}

TEST(FeatureScale, HugeAndTinyScalesGiveTheSameNumbers) {
  const std::vector<float> plain{-1, 0.25F, 3};
  for (const float unit : {1e30F, 1e-30F, 1e38F, 1e-38F}) {
    Rows rows;
    for (const float v : plain) rows.push_back({v, unit * v});
    for (const ScaleKind kind : {ScaleKind::standardise, ScaleKind::sphere, ScaleKind::unit}) {
      const FeatureScale scale = fit(kind, rows);
      for (const auto& row : rows) {
        const auto out = apply(scale, row);
        EXPECT_NEAR(out[1], out[0], 1e-6F) << unit;
      }
    }
  }
}

TEST(FeatureScale, OutliersStayFinite) {
  const FeatureScale scale = fit(ScaleKind::standardise, {{1e-30F}, {2e-30F}, {3e-30F}});
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(apply(scale, {most})[0], 1e6F);
  EXPECT_EQ(apply(scale, {-most})[0], -1e6F);
  const FeatureScale wide = fit(ScaleKind::standardise, {{-most}, {most}, {0}});
  EXPECT_NEAR(apply(wide, {most})[0], std::sqrt(1.5F), 1e-6F);
}

TEST(FeatureScale, IsSpelledAsInTheConfiguration) {
  for (const ScaleKind kind : {ScaleKind::none, ScaleKind::standardise, ScaleKind::sphere, ScaleKind::unit})
    EXPECT_EQ(scale_kind_from(to_string(kind)), kind);
  EXPECT_EQ(test::message_of<ConfigError>([] { (void)scale_kind_from("log"); }),
            "dataset.scale: must be auto, none, standardise, sphere or unit; got \"log\"");
  EXPECT_THROW(static_cast<void>(fit_feature_scale(ScaleKind::unit, 1, 0, {})), ShapeError);
}

TEST(Encoder, ScalesRealSamplesBeforeAllElse) {
  const FeatureScale scale{.offset = {1, 2, 3}, .factor = {2, 0.5, 0}};
  const Encoder encoder({}, {1, 1, 3}, scale);
  std::vector<float> out(3);
  encoder.encode(std::span<const float>(std::vector<float>{2, 4, 9}), out);
  EXPECT_EQ(out, (std::vector<float>{2, 1, 0}));
  const Encoder optical({.optical_field = OpticalField::amplitude}, {1, 1, 3}, scale);
  std::vector<float> field(6);
  optical.encode(std::span<const float>(std::vector<float>{2, 4, 9}), field);
  EXPECT_EQ(field, (std::vector<float>{1, 0.5F, 0, 0, 0, 0}));
  EXPECT_THROW(Encoder({}, {1, 1, 2}, scale), ShapeError);
}

}  // namespace
}  // namespace ffzero
