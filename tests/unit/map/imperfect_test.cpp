// Each imperfection against a second way to write it down, and noise against its statistics.
// SPDX-License-Identifier: MIT
#include "ffzero/map/imperfect.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/instrument.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

using Map = std::shared_ptr<ForwardMap<double>>;

Map dense(Index inputs, Index outputs) { return std::make_shared<Dense<double>>(Shape{.width = inputs}, outputs); }

Matrix<double> outputs_of(const ForwardMap<double>& map, const Vector<double>& theta, const Matrix<double>& x) {
  Matrix<double> y(x.rows(), map.output_shape().size());
  map.forward(as_span(theta), x, y);
  return y;
}

void begin(const ForwardMap<double>& map, const ReadingSeries& series) { dynamic_cast<const AddressedReadings&>(map).begin_series(series); }

/// A map that shows its parameters: y = theta, whatever x is.
class Show final : public ForwardMap<double> {
 public:
  explicit Show(Index count) : count_(count) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = 1}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = count_}; }
  [[nodiscard]] Index parameter_count() const override { return count_; }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& /*x*/, MatrixRef<double> y) const override {
    y.rowwise() = as_vector(theta).transpose();
  }

 private:
  Index count_;
};

Vector<double> stands(const ForwardMap<double>& map, const Vector<double>& theta, Index rows = 1) {
  return outputs_of(map, theta, Matrix<double>::Zero(rows, 1)).row(0).transpose();
}

TEST(Imperfect, NoneIsTheMapItself) {
  const Map map = dense(3, 2);
  EXPECT_EQ(imperfect_map<double>(map, {}), map);
  EXPECT_EQ(imperfect_map<double>(map, {.seed = 7, .adc_range = 2.0, .dac_range = 3.0, .drift_time = 5.0, .write_s = 1.0}), map);
}

TEST(Imperfect, GainsAndOffsetsAreOfTheOutputs) {
  test::expect_property("y' = g y + o with the same g and o for every row", [] {
    const auto inputs = *rc::gen::inRange<Index>(1, 20), outputs = *rc::gen::inRange<Index>(1, 30), rows = *rc::gen::inRange<Index>(1, 9);
    const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
    const Map ideal = dense(inputs, outputs);
    const Vector<double> theta = test::normal_matrix(ideal->parameter_count(), 1, 1);
    const Matrix<double> x = test::normal_matrix(rows, inputs, 2), y = outputs_of(*ideal, theta, x);
    const Matrix<double> gained = outputs_of(*imperfect_map<double>(ideal, {.seed = seed, .gain = 0.1}), theta, x);
    const Matrix<double> moved = outputs_of(*imperfect_map<double>(ideal, {.seed = seed, .offset = 0.3}), theta, x);
    const Matrix<double> both = outputs_of(*imperfect_map<double>(ideal, {.seed = seed, .gain = 0.1, .offset = 0.3}), theta, x);
    for (Index k = 0; k < outputs; ++k) {
      const double gain = gained(0, k) / y(0, k), offset = moved(0, k) - y(0, k);
      RC_ASSERT(std::abs(gain - 1.0) < 0.6 && std::abs(offset) < 1.8);
      for (Index b = 0; b < rows; ++b) {
        RC_ASSERT(std::abs(gained(b, k) - gain * y(b, k)) < 1e-9 * (1.0 + std::abs(gain * y(b, k))));
        RC_ASSERT(std::abs(moved(b, k) - y(b, k) - offset) < 1e-9);
        RC_ASSERT(std::abs(both(b, k) - gain * y(b, k) - offset) < 1e-9 * (1.0 + std::abs(gain * y(b, k))));
      }
    }
  });
}

TEST(Imperfect, SpreadsAreWhatTheySay) {
  constexpr Index kOutputs = 20000;
  const Map show = std::make_shared<Show>(kOutputs);
  const Vector<double> ones = Vector<double>::Ones(kOutputs);
  const auto drawn = [&](const ImperfectOptions& o) { return Vector<double>(stands(*imperfect_map<double>(show, o), ones)); };
  EXPECT_NEAR(test::rms((drawn({.gain = 0.05}) - ones).array()), 0.05, 0.002);
  EXPECT_NEAR(test::rms((drawn({.offset = 0.5}) - ones).array()), 0.5, 0.02);
  EXPECT_NEAR((drawn({.offset = 0.5}) - ones).mean(), 0.0, 0.02);
  EXPECT_NEAR(static_cast<double>((drawn({.dead = 0.1}).array() == 0.0).count()), 0.1 * kOutputs, 200.0);
  EXPECT_NEAR(static_cast<double>((drawn({.stuck = 0.1}).array() != 1.0).count()), 0.1 * kOutputs, 200.0);
  EXPECT_NE(drawn({.gain = 0.05}), drawn({.seed = 1, .gain = 0.05}));
  EXPECT_EQ(drawn({.gain = 0.05}), drawn({.gain = 0.05}));
  const Vector<double> stuck = drawn({.dac_range = 3.0, .stuck = 1.0});
  EXPECT_LE(stuck.cwiseAbs().maxCoeff(), 3.0);
  EXPECT_NEAR(test::rms(stuck.array()), 3.0 / std::sqrt(3.0), 0.05);
  // What is drawn of one kind does not move when another is switched on; layers are drawn apart.
  const Vector<double> gain = drawn({.gain = 0.05}), more = drawn({.gain = 0.05, .stuck = 0.5});
  for (Index i = 0; i < kOutputs; ++i)
    if (drawn({.stuck = 0.5})[i] == 1.0) {
      EXPECT_EQ(gain[i], more[i]);
      break;
    }
  EXPECT_NE(stands(*imperfect_map<double>(show, {.gain = 0.05}, 1), ones), gain);
}

TEST(Imperfect, ReadNoiseHasItsSizeInEveryRow) {
  test::expect_property("(y' - y) / (sigma r) is standard normal", [] {
    const auto outputs = *rc::gen::inRange<Index>(400, 600), rows = *rc::gen::inRange<Index>(1, 9);
    const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
    const double sigma = 0.01 * static_cast<double>(*rc::gen::inRange(1, 50));
    const Map ideal = dense(3, outputs);
    const Vector<double> theta = test::normal_matrix(ideal->parameter_count(), 1, 1);
    const Matrix<double> x = test::normal_matrix(rows, 3, 2), y = outputs_of(*ideal, theta, x);
    const Map noisy = imperfect_map<double>(ideal, {.seed = seed, .read_noise = sigma});
    const Matrix<double> first = outputs_of(*noisy, theta, x), second = outputs_of(*noisy, theta, x);
    Matrix<double> z(rows, outputs), again(rows, outputs);
    for (Index b = 0; b < rows; ++b) {
      const double r = sigma * test::rms(y.row(b).array());
      z.row(b) = (first.row(b) - y.row(b)) / r;
      again.row(b) = (second.row(b) - y.row(b)) / r;
      RC_ASSERT(std::abs(test::rms(z.row(b).array()) - 1.0) < 5.0 / std::sqrt(2.0 * static_cast<double>(outputs)));
      RC_ASSERT(std::abs(z.row(b).mean()) < 5.0 / std::sqrt(static_cast<double>(outputs)));
    }
    // Neither rows nor readings share numbers.
    const double few = 5.0 / std::sqrt(static_cast<double>(outputs));
    RC_ASSERT(std::abs(z.cwiseProduct(again).mean()) < few);
    if (rows > 1) RC_ASSERT(std::abs(z.row(0).cwiseProduct(z.row(1)).mean()) < few);
  });
}

TEST(Imperfect, TheSameReadingIsTheSameAgain) {
  const ImperfectOptions all{.read_noise = 0.1, .write_noise = 0.05, .drift_rms = 0.2, .drift_time = 0.01};
  const Map map = imperfect_map<double>(dense(4, 6), all);
  const Vector<double> theta = test::normal_matrix(30, 1, 1);
  const Matrix<double> x = test::normal_matrix(5, 4, 2);
  const ReadingSeries series{.stream = 3, .step = 17, .rows = 5000.0, .writes = 40.0};
  begin(*map, series);
  const Matrix<double> first = outputs_of(*map, theta, x), second = outputs_of(*map, theta, x);
  const Map another = imperfect_map<double>(dense(4, 6), all);
  static_cast<void>(outputs_of(*another, theta, x));
  begin(*another, series);
  EXPECT_EQ(outputs_of(*another, theta, x), first);
  EXPECT_EQ(outputs_of(*another, theta, x), second);
  EXPECT_NE(first, second);
  for (const ReadingSeries& other : {ReadingSeries{.stream = 4, .step = 17, .rows = 5000.0, .writes = 40.0},
                                     {.stream = 3, .step = 18, .rows = 5000.0, .writes = 40.0},
                                     {.stream = 3, .step = 17, .rows = 5001.0, .writes = 40.0}}) {
    begin(*another, other);
    EXPECT_NE(outputs_of(*another, theta, x), first);
  }
  // Several at once are those one after the other.
  begin(*map, series);
  const std::vector<std::span<const double>> thetas{as_span(theta), as_span(theta)};
  std::vector<Matrix<double>> ys(2);
  dynamic_cast<const ManyReadings<double>&>(*map).read_many(thetas, x, ys, false);
  EXPECT_EQ(ys[0], first);
  EXPECT_EQ(ys[1], second);
  EXPECT_FALSE(map->independent_rows());
  EXPECT_TRUE(imperfect_map<double>(dense(4, 6), {.gain = 0.1, .dac_bits = 8})->independent_rows());
}

TEST(Imperfect, ABatchInPartsHasTheNoiseOfTheBatch) {
  const Map map = imperfect_map<double>(dense(4, 7), {.read_noise = 0.1, .write_noise = 0.05});
  const Vector<double> theta = test::normal_matrix(map->parameter_count(), 1, 1);
  const Matrix<double> x = test::normal_matrix(9, 4, 2);
  begin(*map, {.stream = 3, .step = 17});
  const Matrix<double> whole = outputs_of(*map, theta, x);
  for (const auto& [first, rows] : {std::pair<Index, Index>{0, 4}, {4, 5}, {8, 1}, {3, 2}}) {
    begin(*map, {.stream = 3, .step = 17, .first_row = first});
    EXPECT_EQ(outputs_of(*map, theta, x.middleRows(first, rows)), whole.middleRows(first, rows)) << "row " << first;
  }
  begin(*map, {.stream = 3, .step = 17, .first_row = 1});
  EXPECT_NE(outputs_of(*map, theta, x.topRows(4)), whole.topRows(4));
}

TEST(Imperfect, ParametersHaveStepsAndAnEnd) {
  test::expect_property("nearest of 2^bits - 1 values, 0 among them, clipped, monotone", [] {
    const auto bits = *rc::gen::inRange<Index>(2, 9);
    const double range = 0.25 * static_cast<double>(*rc::gen::inRange(1, 12));
    const Index count = 400;
    const Map map = imperfect_map<double>(std::make_shared<Show>(count), {.dac_bits = bits, .dac_range = range});
    const Vector<double> theta = Vector<double>::LinSpaced(count, -1.5 * range, 1.5 * range);
    const Vector<double> set = stands(*map, theta);
    const double step = 2.0 * range / static_cast<double>((Index{1} << bits) - 2);
    std::set<long> levels;
    for (Index i = 0; i < count; ++i) {
      if (i > 0) RC_ASSERT(set[i] >= set[i - 1]);
      RC_ASSERT(std::abs(set[i]) <= range * (1.0 + 1e-12));
      if (std::abs(theta[i]) <= range) RC_ASSERT(std::abs(set[i] - theta[i]) <= 0.5 * step * (1.0 + 1e-9));
      const double level = set[i] / step;
      RC_ASSERT(std::abs(level - std::round(level)) < 1e-6);
      levels.insert(std::lround(level));
    }
    const auto all = static_cast<std::size_t>((Index{1} << bits) - 1);
    RC_ASSERT(levels.size() <= all);
    if (bits < 7) RC_ASSERT(levels.size() == all);
    RC_ASSERT(set == stands(*map, set));
  });
}

TEST(Imperfect, ReadingsHaveStepsOfTheirSize) {
  test::expect_property("nearest of 2^bits - 1 multiples of a step of range r, clipped", [] {
    const auto bits = *rc::gen::inRange<Index>(2, 11);
    const double range = 0.5 * static_cast<double>(*rc::gen::inRange(2, 9));
    const Map ideal = std::make_shared<Show>(50), map = imperfect_map<double>(ideal, {.adc_bits = bits, .adc_range = range});
    const Vector<double> theta = test::normal_matrix(50, 1, static_cast<std::uint32_t>(*rc::gen::inRange(1, 100)));
    const Vector<double> read = stands(*map, theta);
    const double r = test::rms(theta.array()), step = 2.0 * range * r / static_cast<double>((Index{1} << bits) - 2);
    for (Index k = 0; k < 50; ++k) {
      const double inside = std::min(std::max(theta[k], -range * r), range * r);
      RC_ASSERT(std::abs(read[k] - inside) <= 0.5 * step * (1.0 + 1e-9));
      RC_ASSERT(std::abs(read[k] / step - std::round(read[k] / step)) < 1e-6);
    }
  });
  const Map zero = imperfect_map<double>(std::make_shared<Show>(3), {.read_noise = 1.0, .adc_bits = 4});
  EXPECT_EQ(stands(*zero, Vector<double>::Zero(3)), Vector<double>(Vector<double>::Zero(3))) << "nothing in, nothing out";
}

TEST(Imperfect, SaturatesBehindGainAndOffset) {
  const Map ideal = std::make_shared<Show>(7);
  const Vector<double> theta = Vector<double>::LinSpaced(7, -3.0, 3.0);
  const Vector<double> before = stands(*imperfect_map<double>(ideal, {.gain = 0.2, .offset = 0.3}), theta);
  const Vector<double> after = stands(*imperfect_map<double>(ideal, {.gain = 0.2, .offset = 0.3, .saturation = 0.7}), theta);
  for (Index k = 0; k < 7; ++k) EXPECT_NEAR(after[k], before[k] / (1.0 + 0.7 * std::abs(before[k])), 1e-12);
}

TEST(Imperfect, WhatIsWrittenStandsUntilItIsWrittenAgain) {
  constexpr Index kCount = 5000;
  const Map map = imperfect_map<double>(std::make_shared<Show>(kCount), {.write_noise = 0.03});
  const Vector<double> zero = Vector<double>::Zero(kCount), ones = Vector<double>::Ones(kCount);
  const Vector<double> first = stands(*map, zero), second = stands(*map, zero), third = stands(*map, ones) - ones;
  EXPECT_NEAR(test::rms(first.array()), 0.03, 0.0015);
  EXPECT_NEAR(test::rms(third.array()), 0.03, 0.0015);
  EXPECT_EQ(first, second);
  EXPECT_NEAR(first.cwiseProduct(third).mean() / (0.03 * 0.03), 0.0, 0.08);
  begin(*map, {.stream = 0, .step = 1});
  EXPECT_NE(stands(*map, zero), first) << "another step writes anew";
}

TEST(Imperfect, DriftBeginsAtNothingAndReachesItsSpread) {
  constexpr Index kCount = 4000;
  const ImperfectOptions slow{.drift_rms = 0.2, .drift_time = 2.0, .write_s = 0.5, .row_s = 0.25};
  const Map map = imperfect_map<double>(std::make_shared<Show>(kCount), slow);
  const Vector<double> zero = Vector<double>::Zero(kCount);
  const auto at = [&](double writes, double rows) {
    begin(*map, {.stream = 0, .step = 0, .rows = rows, .writes = writes});
    return stands(*map, zero);
  };
  EXPECT_EQ(at(0, 0).cwiseAbs().maxCoeff(), 0.0);
  EXPECT_NEAR(test::rms(at(2, 0).array()), 0.2 * std::sqrt(0.5), 0.01) << "after half the time";
  for (const double writes : {4.0, 5.0, 40.0, 1000.0}) EXPECT_NEAR(test::rms(at(writes, 0).array()), 0.2, 0.01);
  EXPECT_EQ(at(4, 0), at(0, 8)) << "0.5 s a write, 0.25 s a row";
  EXPECT_NEAR(at(40, 0).cwiseProduct(at(44, 0)).mean() / 0.04, 0.0, 0.08);
  EXPECT_GT(at(40, 0).cwiseProduct(at(40, 1)).mean() / 0.04, 0.95);
  // Readings of a series take time, too.
  begin(*map, {});
  static_cast<void>(stands(*map, zero, 2));
  const Vector<double> later = stands(*map, zero, 2);
  EXPECT_EQ(later, at(2, 0)) << "a write and two rows later";
  ImperfectOptions aged = slow;
  aged.age = 2.0;
  const Map older = imperfect_map<double>(std::make_shared<Show>(kCount), aged);
  begin(*older, {.stream = 0, .step = 0, .rows = 0, .writes = 1});
  EXPECT_EQ(stands(*older, zero), at(5, 0)) << "four writes old";
}

TEST(Imperfect, SlopesAreThoseOfTheSmoothPart) {
  const Vector<double> theta = test::normal_matrix(24, 1, 1);
  const Matrix<double> x = test::normal_matrix(3, 5, 2), gy = test::normal_matrix(3, 4, 4);
  const auto pulled = [&](const ImperfectOptions& options, Matrix<double>& gx) {
    const Map map = imperfect_map<double>(dense(5, 4), options);
    Matrix<double> y = outputs_of(*map, theta, x);
    Vector<double> g = Vector<double>::Zero(24);
    gx.resize(3, 5);
    MatrixRef<double> gx_view(gx);
    dynamic_cast<const AdjointMap<double>&>(*map).pullback(as_span(theta), x, y, gy, as_span(g), &gx_view);
    return g;
  };
  const ImperfectOptions smooth{.gain = 0.2, .offset = 0.3, .saturation = 0.4, .dead = 0.3, .dac_range = 2.0, .stuck = 0.3};
  Matrix<double> gx, other;
  const Vector<double> g = pulled(smooth, gx);
  const Map map = imperfect_map<double>(dense(5, 4), smooth);
  EXPECT_TRUE(dynamic_cast<const AddressedReadings&>(*map).smooth());
  test::expect_gradient([&](const Vector<double>& t) { return outputs_of(*map, t, x).cwiseProduct(gy).sum(); }, theta, g, "theta");
  test::expect_matrix_gradient([&](const Matrix<double>& at) { return outputs_of(*map, theta, at).cwiseProduct(gy).sum(); }, x, gx, "x");
  EXPECT_GT((g.array() == 0.0).count(), 2);
  // Noise and steps of the readings are none to slopes; what stands is where slopes are taken.
  ImperfectOptions rough = smooth;
  rough.read_noise = 0.1;
  rough.adc_bits = 6;
  EXPECT_EQ(pulled(rough, other), g);
  EXPECT_EQ(other, gx);
  EXPECT_FALSE(dynamic_cast<const AddressedReadings&>(*imperfect_map<double>(dense(5, 4), rough)).smooth());
  Vector<double> steps(24);
  for (Index i = 0; i < 24; ++i) steps[i] = std::round(theta[i] / (2.0 / 7.0)) * (2.0 / 7.0);
  Matrix<double> y = outputs_of(*dense(5, 4), steps, x), at_steps(3, 5);
  Vector<double> expected = Vector<double>::Zero(24);
  MatrixRef<double> view(at_steps);
  dynamic_cast<const AdjointMap<double>&>(*dense(5, 4)).pullback(as_span(steps), x, y, gy, as_span(expected), &view);
  if (theta.cwiseAbs().maxCoeff() < 2.0) {
    EXPECT_LT((pulled({.dac_bits = 4, .dac_range = 2.0}, other) - expected).cwiseAbs().maxCoeff(), 1e-12);
    EXPECT_LT((other - at_steps).cwiseAbs().maxCoeff(), 1e-12);
  }
}

TEST(Imperfect, SaysWhatIsOutOfRange) {
  const Map map = dense(2, 2);
  const auto refused = [&](const ImperfectOptions& o) {
    return test::message_of<ConfigError>([&] { static_cast<void>(imperfect_map<double>(map, o)); });
  };
  EXPECT_EQ(refused({.read_noise = -0.1}), "model.imperfect.read_noise: must lie in 0 .. 100; got -0.1");
  EXPECT_EQ(refused({.adc_bits = 25}), "model.imperfect.adc_bits: must lie in 0 .. 24; got 25");
  EXPECT_EQ(refused({.dac_bits = 1}),
            "model.imperfect.dac_bits: must be 0 (no steps) or at least 2: one bit has no step on either side of 0; got 1");
  EXPECT_EQ(refused({.stuck = 1.01}), "model.imperfect.stuck: must lie in 0 .. 1; got 1.01");
  EXPECT_EQ(refused({.drift_time = 0.0}), "model.imperfect.drift_time: must lie in 1e-09 .. 1e+12; got 0");
  EXPECT_EQ(refused({.gain = std::nan("")}), "model.imperfect.gain: must lie in 0 .. 10; got nan");
  const ImperfectOptions named = imperfect_options({{"read_noise", 0.5}, {"adc_bits", 7.0}, {"seed", 9.0}}, "--imperfect");
  EXPECT_EQ(named.read_noise, 0.5);
  EXPECT_EQ(named.adc_bits, 7);
  EXPECT_EQ(named.seed, 9U);
  EXPECT_EQ(named.adc_range, ImperfectOptions{}.adc_range);
  EXPECT_EQ(test::message_of<ConfigError>([] {
              static_cast<void>(imperfect_options({{"adc_bits", 7.5}}, "--imperfect"));
            }),
            "--imperfect.adc_bits: must be a whole number; got 7.5");
  EXPECT_THROW(static_cast<void>(imperfect_options({{"read_nose", 0.5}}, "--imperfect")), ConfigError);
}

}  // namespace
}  // namespace ffzero
