// Networks: what their checkpoint holds, and that inference is what training saw.
// SPDX-License-Identifier: MIT
#include "ffzero/train/network.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "ffzero/base/error.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/train/train.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

struct Model {
  std::string name;
  Settings settings;
  Shape input;
};

const std::vector<Model> kModels{
    {"dense", {{"model.layers", "[14, 12]"}, {"model.pca", "[5, 0]"}}, {.width = 9}},
    {"conv",
     {{"model.kind", "cnn"},
      {"model.conv.channels", "[2, 3]"},
      {"model.conv.kernel", "[3]"},
      {"model.conv.projection_pool", "0"},
      {"model.layers", "[12]"}},
     {1, 12, 12}},
    {"mesh", {{"model.kind", "photonic"}, {"model.mesh.layers", "2"}}, {2, 1, 12}},
    {"end to end", {{"objective.scope", "end_to_end"}, {"gradient.estimator", "adjoint"}, {"model.layers", "[14, 10]"}}, {.width = 9}}};

Config config_of(const Model& model, const char* seed) {
  Settings settings = model.settings;
  settings.emplace_back("seed", seed);
  Config config = Config::parse("", "test", {.file = {}, .overrides = settings});
  config.resolve({.regression = false, .classes = 10, .train_size = 1000});
  return config;
}

Network<float> network_of(const Model& model, const char* seed, int threads = 1) {
  return build_network<float>(config_of(model, seed), model.input, 10, std::make_shared<const Executor>(threads));
}

/// Scores of the last layer, layer after layer.
Matrix<float> scores_of(const Network<float>& network, const Matrix<float>& samples) {
  Matrix<float> x = samples;
  LayerOutput<float> out;
  for (Index l = 0; l < network.layers(); ++l) {
    network.infer(l, x, Wanted::both, out);
    x = out.passed_on;
  }
  return out.scores;
}

TEST(Network, ReadsBackWhatItSaved) {
  for (const Model& model : kModels) {
    const Network<float> saved = network_of(model, "1");
    Network<float> loaded = network_of(model, "2");
    if (auto* front = saved.front(0)) RandomStream(1, Stream::test).fill_normal(front->state());
    const Matrix<float> x = normal_matrix<float>(7, model.input.size(), 3);
    const Matrix<float> expected = scores_of(saved, x);
    EXPECT_FALSE(expected == scores_of(loaded, x)) << model.name;
    NpzArchive archive;
    saved.save(archive);
    loaded.load(archive, "checkpoint.npz");
    EXPECT_TRUE(expected == scores_of(loaded, x)) << model.name;
  }
}

TEST(Network, InfersForSeveralCallersAtOnce) {
  // As a service does: callers share a network and its threads, while another thread trains with them.
  for (const Model& model : kModels)
    for (const int threads : {1, 2, 3}) {
      const Network<float> network = network_of(model, "1", threads);
      std::vector<Matrix<float>> inputs, expected;
      for (const Index rows : {1, 40, 300, 512}) {
        inputs.push_back(normal_matrix<float>(rows, model.input.size(), 3));
        expected.push_back(scores_of(network, inputs.back()));
      }
      std::atomic<int> wrong{0};
      std::vector<std::thread> callers;
      for (std::size_t caller = 0; caller < inputs.size(); ++caller)
        callers.emplace_back([&, caller] {
          for (int round = 0; round < 3; ++round) wrong += scores_of(network, inputs[caller]) == expected[caller] ? 0 : 1;
        });
      for (auto& caller : callers) caller.join();
      EXPECT_EQ(wrong.load(), 0) << model.name << ", " << threads << " threads";
    }
}

TEST(Network, InfersWhileAnotherThreadTrains) {
  const auto executor = std::make_shared<const Executor>(2);
  const Splits splits = small_splits(70, 30, 9, 4);
  const Config config = resolved({{"model.layers", "[14, 12]"}, {"training.epochs", "8"}, {"training.batch_size", "16"}}, splits);
  const auto network = build_network<float>(config, {.width = 9}, 4, executor);
  const Matrix<float> x = normal_matrix<float>(300, 9, 3), expected = scores_of(network, x);
  Vector<float> alone, beside;
  const auto train_to = [&](Vector<float>& theta) {
    auto trainer = make_trainer<float>(config, splits, executor);
    static_cast<void>(trainer.run());
    theta = as_vector(trainer.network().theta(0, 2));
  };
  train_to(alone);
  std::thread training([&] { train_to(beside); });
  int wrong = 0;
  for (int round = 0; round < 50; ++round) wrong += scores_of(network, x) == expected ? 0 : 1;
  training.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(alone == beside) << "training does not notice";
}

/// x plus a state that the training set fixes: the mean of its inputs. Zero in training, so that it shows where inference is asked.
class Centred final : public ForwardMap<float>, public StatefulMap<float> {
 public:
  explicit Centred(Index width) : state_(Vector<float>::Zero(width)), sum_(Vector<double>::Zero(width)) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = state_.size()}; }
  [[nodiscard]] Shape output_shape() const override { return input_shape(); }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  void forward(std::span<const float>, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override { y = x; }
  void infer(std::span<const float>, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    y = x.rowwise() - state_.transpose();
  }
  [[nodiscard]] std::span<const float> state() const override { return as_span(state_); }
  [[nodiscard]] std::span<float> state() override { return as_span(state_); }
  void begin_statistics() override {
    sum_.setZero();
    rows_ = 0;
  }
  void absorb(std::span<const float>, const ConstMatrixRef<float>& x) override {
    sum_ += x.cast<double>().colwise().sum().transpose();
    rows_ += x.rows();
  }
  void finish_statistics() override { state_ = (sum_ / static_cast<double>(rows_)).cast<float>(); }

 private:
  Vector<float> state_;
  Vector<double> sum_;
  Index rows_ = 0;
};

enum class Place { map, first_passed_on, second_passed_on, projection };

/// Two layers of 6 outputs; a stateful map stands at `place` of the first.
Network<float> network_with(Place place, std::shared_ptr<Centred> stateful) {
  const auto other = [] { return std::make_shared<Activation<float>>(Shape{.width = 6}, ActivationKind::relu); };
  Layer<float> first, second;
  first.map = second.map = std::make_shared<Dense<float>>(Shape{.width = 6}, 6);
  if (place == Place::map) first.map = stateful;
  if (place == Place::first_passed_on) first.passed_on = {stateful, other()};
  if (place == Place::second_passed_on) first.passed_on = {other(), stateful};
  if (place == Place::projection) {
    first.passed_on = {other()};
    first.loss_after = 1;
    first.readout = stateful;
  }
  return {{.input = {.width = 6}, .classes = 3, .layers = {std::move(first), std::move(second)}, .seed = 3},
          std::make_shared<const Executor>(1)};
}

TEST(Network, KeepsAStateWhereverItIs) {
  const Matrix<float> x = normal_matrix<float>(9, 6, 3);
  for (const Place place : {Place::map, Place::first_passed_on, Place::second_passed_on, Place::projection}) {
    const auto stateful = std::make_shared<Centred>(6), fresh = std::make_shared<Centred>(6);
    const Network<float> saved = network_with(place, stateful);
    RandomStream(1, Stream::test).fill_normal(stateful->state());
    Network<float> loaded = network_with(place, fresh);
    const Index layer = place == Place::projection ? 0 : 1;
    const auto scores = [&](const Network<float>& network) {
      Matrix<float> input = x;
      LayerOutput<float> out;
      network.pass_on(0, layer, input, out);
      network.infer(layer, input, Wanted::both, out);
      return out.scores;
    };
    EXPECT_FALSE(scores(saved) == scores(loaded)) << static_cast<int>(place);
    NpzArchive archive;
    saved.save(archive);
    loaded.load(archive, "checkpoint.npz");
    EXPECT_TRUE(scores(saved) == scores(loaded)) << static_cast<int>(place);
  }
}

TEST(Network, AStateIsFittedOnWhatItsMapSees) {
  // Batch norm has the tests of a state at the map itself.
  const Splits splits = small_splits(60, 20, 6, 3);
  TrainOptions options;
  options.block = {.epochs = 2, .batch_size = 20};
  for (const Place place : {Place::first_passed_on, Place::second_passed_on, Place::projection}) {
    const auto stateful = std::make_shared<Centred>(6);
    Network<float> network = network_with(place, stateful);
    static_cast<void>(train(options, network, splits));
    Matrix<float> x(splits.train.size(), 6), seen;
    for (Index i = 0; i < x.rows(); ++i) std::copy_n(splits.train.values(i).begin(), 6, x.row(i).data());
    const Index map = place == Place::first_passed_on ? 1 : 2;
    network.infer_until(0, map, x, seen);
    ASSERT_EQ(network.maps_of(0)[usize(map)], stateful.get());
    const Vector<float> mean = seen.cast<double>().colwise().mean().transpose().cast<float>();
    EXPECT_GT(mean.norm(), 1e-2F) << static_cast<int>(place);
    EXPECT_LT((as_vector(std::as_const(*stateful).state()) - mean).norm(), 1e-5F) << static_cast<int>(place);
  }
}

TEST(Network, RefusesArraysOfAnotherArchitectureNamingThem) {
  const Network<float> saved = network_of(kModels[0], "1");
  NpzArchive archive;
  saved.save(archive);
  Network<float> other =
      build_network<float>(config_of({.name = "", .settings = {{"model.layers", "[14, 13]"}, {"model.pca", "[5, 0]"}}, .input = {}}, "1"),
                           {.width = 9}, 10, std::make_shared<const Executor>(1));
  EXPECT_EQ(message_of<DataError>([&] { other.load(archive, "a.npz"); }),
            "a.npz: layer1.theta must have 195 numbers; got 180; this checkpoint is of another architecture");
  archive.erase("layer0.theta");
  EXPECT_NE(message_of<DataError>([&] { other.load(archive, "a.npz"); }).find("must hold the array layer0.theta"), std::string::npos);
}

TEST(Network, InferenceDependsNeitherOnThreadsNorOnBatchMates) {
  for (const Model& model : kModels) {
    const Matrix<float> x = normal_matrix<float>(600, model.input.size(), 4);
    const Matrix<float> one = scores_of(network_of(model, "1", 1), x);
    EXPECT_TRUE(one == scores_of(network_of(model, "1", 3), x)) << model.name;
    const Matrix<float> part = scores_of(network_of(model, "1", 1), x.middleRows(256, 256));
    EXPECT_LT((part - one.middleRows(256, 256)).cwiseAbs().maxCoeff(), 1e-6F) << model.name;
  }
}

TEST(Network, RefusesShapesThatDoNotFit) {
  const auto refused = [](Settings settings, const Shape& input) {
    return message_of<ConfigError>([&] {
      static_cast<void>(build_network<float>(config_of({.name = "", .settings = settings, .input = input}, "1"), input, 10,
                                             std::make_shared<const Executor>(1)));
    });
  };
  EXPECT_NE(refused({{"model.layers", "[9]"}}, {.width = 20}).find("needs at least K = 10 outputs"), std::string::npos);
  EXPECT_NE(refused({{"model.layers", "[30]"}, {"model.groups", "4"}}, {.width = 20}).find("must divide the width 30"), std::string::npos);
  EXPECT_NE(refused({{"model.layers", "[32]"}, {"model.groups", "4"}}, {.width = 20}).find("in every group"), std::string::npos);
  EXPECT_NE(refused({{"model.layers", "[32]"}, {"model.pca", "[21]"}}, {.width = 20}).find("model.pca"), std::string::npos);
  EXPECT_NE(refused({{"model.kind", "photonic"}}, {.width = 20}).find("complex"), std::string::npos);
}

}  // namespace
}  // namespace ffzero::test
