// Twins: what a calibration finds, what it costs to know less, files and their identity.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/chip_twin.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "support/expect_error.hpp"
#include "support/property.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

constexpr Index kPorts = 8;

std::vector<ChipReading> readings_of(const ChipMesh<float>& chip, const CalibrationOptions& options) {
  Vector<float> theta(chip.parameter_count());
  chip.initialise(as_span(theta), RandomStream(1, Stream::test));
  std::vector<ChipReading> readings;
  for (Vector<float>& setting : calibration_settings(as_span(theta), options, RandomStream(2, Stream::test))) {
    ChipReading reading{.theta = setting,
                        .x = normal_matrix<float>(options.samples, 2 * kPorts, 10 + readings.size()) / 4.0F,
                        .powers = Matrix<float>(options.samples, kPorts)};
    chip.powers(as_span(reading.theta), reading.x, reading.powers);
    readings.push_back(std::move(reading));
  }
  return readings;
}

CalibrationReport calibrated(const ChipOptions& law, TwinFreedom freedom, Vector<double>* errors = nullptr) {
  const MeshLayout layout(kPorts);
  const ChipMesh<float> chip(layout, {draw_chip(layout, law, 0)});
  CalibrationOptions options{.freedom = freedom, .settings = 30, .samples = 6, .spread = 0.3, .steps = 1500, .lr = 5e-3};
  ChipTwin twin(layout, freedom, law.dac_bits);
  const CalibrationReport report = twin.calibrate(readings_of(chip, options), options, RandomStream(3, Stream::test));
  if (errors != nullptr) *errors = as_vector(twin.errors());
  return report;
}

TEST(ChipTwin, FindsCouplersAndOffsets) {
  Vector<double> errors;
  const CalibrationReport report = calibrated({.coupler = 0.06, .phase = 0.06}, TwinFreedom::couplers, &errors);
  EXPECT_GT(report.before, 0.003);
  EXPECT_LT(report.after, 0.02 * report.before);
  const ErrorLayout at{MeshLayout(kPorts)};
  EXPECT_EQ(errors.tail(at.size() - at.theta_gain()).norm(), 0.0);  // those are not free
}

TEST(ChipTwin, FindsGainsAndCrosstalkIfItMay) {
  const ChipOptions law{.coupler = 0.06, .phase = 0.06, .phase_gain = 0.05, .crosstalk = 0.02, .detector_gain = 0.05};
  const CalibrationReport less = calibrated(law, TwinFreedom::couplers), more = calibrated(law, TwinFreedom::all);
  EXPECT_EQ(less.before, more.before);
  EXPECT_LT(more.after, 0.3 * less.after);
  EXPECT_LT(more.after, 0.05 * more.before);
}

TEST(ChipTwin, GoesOnFromItsState) {
  const MeshLayout layout(kPorts);
  const ChipMesh<float> chip(layout, {draw_chip(layout, {.coupler = 0.06, .phase = 0.06}, 0)});
  const auto readings = readings_of(chip, {.settings = 4, .samples = 6});
  ChipTwin one(layout, TwinFreedom::all, 0), other(layout, TwinFreedom::all, 0);
  Vector<float> state(one.state_size()), again(one.state_size());
  for (int i = 0; i < 3; ++i) one.fit(as_span(readings[0].theta), readings[0].x, readings[0].powers, 1e-2);
  one.save(as_span(state));
  one.load(as_span(std::as_const(state)));
  other.load(as_span(std::as_const(state)));
  for (ChipTwin* twin : {&one, &other}) twin->fit(as_span(readings[1].theta), readings[1].x, readings[1].powers, 1e-2);
  one.save(as_span(state));
  other.save(as_span(again));
  EXPECT_EQ(state, again);
  EXPECT_GT(state.norm(), 0.0F);
}

TEST(Calibration, BelongsToItsChip) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "calibration.npz";
  const MeshLayout layout(kPorts);
  const Chip chip = draw_chip(layout, {.coupler = 0.06, .phase = 0.06}, 0), other = draw_chip(layout, {.coupler = 0.06, .phase = 0.06}, 1);
  write_calibration(path, layout, chip.errors, chip.identity(), {.before = 0.5, .after = 0.01, .fitted = 0.01});
  EXPECT_LT((read_calibration(path, layout, chip.identity()) - chip.errors).norm(), 1e-12);
  EXPECT_EQ(message_of<DataError>([&] { static_cast<void>(read_calibration(path, layout, other.identity())); }),
            path.string() + ": must be a calibration of this chip, " + other.identity() + "; got " + chip.identity() +
                "; calibrate this one: ffzero calibrate");
  write_npz(path, chip_arrays(chip, layout));
  EXPECT_EQ(message_of<DataError>([&] { static_cast<void>(read_calibration(path, layout, chip.identity())); }),
            path.string() + ": must be a calibration; got no array calibration.identity; ffzero calibrate writes one");
}

TEST(CalibrationOptions, RefuseWhatCannotBe) {
  EXPECT_EQ(message_of<ConfigError>([] { CalibrationOptions{.settings = 1}.validate(); }),
            "CalibrationOptions::settings: must be at least 2; got 1");
}

}  // namespace
}  // namespace ffzero::test
