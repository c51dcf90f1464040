// States as files: what is written comes back, and a damaged file is told.
// SPDX-License-Identifier: MIT
#include "ffzero/checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/dataset/glyphs.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/train/predictor.hpp"
#include "ffzero/train/train.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

Network<float> two_layers() {
  std::vector<Layer<float>> layers(2);
  layers[0].map = std::make_shared<Dense<float>>(Shape{.width = 49}, 24);
  layers[1].map = std::make_shared<Dense<float>>(Shape{.width = 24}, 24);
  return {{.input = {.width = 49}, .classes = 10, .layers = layers, .seed = 1}, std::make_shared<const Executor>(1)};
}

TrainOptions quick() {
  TrainOptions options{.vote = {.validated = true, .temperature = 0.1}, .best_layer = false, .seed = 1, .encoder = {.downsample = 7}};
  options.block.estimator = AdjointOptions{};
  options.block.epochs = 2;
  options.block.batch_size = 16;
  return options;
}

Splits glyphs() {
  Splits splits = make_glyphs(1, 300, 60);
  splits.validation = splits.train.slice(0, 50);
  splits.train = splits.train.slice(50, 250);
  return splits;
}

TEST(Checkpoint, OfOwnLayersComesBackWhole) {
  const TemporaryFolder folder;
  const Splits splits = glyphs();
  Network<float> network = two_layers();
  const TrainerState state = train(quick(), network, splits).state;
  write_checkpoint(folder.path() / "own.npz", state);
  const TrainerState read = read_checkpoint(folder.path() / "own.npz");
  EXPECT_EQ(read.description, state.description);
  EXPECT_FALSE(read.described_by_config);
  EXPECT_TRUE(read.finished);
  EXPECT_EQ(read.block, 2U);
  EXPECT_EQ(read.ledger, state.ledger);
  EXPECT_EQ(read.elapsed_s, state.elapsed_s);
  EXPECT_EQ(read.vote_rule, state.vote_rule);
  EXPECT_TRUE(read.vote_rule.has_value());
  EXPECT_EQ(read.train_size, 250);
  EXPECT_EQ(read.data.shape, splits.train.shape());
  EXPECT_TRUE(read.bytes);
  ASSERT_EQ(read.records.size(), state.records.size());
  for (std::size_t i = 0; i < read.records.size(); ++i) {
    EXPECT_EQ(read.records[i].training_loss, state.records[i].training_loss);
    EXPECT_EQ(read.records[i].test, state.records[i].test);
    EXPECT_EQ(read.records[i].validation, state.records[i].validation);
  }
  EXPECT_EQ(read.prediction.encoder.downsample, 7);
  EXPECT_EQ(read.prediction.last_layers, (std::vector<Index>{0, 1}));
  EXPECT_EQ(read.prediction.vote.value().temperature, 0.1);
  EXPECT_TRUE(read.prediction.vote.value().validated);
  ASSERT_EQ(read.arrays.size(), state.arrays.size());
  for (const auto& [name, array] : state.arrays) EXPECT_EQ(read.arrays.at(name).to<double>(), array.to<double>()) << name;

  // The layers are made again; their parameters come from the file.
  const Predictor predictor(two_layers(), read, "own.npz"), fresh(std::move(network), state);
  EXPECT_EQ(predictor.predict(splits.test, "test").decision, fresh.predict(splits.test, "test").decision);
}

TEST(Checkpoint, OfADeviceFromBeforeTheFirstStepHasInfinities) {
  TrainerState state;
  state.train_size = 1;
  state.classes = 2;
  state.data.classes = 2;
  state.data.shape = {.width = 3};
  state.prediction.last_layers = {0};
  state.instruments.push_back({.layer = 3,
                               .name = "bench",
                               .address = "tcp:a:1",
                               .identity = "b",
                               .inputs = 4,
                               .outputs = 5,
                               .parameters = 6,
                               .receipt = {},
                               .reference = {},
                               .looks = {},
                               .without_since = {}});
  state.instruments.push_back(state.instruments[0]);
  state.instruments[1].number = 3;
  state.instruments[1].without_since = 800;
  state.instruments[0].receipt.rows = 7;
  state.instruments[0].looks.push_back({.layer = 3, .epoch = 1, .noise = 0.5, .drift = 0.25});
  state.arrays["optimizer.schedule"] = NpyArray::of<double>(std::vector<double>{std::numeric_limits<double>::infinity(), 0.0, 0.0}, {3});
  const TrainerState read = state_of(checkpoint_of(state), "memory");
  ASSERT_EQ(read.instruments.size(), 2U);
  EXPECT_EQ(read.instruments[0].number, InstrumentRecord::kAlone);
  EXPECT_FALSE(read.instruments[0].without_since);
  EXPECT_EQ(read.instruments[1].number, 3);
  EXPECT_EQ(read.instruments[1].without_since, 800);
  EXPECT_EQ(read.instruments[0].layer, 3);
  EXPECT_EQ(read.instruments[0].address, "tcp:a:1");
  EXPECT_EQ(read.instruments[0].parameters, 6);
  EXPECT_EQ(read.instruments[0].receipt.rows, 7);
  EXPECT_EQ(read.instruments[0].looks, state.instruments[0].looks);
  EXPECT_EQ(read.arrays.at("optimizer.schedule").to<double>()[0], std::numeric_limits<double>::infinity());
}

TEST(Checkpoint, TellsWhatIsNone) {
  EXPECT_EQ(message_of<DataError>([] { static_cast<void>(state_of({}, "x.npz")); }),
            "x.npz: must be a checkpoint of ffzero; got no array \"meta\"; give the folder of a run");
}

TEST(Predictor, RefusesWhatDoesNotFit) {
  const Splits splits = glyphs();
  Network<float> network = two_layers();
  const TrainerState state = train(quick(), network, splits).state;
  const auto refused = [&](const auto& change, const char* part) {
    TrainerState other = state;
    change(other);
    EXPECT_NE(message_of<DataError>([&] { const Predictor p(two_layers(), other, "x.npz"); }).find(part), std::string::npos) << part;
  };
  refused([](TrainerState& s) { s.classes = 4; }, "heads for 10 classes");
  refused([](TrainerState& s) { s.arrays.clear(); }, "x.npz");
  refused([](TrainerState& s) { s.prediction.encoder = {}; }, "takes samples of");
  refused([](TrainerState& s) { s.prediction.last_layers = {1, 0}; }, "how 2 layers decide");
  refused([](TrainerState& s) { s.prediction.last_layers = {0}; }, "how 2 layers decide");
  refused([](TrainerState& s) { s.prediction.last_layers = {0, 5}; }, "how 2 layers decide");
  refused([](TrainerState& s) { s.deciding_voter = 2; }, "the layer that decides must be one of 2");

  const Predictor predictor(two_layers(), state);
  Matrix<float> pixels = Matrix<float>::Zero(2, 784);
  EXPECT_EQ(predictor.predict(pixels).decision.size(), 2U);
  pixels(1, 3) = 0.5F;
  EXPECT_NE(message_of<DataError>([&] { static_cast<void>(predictor.predict(pixels)); }).find("whole numbers 0 .. 255"), std::string::npos);
  pixels(1, 3) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(static_cast<void>(predictor.predict(pixels)), DataError);
  EXPECT_THROW(static_cast<void>(predictor.predict(Matrix<float>(2, 49))), DataError);
}

TEST(Predictor, GivesValuesInTheUnitsOfTheTargets) {
  const auto table = [](Index count) {
    DatasetInfo info{
        .name = "line", .task = Task::regression, .classes = 0, .shape = {.width = 2}, .class_names = {}, .target_scale = {500.0, 100.0}};
    std::vector<float> x, y;
    for (Index i = 0; i < count; ++i) {
      const float at = static_cast<float>(i % 20) / 10.0F - 1.0F;
      x.insert(x.end(), {at, 1.0F - at});
      y.push_back(at);
    }
    return Dataset(info, x, y);
  };
  const Splits splits{.train = table(200), .validation = {}, .test = table(40)};
  std::vector<Layer<float>> layers(1);
  layers[0].map = std::make_shared<Dense<float>>(Shape{.width = 2}, 16);
  const auto executor = std::make_shared<const Executor>(1);
  Network<float> network({.input = {.width = 2}, .classes = 1, .layers = layers, .seed = 1}, executor);
  TrainOptions options{.seed = 1, .scale = ScaleKind::standardise};
  options.block.loss = SquaredOptions{};
  options.block.estimator = AdjointOptions{};
  options.block.update = {.rule = AdamOptions{}, .lr = 1e-2};
  options.block.epochs = 60;
  options.block.batch_size = 20;
  const TrainResult result = train(options, network, splits);
  ASSERT_GT(result.record.final_test.value, 0.8);
  const Predictor predictor(std::move(network), result.state);
  Matrix<float> x(2, 2);
  x << -0.5F, 1.5F, 0.5F, 0.5F;
  const Matrix<double> values = predictor.values(predictor.predict(x));
  ASSERT_EQ(values.rows(), 2);
  EXPECT_NEAR(values(0, 0), 450.0, 30.0);
  EXPECT_NEAR(values(1, 0), 550.0, 30.0);
}

}  // namespace
}  // namespace ffzero::test
