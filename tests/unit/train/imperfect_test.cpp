// Imperfections of any map in training: nothing where they are 0, the same bits again, readings that fail.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "ffzero/map/wrapped_map.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"

namespace ffzero::test {
namespace {

Settings plus(Settings s, const Settings& more) {
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

const Settings kDense{{"model.layers", "[12,12]"}, {"training.epochs", "2"}, {"training.batch_size", "16"}, {"training.log_samples", "20"}};
const Settings kDirectional{{"gradient.estimator", "directional"}, {"gradient.directions", "2"}};
const Settings kConv{{"model.kind", "cnn"},         {"model.conv.channels", "[4]"},      {"model.conv.kernel", "[3]"},
                     {"model.layers", "[12]"},      {"model.conv.padding", "[1]"},       {"model.conv.projection", "10"},
                     {"training.batch_size", "16"}, {"model.conv.projection_pool", "0"}, {"training.log_samples", "20"},
                     {"training.epochs", "2"}};
const Settings kMesh{{"model.kind", "photonic"}, {"dataset.crop", "4"},         {"dataset.optical_field", "fourier"},
                     {"training.epochs", "2"},   {"training.batch_size", "16"}, {"training.log_samples", "20"},
                     {"model.mesh.layers", "2"}};
const Settings kEverything{
    {"model.imperfect.read_noise", "0.02"}, {"model.imperfect.gain", "0.05"},      {"model.imperfect.offset", "0.02"},
    {"model.imperfect.saturation", "0.1"},  {"model.imperfect.adc_bits", "9"},     {"model.imperfect.dead", "0.05"},
    {"model.imperfect.dac_bits", "9"},      {"model.imperfect.dac_range", "4"},    {"model.imperfect.write_noise", "0.002"},
    {"model.imperfect.stuck", "0.02"},      {"model.imperfect.drift_rms", "0.02"}, {"model.imperfect.drift_time", "0.001"}};

// Small features for dense layers, images for the others.
Splits splits_for(const Settings& settings) {
  const bool dense = settings.front().first == "model.layers";
  return dense ? small_splits(kTrain, kTest, 6, 3) : make_glyphs(1, kTrain, kTest);
}

TEST(ImperfectInTraining, WithoutEffectsChangesNoBit) {
  for (const Settings& plain : {plus(kDense, kDirectional), kConv, kMesh}) {
    const Splits splits = splits_for(plain);
    const Settings zero =
        plus(plain, {{"model.imperfect.seed", "5"}, {"model.imperfect.read_noise", "0"}, {"model.imperfect.drift_time", "3"}});
    EXPECT_EQ(run<float>(resolved(plain, splits), splits).theta, run<float>(resolved(zero, splits), splits).theta);
  }
}

TEST(ImperfectInTraining, ResumesAndSharesWorkBitForBit) {
  const Settings dense = plus(kDense, kDirectional);
  for (const Settings& settings : {plus(dense, kEverything), plus(kConv, kEverything), plus(plus(kMesh, kDirectional), kEverything),
                                   plus(plus(kDense, kEverything), {{"preset", "adjoint"}}),
                                   plus(dense, {{"model.imperfect.gain", "0.1"}, {"model.imperfect.dac_bits", "8"}}),
                                   plus(dense, {{"model.imperfect.fail", "0.2"},
                                                {"device.on_failure", "skip"},
                                                {"device.retries", "1"},
                                                {"training.log_samples", "0"},
                                                {"training.log_test", "false"}})}) {
    const Splits splits = splits_for(settings);
    expect_resumes_bit_for_bit(resolved(settings, splits), splits, 6);
  }
}

TEST(CrossbarInTraining, ResumesAndSharesWorkBitForBit) {
  for (const char* map : {"crossbar_io", "crossbar_pcm"}) {
    for (const char* groups : {"1", "3"}) {
      const Settings settings =
          plus(plus(kDense, kDirectional), {{"model.map", map}, {"model.map_options", "output_bits = 8"}, {"model.groups", groups}});
      expect_resumes_bit_for_bit(resolved(settings, splits_for(settings)), splits_for(settings), 6);
    }
  }
}

TEST(CrossbarInTraining, BillsWhatBoundManagementReadsAgain) {
  const Settings plain = plus(kDense, kDirectional);
  const Splits splits = splits_for(plain);
  const auto bill = [&](const std::string& repeats) {
    const std::string options = "output_noise = 0, output_bound = 1e-6, bound_management = " + repeats;
    return run<float>(
               resolved(plus(plain, {{"model.layers", "[12]"}, {"model.map", "crossbar_io"}, {"model.map_options", options}}), splits),
               splits)
        .record.ledger;
  };
  // Every output but zeros is at so low a bound, however often it is tried: each row is read three more times.
  const Ledger none = bill("0"), three = bill("3");
  EXPECT_GT(none.total().training, 0);
  EXPECT_EQ(three.total().training, 4 * none.total().training);
  EXPECT_EQ(three.total().logging, 4 * none.total().logging);
}

TEST(CrossbarInTraining, BillsCompensationOfDriftForEachSettingOfTheParameters) {
  const Settings plain = plus(plus(kDense, kDirectional), {{"model.layers", "[12]"}, {"model.map", "crossbar_pcm"}});
  const Splits splits = splits_for(plain);
  const auto bill = [&](const char* compensation) {
    const std::string options = std::string("bound_management = 0, compensation = ") + compensation;
    return run<float>(resolved(plus(plain, {{"model.map_options", options}}), splits), splits).record.ledger.total().training;
  };
  // Two epochs of four batches, two directions, two sides; six unit inputs right after programming and six more now.
  EXPECT_EQ(bill("1") - bill("0"), 2 * 4 * 2 * 2 * 2 * 6);
}

TEST(CrossbarInTraining, WithoutErrorsLearnsWhatADenseLayerLearns) {
  for (const char* groups : {"1", "3"}) {
    const Settings plain = plus(plus(kDense, kDirectional), {{"model.groups", groups}, {"model.pca", "[4,5]"}});
    const Splits splits = splits_for(plain);
    const Settings exact =
        plus(plain, {{"model.map", "crossbar_io"},
                     {"model.map_options", "input_bits = 0, output_bits = 0, output_noise = 0, input_bound = 1e6, output_bound = 1e6"}});
    const auto a = run<float>(resolved(plain, splits), splits), b = run<float>(resolved(exact, splits), splits);
    EXPECT_LT((a.theta - b.theta).norm(), 0.02F * a.theta.norm());
    EXPECT_EQ(b.record.information, groups == std::string("1") ? Information::opaque : Information::grouped);
    EXPECT_EQ(b.record.ledger.total().training, a.record.ledger.total().training) << "one reading serves all groups";
  }
}

TEST(CrossbarInTraining, RefusesWhatItCannotDo) {
  const Settings plain = plus(kDense, kDirectional);
  const Splits splits = splits_for(plain);
  const auto refused = [&](const Settings& more) {
    return message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(plus(kDense, more), splits), splits)); });
  };
  EXPECT_NE(refused({{"model.map", "crossbar_io"}, {"gradient.estimator", "adjoint"}}), "");
  EXPECT_NE(refused({{"model.map_options", "seconds = 3"}}).find("it belongs to another model.map than \"dense\""), std::string::npos);
  EXPECT_NE(refused(plus(kDirectional, {{"model.map", "crossbar_io"}, {"model.map_options", "secnds = 3"}})).find("secnds"),
            std::string::npos);
  EXPECT_NE(refused(plus(kDirectional, {{"model.map", "crossbar"}})).find("crossbar_io"), std::string::npos);
}

TEST(ImperfectInTraining, EveryEffectReachesTheRun) {
  for (const Settings& model : {plus(kDense, kDirectional), kConv, kMesh}) {
    const Splits splits = splits_for(model);
    const auto plain = run<float>(resolved(model, splits), splits).theta;
    for (const auto& effect : kEverything) {
      if (effect.first.ends_with("_range") || effect.first.ends_with("_time")) continue;
      EXPECT_NE(run<float>(resolved(plus(model, {effect}), splits), splits).theta, plain) << effect.first;
    }
  }
}

TEST(ImperfectInTraining, OneLayerAloneByItsTable) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Config config = resolved(kDense, splits, "[[layer]]\nindex = 1\nmodel.imperfect.gain = 0.1\n");
  const auto network = build_network<float>(config, {1, 28, 28}, 10, std::make_shared<const Executor>(1));
  EXPECT_EQ(dynamic_cast<const MapWrapper<float>*>(network.layer(0).map.get()), nullptr);
  EXPECT_NE(dynamic_cast<const MapWrapper<float>*>(network.layer(1).map.get()), nullptr);
}

TEST(ImperfectInTraining, LightIsSetByPhasesAndReadByDetectors) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto built = [&](const Settings& effect) {
    return build_network<float>(resolved(plus(kMesh, effect), splits), {2, 1, 16}, 10, std::make_shared<const Executor>(1));
  };
  const auto wrapped = [](const ForwardMap<float>& map) { return dynamic_cast<const MapWrapper<float>*>(&map) != nullptr; };
  const auto noise = built({{"model.imperfect.read_noise", "0.1"}});
  EXPECT_FALSE(wrapped(*noise.layer(0).map));
  EXPECT_TRUE(wrapped(*noise.layer(0).readout));
  const auto steps = built({{"model.imperfect.dac_bits", "8"}});
  EXPECT_TRUE(wrapped(*steps.layer(0).map));
  EXPECT_FALSE(wrapped(*steps.layer(0).readout));
  EXPECT_NE(dynamic_cast<const InterferometerMesh<float>*>(&innermost<float>(*steps.layer(0).map)), nullptr);
}

TEST(ImperfectInTraining, AReadingThatFailsIsBilled) {
  const Splits splits = splits_for(kDense);
  const Settings failing = plus(plus(kDense, kDirectional), {{"model.imperfect.fail", "0.05"}, {"device.retries", "20"}});
  const auto plain = run<float>(resolved(plus(kDense, kDirectional), splits), splits);
  const auto result = run<float>(resolved(failing, splits), splits);
  ASSERT_EQ(result.record.devices.size(), 2U);
  const DeviceReceipt receipt = result.record.devices[0].receipt;
  EXPECT_GT(receipt.retries, 0);
  EXPECT_EQ(receipt.failed, 0);
  EXPECT_GT(receipt.rows, 0);
  EXPECT_EQ(result.record.ledger.layer(0).training, plain.record.ledger.layer(0).training);

  // Given up at once: the step is taken back, what it had read is billed as failed, and the run can go on.
  const Config config =
      resolved(plus(plus(kDense, kDirectional), {{"model.imperfect.fail", "0.02"}, {"device.on_failure", "stop"}}), splits);
  std::optional<TrainerState> last;
  TrainEvents events;
  events.save = [&](const TrainerState& state) { last = state; };
  int stops = 0;
  std::optional<RunRecord> record;
  while (!record && stops < 50) {
    auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1), events);
    if (last) trainer.restore(*last, "checkpoint");
    try {
      record = trainer.run();
      EXPECT_EQ(Vector<float>(as_vector(trainer.network().theta(0, trainer.network().layers()))), result.theta)
          << "where every reading comes back in the end, none of it is seen";
    } catch (const DeviceError& e) {
      EXPECT_EQ(e.reason(), DeviceFailure::timeout);
      ++stops;
    }
  }
  ASSERT_TRUE(record);
  EXPECT_GT(stops, 0);
  EXPECT_GT(record->ledger.total().failed, 0);
  EXPECT_EQ(record->ledger.layer(0).training, plain.record.ledger.layer(0).training);
}

TEST(ImperfectInTraining, GoesOnWithoutWhatIsMissing) {
  const Splits splits = splits_for(kDense);
  const Settings skip = plus(plus(kDense, kDirectional), {{"model.imperfect.fail", "0.3"},
                                                          {"device.on_failure", "skip"},
                                                          {"device.retries", "2"},
                                                          {"training.log_samples", "0"},
                                                          {"training.log_test", "false"}});
  const auto result = run<float>(resolved(skip, splits), splits);
  EXPECT_TRUE(result.theta.allFinite());
  EXPECT_GT(result.record.skipped.directions + result.record.skipped.steps, 0);
}

TEST(ImperfectInTraining, RefusesWhatItCannotDo) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto refused = [&](const Settings& settings) {
    return message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(settings, splits), splits)); });
  };
  for (const char* estimator : {"coordinate", "twin"})
    EXPECT_EQ(refused(plus(kMesh, {{"gradient.estimator", estimator}, {"model.imperfect.gain", "0.1"}})),
              std::string("command line: gradient.estimator: twins and the rule of shifted reads know nothing of "
                          "model.imperfect.*; got \"") +
                  estimator + "\"; use \"directional\", or model.mesh.chip.*");
  EXPECT_EQ(refused(plus(kDense, {{"device.on_failure", "skip"}})),
            "command line: device.on_failure: this key has no effect here: it belongs to model.kind = \"device\" or model.imperfect.fail > "
            "0; got \"skip\"; remove it");
  EXPECT_EQ(refused(plus(kDense, {{"model.imperfect.dac_bits", "1"}})),
            "model.imperfect.dac_bits: must be 0 (no steps) or at least 2: one bit has no step on either side of 0; got 1");
  EXPECT_EQ(refused(plus(kDense, {{"model.imperfect.stuck", "2"}})),
            "command line: model.imperfect.stuck: must lie in 0 .. 1; got 2; Share of the parameters that stand at a random value for "
            "ever.");
}

}  // namespace
}  // namespace ffzero::test
