// Chips with errors in training: resumes, threads, estimators, files, what is refused.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>

#include "ffzero/checkpoint/record_json.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/train/twin_stages.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

Settings on_chip(Settings more) {
  Settings s{{"model.kind", "photonic"},           {"dataset.crop", "4"},
             {"dataset.optical_field", "fourier"}, {"training.epochs", "3"},
             {"training.batch_size", "16"},        {"training.log_samples", "20"},
             {"model.mesh.chip.coupler", "0.06"},  {"model.mesh.chip.phase", "0.06"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

/// Everything on: noise, steps, drift within a run, stuck heaters, crosstalk, gains.
Settings everything(Settings more) {
  Settings s = on_chip({{"model.mesh.chip.read_noise", "0.01"},
                        {"model.mesh.chip.dac_bits", "8"},
                        {"model.mesh.chip.adc_bits", "10"},
                        {"model.mesh.chip.drift_rms", "0.1"},
                        {"model.mesh.chip.drift_time", "0.001"},
                        {"model.mesh.chip.stuck", "0.02"},
                        {"model.mesh.chip.crosstalk", "0.01"},
                        {"model.mesh.chip.phase_gain", "0.02"},
                        {"model.mesh.chip.detector_gain", "0.02"},
                        {"model.mesh.chip.loss_db", "0.1"}});
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

TEST(ChipInTraining, WithoutErrorsChangesNoBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings plain{{"model.kind", "photonic"}, {"dataset.crop", "4"}, {"training.epochs", "1"}, {"training.batch_size", "16"}};
  Settings zero = plain;
  zero.insert(zero.end(), {{"model.mesh.chip.coupler", "0"}, {"model.mesh.chip.seed", "5"}, {"model.mesh.chip.drift_time", "3"}});
  EXPECT_EQ(run<float>(resolved(plain, splits), splits).theta, run<float>(resolved(zero, splits), splits).theta);
}

TEST(ChipInTraining, ResumesAndSharesWorkBitForBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  for (const Settings& settings : {everything({{"preset", "opaque"}, {"model.mesh.linear_head", "trained"}}),
                                   everything({{"preset", "opaque"}, {"model.mesh.layers", "2"}, {"gradient.directions", "2"}}),
                                   everything({{"preset", "adjoint"}, {"model.mesh.linear_head", "joint"}}),
                                   everything({{"preset", "opaque"}, {"model.mesh.parallel", "2"}, {"gradient.eps", "measured"}})}) {
    expect_resumes_bit_for_bit(resolved(settings, splits), splits, 7);
  }
}

TEST(ChipInTraining, EveryEffectReachesTheRun) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto with = [&](const char* key, const char* value) {
    Settings s{{"model.kind", "photonic"}, {"dataset.crop", "4"}, {"training.epochs", "1"}, {"training.batch_size", "16"}};
    s.emplace_back(std::string("model.mesh.chip.") + key, value);
    return run<float>(resolved(s, splits), splits).theta;
  };
  const auto plain = with("seed", "0");
  for (const auto& [key, value] : {std::pair{"coupler", "0.05"},
                                   {"phase", "0.05"},
                                   {"phase_gain", "0.05"},
                                   {"crosstalk", "0.02"},
                                   {"dac_bits", "6"},
                                   {"stuck", "0.2"},
                                   {"loss_db", "0.3"},
                                   {"detector_gain", "0.1"},
                                   {"read_noise", "0.05"},
                                   {"adc_bits", "5"},
                                   {"drift_rms", "0.5"}})
    EXPECT_NE(with(key, value), plain) << key;
}

TEST(ChipInTraining, AnOlderChipIsAnotherOneWhereItDrifts) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto trained = [&](const char* rms, const char* age) {
    return run<float>(resolved(on_chip({{"model.mesh.chip.drift_rms", rms}, {"model.mesh.chip.age", age}}), splits), splits).theta;
  };
  EXPECT_NE(trained("0.5", "0"), trained("0.5", "3"));
  EXPECT_EQ(trained("0", "0"), trained("0", "3"));
}

TEST(ChipInTraining, EveryMeshIsAChipOfItsOwn) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto network = build_network<float>(resolved(on_chip({{"model.mesh.layers", "2"}, {"model.mesh.chip.number", "3"}}), splits),
                                            {2, 1, 16}, 10, std::make_shared<const Executor>(1));
  const auto& first = dynamic_cast<const ChipMesh<float>&>(*network.layer(0).map).chip();
  const auto& second = dynamic_cast<const ChipMesh<float>&>(*network.layer(1).map).chip();
  EXPECT_EQ(first.part, 3U);
  EXPECT_EQ(second.part, 4U);
  EXPECT_NE(first.identity(), second.identity());
}

TEST(ChipInTraining, RefusesWhatItCannotDo) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto refused = [&](const Settings& settings) {
    return message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(settings, splits), splits)); });
  };
  EXPECT_EQ(
      refused(on_chip({{"model.mesh.chip.coupler", "-0.1"}})),
      "command line: model.mesh.chip.coupler: must lie in 0 .. 0.3; got -0.1; Spread of the couplers' e: amplitudes sqrt((1 +- e)/2). "
      "With a file: its set of that name.");
  EXPECT_EQ(
      refused({{"model.mesh.chip.coupler", "0.1"}}),
      "command line: model.mesh.chip.coupler: this key has no effect here: it belongs to model.kind = \"photonic\"; got 0.1; remove it");
  EXPECT_EQ(refused(on_chip({{"gradient.estimator", "coordinate"}, {"model.mesh.chip.dac_bits", "8"}})).substr(0, 70),
            "gradient.estimator: the rule of shifted reads is simulated only for ch");
  const TemporaryFolder folder;
  const MeshLayout eight(8);
  const auto path = folder.path() / "chip.npz";
  write_npz(path, chip_arrays(draw_chip(eight, {}, 0), eight));
  EXPECT_EQ(message_of<DataError>([&] {
              static_cast<void>(run<float>(resolved(on_chip({{"model.mesh.chip.file", path.string()}}), splits), splits));
            }),
            path.string() + ": array e_l must have shape (16, 8); got (8, 4); the chip is of another size: check dataset.crop");
}

Settings with_twin(Settings more) {
  Settings s = on_chip({{"gradient.estimator", "twin"},
                        {"gradient.twin.settings", "12"},
                        {"gradient.twin.samples", "4"},
                        {"gradient.twin.steps", "200"},
                        {"update.lr", "0.01"},
                        {"training.epochs", "4"}});
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

TEST(TwinInTraining, BillsItsReadings) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto first = run<float>(
      resolved(with_twin({{"gradient.twin.start", "1"}, {"gradient.twin.refine", "1"}, {"gradient.twin.gate", "1000"}}), splits), splits);
  EXPECT_EQ(first.record.ledger.layer(0).training, 12 * 4 + kTrain);  // the calibration, and the last epoch
  EXPECT_EQ(first.record.information, Information::twin);
  EXPECT_EQ(to_string(first.record.information), "twin");
  const Settings along{{"gradient.estimator", "twin"}, {"gradient.twin.order", "along"}, {"training.epochs", "2"}};
  EXPECT_EQ(run<float>(resolved(on_chip(along), splits), splits).record.ledger.layer(0).training, 2 * kTrain);
}

TEST(TwinInTraining, StartsOnTheModelBeforeItReadsTheChip) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings model{{"gradient.estimator", "twin"}, {"gradient.twin.start", "2"}, {"training.epochs", "3"}};
  const auto with = [&](const char* order, const char* fit, const char* refine) {
    Settings s = model;
    s.insert(s.end(), {{"gradient.twin.order", order}, {"gradient.twin.fit", fit}});
    if (refine[0] != '\0') s.emplace_back("gradient.twin.refine", refine);
    return run<float>(resolved(on_chip(s), splits), splits);
  };
  const auto fixed = with("first", "none", "1"), along = with("along", "none", ""), fitted = with("along", "couplers", "");
  EXPECT_EQ(fixed.record.ledger.layer(0).training, kTrain) << "no calibration: the last epoch alone reads the chip";
  EXPECT_EQ(along.record.ledger.layer(0).training, kTrain);
  EXPECT_EQ(along.theta, fixed.theta) << "a twin that is not fitted: the two orders are one";
  EXPECT_NE(along.theta, fitted.theta);
}

// Learning rates of 6 epochs of 2 steps, along a schedule that falls by the same amount with every step.
void expect_rates(const TwinOptions& options, double lr, const std::vector<double>& expected, const char* what) {
  TwinStages stages(options);
  for (Index number = 0; number < 12; ++number) {
    stages.begin_step(number, 2, 6);
    const TrainingStage s = stages.stage().value_or(TrainingStage{.first = 0, .steps = 12});
    const double factor = 1.0 - static_cast<double>(number - s.first) / static_cast<double>(s.steps);
    EXPECT_NEAR((s.lr > 0.0 ? s.lr : lr) * factor, expected[usize(number)], 1e-12) << what << ", step " << number;
  }
}

TEST(TwinStages, BeginTheScheduleAgain) {
  TwinOptions options;
  options.start_epochs = 2;
  options.refine_epochs = 1;
  expect_rates(options, 12, {12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, "one schedule");
  options.chip_lr = 2.0;
  expect_rates(options, 10, {10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 1}, "of the chip");
  options.calibrated_lr = 6.0;
  expect_rates(options, 4, {4, 3, 2, 1, 6, 5, 4, 3, 2, 1, 2, 1}, "of both");
  options.chip_lr = 0.0;
  options.calibrated_lr = 8.0;
  expect_rates(options, 4, {4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1}, "of the calibrated twin");
  options.chip_lr = 2.0;
  options.along = true;
  expect_rates(options, 4, {4, 3, 2, 1, 2, 1.75, 1.5, 1.25, 1, 0.75, 0.5, 0.25}, "nothing is calibrated along");
  options.along = false;
  options.start_epochs = 9;
  expect_rates(options, 10, {10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 1}, "a start that the chip cuts off");
}

TEST(TwinStages, MoveTheChipAsFarAsTheirRateSays) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto trained = [&](const char* chip_lr) {
    return run<float>(resolved(on_chip({{"gradient.estimator", "twin"},
                                        {"gradient.twin.order", "along"},
                                        {"gradient.twin.start", "1"},
                                        {"gradient.twin.chip_lr", chip_lr},
                                        {"update.lr", "0.01"},
                                        {"training.epochs", "2"}}),
                               splits),
                      splits)
        .theta;
  };
  const Vector<float> start = run<float>(resolved(on_chip({{"gradient.estimator", "twin"},
                                                           {"gradient.twin.order", "along"},
                                                           {"gradient.twin.start", "1"},
                                                           {"update.lr", "0.01"},
                                                           {"training.epochs", "1"}}),
                                                  splits),
                                         splits)
                                  .theta;
  EXPECT_GT((trained("0.01") - start).norm(), 0.0F);
  EXPECT_LT((trained("1e-6") - start).norm(), 1e-3F * (trained("0.01") - start).norm());
}

TEST(TwinInTraining, KeepsATwinThatIsNotFitted) {
  const MeshLayout layout(4);
  ChipTwin twin(layout, TwinFreedom::none, 0);
  const Vector<float> theta = Vector<float>::Constant(layout.parameter_count(), 0.5F);
  const Matrix<float> x = Matrix<float>::Ones(2, 8), powers = Matrix<float>::Zero(2, 4);
  twin.fit(as_span(theta), x, powers, 0.1);
  EXPECT_EQ(Vector<double>(as_vector(twin.errors())), Vector<double>::Zero(isize(twin.errors().size())));
  ChipTwin free(layout, TwinFreedom::couplers, 0);
  free.fit(as_span(theta), x, powers, 0.1);
  EXPECT_GT(as_vector(free.errors()).norm(), 0.0);
}

TEST(TwinInTraining, ResumesBitForBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings noise{{"model.mesh.chip.read_noise", "0.01"}, {"model.mesh.chip.dac_bits", "8"}};
  for (Settings settings : {with_twin({{"gradient.twin.start", "1"}, {"gradient.twin.refine", "2"}, {"gradient.twin.gate", "1000"}}),
                            on_chip({{"gradient.estimator", "twin"}, {"gradient.twin.order", "along"}, {"gradient.twin.fit", "all"}})}) {
    settings.insert(settings.end(), noise.begin(), noise.end());
    const Config config = resolved(settings, splits);
    std::vector<TrainerState> kept;
    TrainEvents events;
    events.save = [&](const TrainerState& state) { kept.push_back(state); };
    events.save_every_s = 0.0;
    const auto whole = run<float>(config, splits, 1, events);
    ASSERT_GT(kept.size(), 2U);
    for (const TrainerState& state : kept) {
      auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(2));
      trainer.restore(state, "checkpoint");
      static_cast<void>(trainer.run());
      EXPECT_EQ(Vector<float>(as_vector(trainer.network().theta(0, 1))), whole.theta);
    }
  }
}

TEST(TwinInTraining, ComesNearTheIdealWhereTheModelAloneFails) {
  // The same training on the ideal mesh, loaded on the chip, loses what a calibrated twin keeps.
  const Splits splits = make_glyphs(1, 400, 200);
  const Settings chip{{"model.mesh.chip.coupler", "0.2"}, {"model.mesh.chip.phase", "0.3"}};
  const auto accuracy = [&](Settings more) {
    Settings s = with_twin({{"training.epochs", "20"}, {"training.batch_size", "20"}, {"gradient.twin.refine", "0"}});
    s.insert(s.end(), chip.begin(), chip.end());
    s.insert(s.end(), more.begin(), more.end());
    return run<float>(resolved(s, splits), splits).record.final_test.value;
  };
  const double direct = accuracy({{"gradient.twin.start", "20"}});
  const double twin = accuracy({{"gradient.twin.start", "8"}, {"gradient.twin.settings", "60"}, {"gradient.twin.steps", "3000"}});
  EXPECT_GT(twin, direct + 0.1);
}

TEST(TwinInTraining, FallsBackToOutputsAloneBehindItsGate) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto config = [&](const char* start, const char* readout) {
    return resolved(with_twin({{"gradient.twin.steps", "1"},
                               {"gradient.twin.gate", "1e-6"},
                               {"gradient.twin.start", start},
                               {"model.mesh.linear_head", readout}}),
                    splits);
  };
  std::vector<std::string> lines;
  TrainEvents events;
  events.message = [&](const std::string& line) {
    if (line.find("outputs alone") != std::string::npos) lines.push_back(line);
  };
  const RunRecord record = run<float>(config("1", "none"), splits, 1, events).record;
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("misses held-out readings by a relative error of"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("going on with estimates from outputs alone, one parameter at a time"), std::string::npos) << lines[0];
  EXPECT_GT(record.layers[0].measured.fallback, 1e-6);
  EXPECT_EQ(to_json(record).at("layers").at(0).at("fallback").at("to"), "outputs alone");
  // The calibration; then 3 epochs of 4 steps (16, 16, 16 and 12 samples) of 64 phases and a base reading.
  EXPECT_EQ(record.ledger.layer(0).training, 12 * 4 + 3 * 65 * kTrain);
  // One epoch on the model: its slopes were used. Without one nothing of a model was.
  EXPECT_EQ(record.information, Information::twin);
  EXPECT_EQ(run<float>(config("0", "none"), splits).record.information, Information::opaque);
  for (const char* readout : {"none", "trained"}) expect_resumes_bit_for_bit(config("1", readout), splits, 6);
}

TEST(TwinInTraining, StopsAtItsGateAndGoesOnWithOtherSettings) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto config = [&](const char* fallback, const char* gate) {
    return resolved(
        with_twin(
            {{"gradient.twin.steps", "1"}, {"gradient.twin.gate", gate}, {"gradient.twin.start", "1"}, {"gradient.fallback", fallback}}),
        splits);
  };
  const Config stop = config("stop", "1e-6");
  std::optional<TrainerState> kept;
  std::vector<std::string> lines;
  TrainEvents events;
  events.save = [&](const TrainerState& state) { kept = state; };
  events.message = [&](const std::string& line) { lines.push_back(line); };
  const auto end_of = [&](Trainer<float>& trainer) { return message_of<GateError>([&] { static_cast<void>(trainer.run()); }); };
  const auto executor = std::make_shared<const Executor>(1);
  auto first = make_trainer<float>(stop, splits, executor, events);
  const std::string said = end_of(first);
  EXPECT_EQ(said.find("mesh0: what was learnt of the device must miss held-out readings by no more than gradient.twin.gate = 1e-06; got "),
            0U)
      << said;
  EXPECT_NE(said.find("; take more gradient.twin.steps (no reading), a smaller gradient.twin.spread or more gradient.twin.settings, or "
                      "gradient.fallback = \"outputs\""),
            std::string::npos)
      << said;
  // The step that was not made is not billed as one, and its readings are not forgotten.
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->epoch, 1);
  EXPECT_EQ(kept->step, 0);
  EXPECT_EQ(kept->ledger.layer(0).training, 0);
  EXPECT_EQ(kept->ledger.layer(0).failed, 12 * 4);
  EXPECT_GT(kept->measured.at(0).fallback, 1e-6);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(
      lines[0],
      "mesh0: training reads the device 2.8 times a sample if what is learnt of it passes its gate; if not, it ends after 48 readings");

  // As it is it ends there again.
  auto again = make_trainer<float>(stop, splits, executor, events);
  again.restore(*kept, "checkpoint");
  EXPECT_EQ(end_of(again), said);
  EXPECT_EQ(kept->ledger.layer(0).failed, 2 * 12 * 4);
  // With another gate, or with outputs alone, it ends as a run that never had to stop.
  for (const Config& other : {config("stop", "1000"), config("outputs", "1e-6")}) {
    const auto whole = run<float>(other, splits);
    TrainerState state = *kept;
    state.description = other.to_toml();
    auto trainer = make_trainer<float>(other, splits, executor);
    trainer.restore(state, "checkpoint");
    const RunRecord record = trainer.run();
    EXPECT_EQ(Vector<float>(as_vector(trainer.network().theta(0, 1))), whole.theta);
    EXPECT_EQ(record.ledger.layer(0).training, whole.record.ledger.layer(0).training);
    EXPECT_EQ(record.layers[0].measured.fallback, whole.record.layers[0].measured.fallback);
    EXPECT_EQ(record.information, whole.record.information);
  }
}

TEST(TwinInTraining, SaysBeforeTheFirstReadingWhatItTakesWithAndWithoutItsTwin) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  for (const char* readout : {"none", "trained"}) {
    std::vector<std::string> lines;
    TrainEvents events;
    events.message = [&](const std::string& line) { lines.push_back(line); };
    const auto ends = [&](const char* gate) {
      const Config config = resolved(with_twin({{"gradient.twin.steps", "1"},
                                                {"gradient.twin.gate", gate},
                                                {"gradient.twin.start", "1"},
                                                {"gradient.twin.refine", "1"},
                                                {"model.mesh.linear_head", readout}}),
                                     splits);
      lines.clear();
      return static_cast<double>(run<float>(config, splits, 1, events).record.ledger.layer(0).training) / kTrain;
    };
    const double passed = ends("1000"), missed = ends("1e-6");
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ(lines[0],
              fmt::format("mesh0: training reads the device {:.3g} times a sample if what is learnt of it passes its gate; if not, "
                          "{:.3g} times (gradient.fallback = \"stop\" ends it there)",
                          passed, missed));
  }
}

TEST(TwinInTraining, KeepsItsBudgetWhereItHasFallenBack) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  for (const char* readout : {"none", "trained"}) {
    const Config config = resolved(with_twin({{"gradient.twin.steps", "1"},
                                              {"gradient.twin.gate", "1e-6"},
                                              {"model.mesh.linear_head", readout},
                                              {"budget.forward_evals", "6000"}}),
                                   splits);
    const RunRecord record = run<float>(config, splits).record;
    EXPECT_EQ(record.stopped_by, "budget");
    EXPECT_LE(record.ledger.layer(0).training, 6000);
    EXPECT_GT(record.ledger.layer(0).training, 6000 - 66 * 16);
  }
}

TEST(TwinInTraining, DoesNotBeginACalibrationThatItsBudgetDoesNotHold) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto with_budget = [&](const char* evaluations, const char* start) {
    return resolved(with_twin({{"budget.forward_evals", evaluations},
                               {"gradient.twin.start", start},
                               {"gradient.twin.refine", "0"},
                               {"gradient.twin.gate", "1000"}}),
                    splits);
  };
  EXPECT_EQ(message_of<ConfigError>([&] { static_cast<void>(with_budget("47", "1")); }),
            "command line: budget.forward_evals: must hold the 48 readings that calibrate the twin; got 47; raise it, or lower "
            "gradient.twin.settings or gradient.twin.samples");
  // Where there is none, the calibration alone has to fit.
  EXPECT_EQ(run<float>(resolved(with_twin({{"budget.forward_evals", "60"},
                                           {"gradient.twin.refine", "0"},
                                           {"gradient.twin.gate", "1000"},
                                           {"gradient.fallback", "stop"}}),
                                splits),
                       splits)
                .record.ledger.layer(0)
                .training,
            48);
  // What a fall-back would read in the same step has to fit as well.
  for (const char* start : {"0", "1"}) {
    const RunRecord record = run<float>(with_budget("60", start), splits).record;
    EXPECT_EQ(record.stopped_by, "budget");
    EXPECT_EQ(record.ledger.layer(0).training, 0) << "steps on the twin cost no reading";
  }
  const RunRecord whole = run<float>(with_budget("6000", "1"), splits).record;
  EXPECT_NE(whole.stopped_by, "budget");
  EXPECT_EQ(whole.ledger.layer(0).training, 48);
}

TEST(TwinInTraining, LearnsFromOutputsAloneWhereTheTwinIsOfAnotherChip) {
  const Splits splits = make_glyphs(1, 400, 200);
  const auto end = [&](const char* epochs) {
    Settings s =
        with_twin({{"training.epochs", epochs}, {"training.batch_size", "20"}, {"gradient.twin.start", "4"}, {"update.lr", "0.05"}});
    for (const auto& [key, value] : {std::pair{"model.mesh.chip.coupler", "0.2"}, {"model.mesh.chip.phase", "0.3"}})
      s.emplace_back(key, value);
    s.emplace_back("gradient.twin.gate", "1e-6");
    return run<float>(resolved(s, splits), splits).record.final_test.value;
  };
  EXPECT_GT(end("30"), end("4") + 0.1);
}

TEST(TwinInTraining, NeedsAChip) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  Settings ideal{{"model.kind", "photonic"}, {"dataset.crop", "4"}, {"training.batch_size", "16"}, {"gradient.estimator", "twin"}};
  EXPECT_EQ(message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(ideal, splits), splits)); }),
            "gradient.estimator: a twin is that of one chip whose powers the loss reads; got another block; use a photonic model with "
            "model.mesh.chip.*, objective.scope = \"local\" and model.mesh.parallel = 1");
}

TEST(ChipInTraining, CoordinateRuleSeesTheChip) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto coordinate = run<float>(
      resolved(
          on_chip(
              {{"gradient.estimator", "coordinate"}, {"training.epochs", "1"}, {"objective.temperature", "0.05"}, {"update.lr", "0.01"}}),
          splits),
      splits);
  const auto adjoint = run<float>(
      resolved(
          on_chip({{"gradient.estimator", "adjoint"}, {"training.epochs", "1"}, {"objective.temperature", "0.05"}, {"update.lr", "0.01"}}),
          splits),
      splits);
  EXPECT_EQ(coordinate.theta, adjoint.theta);
  EXPECT_GT(coordinate.record.ledger.layer(0).training, adjoint.record.ledger.layer(0).training);
}

}  // namespace
}  // namespace ffzero::test
