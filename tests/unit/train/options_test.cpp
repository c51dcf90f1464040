// Typed options: refusals by field, plans, training in one call, and the same bits as from a configuration.
// SPDX-License-Identifier: MIT
#include "ffzero/train/options.hpp"

#include <gtest/gtest.h>

#include "ffzero/map/activation.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/normalise.hpp"
#include "ffzero/train/train.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"

namespace ffzero::test {
namespace {

Network<float> dense_network(Index inputs, Index width, Index classes, bool end_to_end = false, std::uint64_t seed = 1) {
  std::vector<Layer<float>> layers(2);
  layers[0].map = std::make_shared<Dense<float>>(Shape{.width = inputs}, width);
  layers[0].passed_on = {std::make_shared<Activation<float>>(layers[0].map->output_shape(), ActivationKind::relu)};
  layers[1].map = std::make_shared<Dense<float>>(Shape{.width = width}, width);
  return {{.input = {.width = inputs}, .classes = classes, .layers = layers, .end_to_end = end_to_end, .seed = seed},
          std::make_shared<const Executor>(1)};
}

std::string refusal(const std::function<void(TrainOptions&)>& change) {
  TrainOptions options;
  change(options);
  return message_of<ConfigError>([&] { static_cast<void>(make_plan(options, 2, "data", false)); });
}

TEST(TrainOptions, RefusesEachFieldByName) {
  EXPECT_EQ(refusal([](auto& o) { o.cache_mib = -1; }), "TrainOptions::cache_mib: must lie in 0 .. 1000000000; got -1");
  EXPECT_EQ(refusal([](auto& o) { o.cache_mib = Index{1} << 44; }),
            "TrainOptions::cache_mib: must lie in 0 .. 1000000000; got 17592186044416");
  EXPECT_EQ(refusal([](auto& o) { o.block.batch_size = 0; }), "TrainOptions::block: BlockOptions::batch_size: must be at least 1; got 0");
  EXPECT_EQ(refusal([](auto& o) { o.block.epochs = -1; }), "TrainOptions::block: BlockOptions::epochs: must not be negative; got -1");
  EXPECT_EQ(refusal([](auto& o) { o.block.update.lr = -1.0; }),
            "TrainOptions::block: UpdateOptions::lr: must be a positive number, or kMeasured; got -1");
  EXPECT_EQ(refusal([](auto& o) { o.block.estimator = DirectionalOptions{.directions = 0}; }),
            "TrainOptions::block: DirectionalOptions::directions: must be at least 1; got 0");
  EXPECT_EQ(refusal([](auto& o) { o.block.estimator = ActivityPerturbation{.eps = 0.0}; }),
            "TrainOptions::block: ActivityPerturbation::eps: must be a positive number; got 0");
  EXPECT_EQ(refusal([](auto& o) { o.block.estimator = TransferOptions{.readings = 7}; }),
            "TrainOptions::block: TransferOptions::readings: must be at least 8; got 7");
  EXPECT_EQ(refusal([](auto& o) { o.block.estimator = TwinOptions{.chip_lr = -0.5}; }),
            "TrainOptions::block: TwinOptions::chip_lr: must not be negative; got -0.5");
  EXPECT_EQ(refusal([](auto& o) { o.block.estimator = TwinOptions{.along = true, .fallback = Fallback::stop}; }),
            "TrainOptions::block: TwinOptions::fallback: must be Fallback::outputs where no twin is calibrated; got Fallback::stop");
  EXPECT_EQ(refusal([](auto& o) { o.block.loss = CrossEntropyOptions{.temperature = 0.0}; }),
            "TrainOptions::block: CrossEntropyOptions::temperature: must be a positive number; got 0");
  EXPECT_EQ(refusal([](auto& o) { o.block_of[1].batch_size = 0; }),
            "TrainOptions::block_of[1]: BlockOptions::batch_size: must be at least 1; got 0");
  EXPECT_EQ(refusal([](auto& o) {
              o.scope = Scope::grouped;
              o.block_of[1] = {};
            }),
            "TrainOptions::block_of[1]: must be the first layer of a block; got 1");
  EXPECT_EQ(refusal([](auto& o) { o.vote.temperature = 0.0; }), "VoteOptions::temperature: must be a positive number; got 0");
}

TEST(TrainPlan, CutsLayersIntoBlocksByScope) {
  TrainOptions options;
  EXPECT_EQ(make_plan(options, 3, "data", false).blocks.size(), 3U);
  options.scope = Scope::end_to_end;
  const TrainPlan whole = make_plan(options, 3, "data", false);
  ASSERT_EQ(whole.blocks.size(), 1U);
  EXPECT_EQ(whole.blocks[0].last, 3);
  EXPECT_TRUE(whole.end_to_end);
  EXPECT_FALSE(whole.vote);
  EXPECT_EQ(whole.names.solver, "bp_dd");
  options.scope = Scope::grouped;
  const TrainPlan pairs = make_plan(options, 3, "data", false);
  ASSERT_EQ(pairs.blocks.size(), 2U);
  EXPECT_EQ(pairs.blocks[1].first, 2);
  TrainPlan gap = pairs;
  gap.blocks.erase(gap.blocks.begin());
  EXPECT_EQ(message_of<ConfigError>([&] { gap.validate(3); }),
            "TrainPlan::blocks: must follow one another without gaps; got layers 2 to 3; begin the next block with layer 0");
}

TEST(Train, LearnsInOneCallForEveryEstimator) {
  const Splits splits = small_splits(200, 60, 6, 3);
  for (const EstimatorOptions& estimator :
       {EstimatorOptions(DirectionalOptions{}), EstimatorOptions(ActivityPerturbation{}), EstimatorOptions(AdjointOptions{})}) {
    TrainOptions options;
    options.block.estimator = estimator;
    options.block.update = {.rule = AdamOptions{}, .lr = 1e-2};
    options.block.batch_size = 10;
    options.block.epochs = 15;
    Network<float> network = dense_network(6, 12, 3);
    const Vector<float> before = as_vector(network.theta(0, 2));
    const RunRecord record = train(options, network, splits).record;
    EXPECT_GT(record.final_test.value, 0.6) << estimator_name(estimator);
    EXPECT_GT((as_vector(network.theta(0, 2)) - before).norm(), 0.1F) << "the network of the caller holds what was learned";
    EXPECT_EQ(record.estimator, estimator_name(estimator));
  }
}

TEST(Train, GivesTheBitsOfTheSameConfiguration) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const auto by_keys = run<float>(resolved({{"preset", "paper"},
                                            {"dataset.scale", "none"},
                                            {"model.layers", "[8, 8]"},
                                            {"model.activation", "relu"},
                                            {"objective.loss", "cross_entropy"},
                                            {"objective.temperature", "0.1"},
                                            {"gradient.estimator", "directional"},
                                            {"gradient.directions", "2"},
                                            {"update.rule", "momentum"},
                                            {"update.schedule", "cosine"},
                                            {"training.epochs", "3"},
                                            {"training.batch_size", "16"},
                                            {"seed", "1"}},
                                           splits),
                                  splits);
  TrainOptions options;
  options.seed = 1;
  options.block.loss = CrossEntropyOptions{.temperature = 0.1};
  options.block.estimator = DirectionalOptions{.directions = 2};
  options.block.update = {.rule = MomentumOptions{}, .lr = 1e-3, .schedule = {.kind = ScheduleKind::cosine}};
  options.block.epochs = 3;
  options.block.batch_size = 16;
  Network<float> network = dense_network(6, 8, 4);
  const RunRecord record = train(options, network, splits).record;
  EXPECT_TRUE(by_keys.theta == Vector<float>(as_vector(network.theta(0, 2))));
  EXPECT_EQ(record.final_test.loss, by_keys.record.final_test.loss);
  EXPECT_EQ(record.ledger.total(), by_keys.record.ledger.total());
}

TEST(Train, GivesBackWhatWasReachedWhenAMapThrows) {
  class Failing final : public ForwardMap<float> {
   public:
    explicit Failing(Index calls) : left_(calls) {}
    [[nodiscard]] Shape input_shape() const override { return {.width = 6}; }
    [[nodiscard]] Shape output_shape() const override { return {.width = 6}; }
    [[nodiscard]] Index parameter_count() const override { return 36; }
    void forward(std::span<const float> knobs, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
      if (--left_ < 0) throw DeviceError("bench", "must answer", "silence");
      y = x * Eigen::Map<const Matrix<float>>(knobs.data(), 6, 6);
    }
    [[nodiscard]] std::string kind() const override { return "failing"; }

   private:
    mutable Index left_;
  };
  const Splits splits = small_splits(40, 20, 6, 3);
  std::vector<Layer<float>> layers(1);
  layers[0].map = std::make_shared<Failing>(9);
  Network<float> network({.input = {.width = 6}, .classes = 3, .layers = layers, .seed = 1}, std::make_shared<const Executor>(1));
  const Vector<float> before = as_vector(network.theta(0, 1));
  TrainOptions options;
  options.block.batch_size = 10;
  options.log = {.train_samples = 0, .test = false};
  EXPECT_THROW(train(options, network, splits), DeviceError);
  EXPECT_GT((as_vector(network.theta(0, 1)) - before).norm(), 0.0F) << "four steps were taken";
}

TEST(Train, CheckpointsOfOwnLayersSaySoAndGoOnInTheirProgram) {
  const Splits splits = small_splits(40, 20, 6, 3);
  TrainOptions options;
  options.block.estimator = AdjointOptions{};
  options.block.batch_size = 10;
  options.block.epochs = 4;
  const auto executor = std::make_shared<const Executor>(1);
  const TrainPlan plan = make_plan(options, 2, "own", false);
  Trainer<float> whole(plan, dense_network(6, 8, 3), splits, executor);
  static_cast<void>(whole.run());
  TrainerState kept;
  Index steps = 0;
  TrainEvents events;
  events.stop_requested = [&] { return ++steps == 6; };
  events.save = [&](const TrainerState& state) { kept = state; };
  Trainer<float> stopped(plan, dense_network(6, 8, 3), splits, executor, events);
  EXPECT_EQ(stopped.run().stopped_by, "interrupt");
  EXPECT_FALSE(kept.described_by_config);
  Trainer<float> resumed(plan, dense_network(6, 8, 3), splits, executor);
  resumed.restore(kept, "kept");
  static_cast<void>(resumed.run());
  EXPECT_TRUE(Vector<float>(as_vector(resumed.network().theta(0, 2))) == Vector<float>(as_vector(whole.network().theta(0, 2))));
  options.block.update.lr = 0.5;
  Trainer<float> other(make_plan(options, 2, "own", false), dense_network(6, 8, 3), splits, executor);
  EXPECT_THROW(other.restore(kept, "kept"), DataError) << "another plan";
}

TEST(Train, RefusesAnAdjointOfADeviceWithoutData) {
  class Device final : public ForwardMap<float> {
   public:
    [[nodiscard]] Shape input_shape() const override { return {.width = 6}; }
    [[nodiscard]] Shape output_shape() const override { return {.width = 6}; }
    [[nodiscard]] Index parameter_count() const override { return 1; }
    void forward(std::span<const float>, const ConstMatrixRef<float>&, MatrixRef<float>) const override {}
    [[nodiscard]] std::string kind() const override { return "device"; }
  };
  std::vector<Layer<float>> layers(1);
  layers[0].map = std::make_shared<Device>();
  const Network<float> network({.input = {.width = 6}, .classes = 3, .layers = layers}, std::make_shared<const Executor>(1));
  TrainOptions options;
  EXPECT_NO_THROW(require_trainable(options, network));
  options.block.estimator = AdjointOptions{};
  EXPECT_THROW(require_trainable(options, network), ConfigError);
  options.block.estimator = DirectionalOptions{};
  options.scope = Scope::end_to_end;
  EXPECT_EQ(message_of<ConfigError>([&] { require_trainable(options, network); }),
            "TrainOptions::scope: must be end_to_end for a network that is read as a whole, and for no other; got end_to_end; "
            "set NetworkParts::end_to_end to match");
}

}  // namespace
}  // namespace ffzero::test
