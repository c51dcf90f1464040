// Small data sets and runs for the tests of training.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/dataset/glyphs.hpp"
#include "ffzero/settings/configured.hpp"

namespace ffzero::test {

/// Clusters of normal points around one random centre a class, or (classes = 1) a smooth function of the inputs as regression.
inline Dataset small_dataset(Index size, Index width, Index classes, std::uint64_t step) {
  DatasetInfo info{.name = "npz",
                   .task = classes > 1 ? Task::classification : Task::regression,
                   .classes = classes > 1 ? classes : 0,
                   .shape = {.width = width},
                   .class_names = {},
                   .target_scale = {}};
  std::vector<float> samples(usize(size * width)), centres(usize(classes * width));
  RandomStream(1, Stream::test, 0, step).fill_normal(samples);
  RandomStream(1, Stream::test, 1).fill_normal(centres);
  std::vector<std::int32_t> labels;
  std::vector<float> targets;
  for (Index i = 0; i < size; ++i) {
    const auto label = static_cast<std::int32_t>(i % classes);
    for (Index k = 0; k < width; ++k)
      samples[usize(i * width + k)] = 0.4F * samples[usize(i * width + k)] + centres[usize(label * width + k)];
    labels.push_back(label);
    targets.push_back(std::tanh(samples[usize(i * width)]));
  }
  if (classes > 1) return {info, std::move(samples), std::move(labels)};
  return {info, std::move(samples), std::move(targets)};
}

/// Samples of a run that is over in milliseconds.
constexpr Index kTrain = 60, kTest = 20;

inline Splits small_splits(Index train, Index test, Index width, Index classes) {
  return {.train = small_dataset(train, width, classes, 1), .validation = {}, .test = small_dataset(test, width, classes, 2)};
}

using Settings = std::vector<std::pair<std::string, std::string>>;

inline std::string name_of(const Settings& settings) {
  std::string name;
  for (const auto& [key, value] : settings) name += key + "=" + value + " ";
  return name;
}

inline Config resolved(const Settings& settings, const Splits& splits, const std::string& toml = {}) {
  Config config = Config::parse(toml, "test", {.file = {}, .overrides = settings});
  config.resolve(data_facts(splits));
  return config;
}

template <class S>
struct RunResult {
  RunRecord record;
  Vector<S> theta;
  std::vector<EpochRecord> epochs;
  Outputs outputs;
};

template <class S>
RunResult<S> run(const Config& config, const Splits& splits, int threads = 1, TrainEvents events = {}) {
  auto trainer = make_trainer<S>(config, splits, std::make_shared<const Executor>(threads), std::move(events));
  RunResult<S> result;
  result.record = trainer.run();
  result.theta = as_vector(trainer.network().theta(0, trainer.network().layers()));
  result.epochs = trainer.records();
  result.outputs = trainer.outputs();
  return result;
}

/// A run that is kept whenever it is saved, and stopped before step `stopped`, ends from each of these states on two threads as it ends
/// uninterrupted on one: the same parameters, metrics, scores and account.
inline void expect_resumes_bit_for_bit(const Config& config, const Splits& splits, int stopped) {
  std::vector<TrainerState> kept;
  int steps = 0;
  TrainEvents events;
  events.save = [&](const TrainerState& state) { kept.push_back(state); };
  const auto whole = run<float>(config, splits, 1, events);
  events.stop_requested = [&] { return ++steps == stopped; };
  static_cast<void>(run<float>(config, splits, 1, events));
  ASSERT_GT(kept.size(), 1U);
  for (const TrainerState& state : kept) {
    auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(2));
    trainer.restore(state, "checkpoint");
    const RunRecord record = trainer.run();
    EXPECT_EQ(Vector<float>(as_vector(trainer.network().theta(0, trainer.network().layers()))), whole.theta);
    EXPECT_EQ(record.final_test, whole.record.final_test);
    EXPECT_EQ(record.ledger.total().training, whole.record.ledger.total().training);
    ASSERT_EQ(trainer.outputs().test_scores.size(), whole.outputs.test_scores.size());
    for (std::size_t l = 0; l < whole.outputs.test_scores.size(); ++l)
      EXPECT_EQ(trainer.outputs().test_scores[l], whole.outputs.test_scores[l]);
  }
}

}  // namespace ffzero::test
