// Training on replicas, one of which loses calls for a while.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include <limits>

#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/replicated.hpp"
#include "small_runs.hpp"

namespace ffzero::test {
namespace {

using testing::ElementsAre;

constexpr Index kInputs = 6, kOutputs = 4, kBatch = 6, kEpochs = 3, kSteps = kTrain / kBatch;

/// A dense layer that gives nothing in some steps of each epoch, and would answer in the others.
class Chip final : public ForwardMap<float>, public Instrument<float> {
 public:
  explicit Chip(bool fails) : fails_(fails) {}
  [[nodiscard]] Shape input_shape() const override { return dense_.input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return dense_.output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return dense_.parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return dense_.parameter_layout(); }
  void initialise(std::span<float> theta, const RandomStream& random) const override { dense_.initialise(theta, random); }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    dense_.forward(theta, x, y);
  }
  void read_many(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys,
                 bool may_miss) const override {
    const Index step = static_cast<Index>(step_ & 0xFFFF) % kSteps;
    if (may_miss) calls.push_back(step);
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      ys[i].resize(x.rows(), kOutputs);
      dense_.forward(thetas[i], x, ys[i]);
      if (may_miss && fails_ && step >= 2 && step < 5) ys[i].setConstant(std::numeric_limits<float>::quiet_NaN());
    }
  }
  [[nodiscard]] InstrumentInfo info() const override { return {.address = "here", .identity = "chip", .noise = 0.0}; }
  [[nodiscard]] DeviceReceipt receipt() const override { return {}; }
  [[nodiscard]] std::vector<std::string> log() const override { return {}; }
  void safe() const override {}
  void begin_readings(std::uint64_t /*stream*/, std::uint64_t step, bool /*lasting*/) const override { step_ = step; }
  void pass_over(std::size_t readings) const override { passed += readings; }
  [[nodiscard]] Matrix<float> reference_readings(std::span<const float> /*theta*/, Index repeats) const override {
    return Matrix<float>::Zero(repeats, kOutputs);
  }
  void keep_inside(std::span<float> /*theta*/, double /*margin*/) const override {}
  [[nodiscard]] double resolution() const override { return 0.0; }

  mutable std::vector<Index> calls;  ///< steps of an epoch in which it was asked
  mutable std::size_t passed = 0;

 private:
  Dense<float> dense_{Shape{.width = kInputs}, kOutputs};
  bool fails_;
  mutable std::uint64_t step_ = 0;
};

struct Rack {
  std::vector<std::shared_ptr<Chip>> chips{std::make_shared<Chip>(false), std::make_shared<Chip>(true), std::make_shared<Chip>(false)};
  [[nodiscard]] std::vector<NumberedInstrument<float>> numbered() const {
    std::vector<NumberedInstrument<float>> all;
    for (const auto& chip : chips) all.push_back({.number = isize(all.size()), .map = chip, .address = "here"});
    return all;
  }
};

TrainPlan plan_of(bool evaluates) {
  TrainOptions options;
  options.block.estimator = DirectionalOptions{.directions = 2, .eps = 0.1};
  options.block.update.lr = 0.1;
  options.block.batch_size = kBatch;
  options.block.epochs = kEpochs;
  if (!evaluates) options.log = {.train_samples = 0, .test = false};
  TrainPlan plan = make_plan(options, 1, "own", false);
  plan.most_skipped = 10;
  return plan;
}

Network<float> network_of(const Rack& rack) {
  std::vector<Layer<float>> layers(1);
  layers[0].map = std::make_shared<ReplicatedMap<float>>(rack.numbered());
  return {{.input = {.width = kInputs}, .classes = 3, .layers = layers, .end_to_end = false, .seed = 1},
          std::make_shared<const Executor>(1)};
}

struct Trained {
  Rack rack;
  RunRecord record;
  Vector<float> theta;
  std::vector<std::string> lines;
  TrainerState last;
};

Trained train(const TrainPlan& plan, const TrainerState* from = nullptr, Index stopped = 0) {
  Trained result;
  Index steps = 0;
  TrainEvents events;
  events.message = [&](const std::string& line) { result.lines.push_back(line); };
  events.save = [&](const TrainerState& state) { result.last = state; };
  events.stop_requested = [&] { return ++steps == stopped; };
  const Splits splits = small_splits(kTrain, 20, kInputs, 3);
  Trainer<float> trainer(plan, network_of(result.rack), splits, std::make_shared<const Executor>(1), events);
  // As it comes out of a file.
  if (from != nullptr) trainer.restore(state_of(checkpoint_of(*from), "file"), "file");
  result.record = trainer.run();
  result.theta = as_vector(trainer.network().theta(0, 1));
  return result;
}

TEST(TrainingOnReplicas, AsksOneThatLostThreeCallsAgainAfterTheEpoch) {
  for (const bool evaluates : {true, false}) {
    const Trained whole = train(plan_of(evaluates));
    // In each epoch steps 0 .. 4, of which it lost three; it would have answered in the other five.
    EXPECT_THAT(whole.rack.chips[1]->calls, ElementsAre(0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4)) << evaluates;
    EXPECT_EQ(whole.rack.chips[1]->passed, usize(kEpochs * 5 * 4)) << "its readings keep their numbers";
    EXPECT_EQ(isize(whole.rack.chips[0]->calls.size()), kEpochs * kSteps);
    // Two rows of a batch, four parameter vectors a step, five steps.
    const std::int64_t unasked = kEpochs * 5 * 4 * (kBatch / 3);
    EXPECT_EQ(whole.record.devices[1].unasked, unasked);
    EXPECT_EQ(whole.record.devices[1].receipt.dropped, unasked) << "this chip does not count what it lost itself";
    EXPECT_EQ(whole.record.devices[0].unasked, 0);
    EXPECT_EQ(whole.record.ledger.total().training, kEpochs * kTrain * 4 - unasked);
    EXPECT_EQ(whole.record.skipped, Skipped{});
    ASSERT_EQ(whole.lines.size(), usize(kEpochs)) << "once an epoch";
    EXPECT_EQ(whole.lines[0],
              "device 1 at here: has failed 3 times in a row; it is not asked until the next evaluation, and its rows are dropped");
  }
}

TEST(TrainingOnReplicas, GoesOnWithOneAtRestToTheSameBits) {
  const TrainPlan plan = plan_of(true);
  const Trained whole = train(plan);
  // After each step of the second epoch: before it fails, when it has lost one, two, three calls, at rest.
  for (Index stopped = kSteps; stopped < 2 * kSteps; ++stopped) {
    const Trained first = train(plan, nullptr, stopped);
    ASSERT_EQ(first.record.stopped_by, "interrupt");
    const Trained resumed = train(plan, &first.last);
    EXPECT_EQ(resumed.theta, whole.theta) << stopped;
    EXPECT_EQ(resumed.record.ledger.total().training, whole.record.ledger.total().training) << stopped;
    EXPECT_EQ(resumed.record.devices[1].unasked, whole.record.devices[1].unasked) << stopped;
    EXPECT_EQ(resumed.record.devices[1].receipt.dropped, whole.record.devices[1].receipt.dropped) << stopped;
    EXPECT_EQ(first.rack.chips[1]->calls.size() + resumed.rack.chips[1]->calls.size(), whole.rack.chips[1]->calls.size()) << stopped;
  }
}

}  // namespace
}  // namespace ffzero::test
