// Networks: what their checkpoint holds, and that inference is what training saw.
// SPDX-License-Identifier: MIT
#include "ffzero/train/network.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "ffzero/base/error.hpp"
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
