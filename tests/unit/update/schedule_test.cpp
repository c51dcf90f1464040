// Learning-rate schedules: their shapes, their edges, and what they remember.
// SPDX-License-Identifier: MIT
#include "ffzero/update/schedule.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "ffzero/base/error.hpp"

namespace ffzero {
namespace {

TEST(Schedule, IsConstantByDefault) {
  const Schedule s;
  EXPECT_EQ(s.factor(0, 100), 1.0);
  EXPECT_EQ(s.factor(1000, 100), 1.0);
}

TEST(Schedule, WarmsUpLinearlyAndThenFollowsItsKind) {
  const Schedule s({.kind = ScheduleKind::cosine, .warmup_steps = 4});
  EXPECT_DOUBLE_EQ(s.factor(0, 104), 0.25);
  EXPECT_DOUBLE_EQ(s.factor(3, 104), 1.0);
  EXPECT_DOUBLE_EQ(s.factor(4, 104), 1.0);
  EXPECT_NEAR(s.factor(54, 104), 0.5, 1e-15);
}

TEST(Schedule, FallsAlongHalfACosineDownToItsMinimum) {
  const Schedule s({.kind = ScheduleKind::cosine, .minimum = 0.1});
  EXPECT_DOUBLE_EQ(s.factor(0, 200), 1.0);
  EXPECT_NEAR(s.factor(100, 200), 0.55, 1e-15);
  EXPECT_DOUBLE_EQ(s.factor(200, 200), 0.1);
  EXPECT_DOUBLE_EQ(s.factor(900, 200), 0.1);
  EXPECT_DOUBLE_EQ(s.factor(900, 0), 1.0);  // length unknown
  for (int t = 1; t < 200; ++t) EXPECT_LT(s.factor(t, 200), s.factor(t - 1, 200));
}

TEST(Schedule, DropsInEqualParts) {
  const Schedule s({.kind = ScheduleKind::step, .drop_factor = 0.5, .drops = 2});
  EXPECT_DOUBLE_EQ(s.factor(99, 300), 1.0);
  EXPECT_DOUBLE_EQ(s.factor(100, 300), 0.5);
  EXPECT_DOUBLE_EQ(s.factor(200, 300), 0.25);
  EXPECT_DOUBLE_EQ(s.factor(300, 300), 0.25);
}

TEST(Schedule, DropsWhenTheLossStopsImproving) {
  Schedule s({.kind = ScheduleKind::plateau, .drop_factor = 0.5, .patience = 2});
  for (const double loss : {4.0, 3.0, 2.9999, 3.1}) s.observe(loss);  // 2.9999 is no improvement by a thousandth
  EXPECT_DOUBLE_EQ(s.factor(0, 0), 0.5);
  s.observe(2.0);
  s.observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_DOUBLE_EQ(s.factor(0, 0), 0.5);
  s.observe(2.5);
  EXPECT_DOUBLE_EQ(s.factor(0, 0), 0.25);
}

TEST(Schedule, NeverFallsBelowItsMinimumByDropping) {
  Schedule s({.kind = ScheduleKind::plateau, .minimum = 0.2, .patience = 1});
  for (int i = 0; i < 10; ++i) s.observe(1.0);
  EXPECT_DOUBLE_EQ(s.factor(0, 0), 0.2);
}

TEST(Schedule, ResumesFromItsState) {
  const ScheduleOptions options{.kind = ScheduleKind::plateau, .patience = 2};
  Schedule whole(options);
  Schedule first(options);
  Schedule second(options);
  for (const double loss : {3.0, 3.0}) {
    whole.observe(loss);
    first.observe(loss);
  }
  second.set_state(first.state());
  for (const double loss : {3.0, 3.0, 3.0}) {
    whole.observe(loss);
    second.observe(loss);
  }
  EXPECT_EQ(whole.state(), second.state());
  EXPECT_EQ(whole.factor(7, 9), second.factor(7, 9));
  EXPECT_LT(whole.factor(7, 9), 1.0);
}

TEST(Schedule, NamesItsKinds) {
  for (const char* name : {"constant", "cosine", "step", "plateau"}) EXPECT_EQ(to_string(parse_schedule_kind(name)), name);
  EXPECT_THROW(static_cast<void>(parse_schedule_kind("cosin")), ConfigError);
}

TEST(Schedule, RefusesSettingsOutOfRange) {
  EXPECT_THROW(Schedule({.warmup_steps = -1}), ConfigError);
  EXPECT_THROW(Schedule({.minimum = 1.5}), ConfigError);
  EXPECT_THROW(Schedule({.drop_factor = 1.0}), ConfigError);
  EXPECT_THROW(Schedule({.drops = 0}), ConfigError);
  EXPECT_THROW(Schedule({.patience = 0}), ConfigError);
  EXPECT_THROW(Schedule({.improvement = -0.1}), ConfigError);
}

}  // namespace
}  // namespace ffzero
