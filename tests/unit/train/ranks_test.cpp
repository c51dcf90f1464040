// One training on several ranks: the same run for any number of them, from any checkpoint, stopped together, refused in one line.
// SPDX-License-Identifier: MIT
#include "ffzero/train/rank_check.hpp"

#include <gtest/gtest.h>

#include <array>

#include "ffzero/base/error.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/thread_ranks.hpp"

namespace ffzero::test {
namespace {

constexpr Index kRanksTrain = 100, kRanksTest = 30;

Settings small(Settings more) {
  Settings s{{"training.epochs", "2"}, {"training.batch_size", "40"}, {"training.log_samples", "20"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

const Settings kMlp{{"model.layers", "[16, 12]"}, {"dataset.downsample", "7"}};
const Settings kCnn{{"model.kind", "cnn"},           {"model.conv.channels", "[3, 2]"}, {"model.conv.kernel", "[3]"},
                    {"model.conv.projection", "10"}, {"model.layers", "[10]"},          {"dataset.downsample", "8"}};
const Settings kPhotonic{{"model.kind", "photonic"}, {"dataset.crop", "4"}, {"dataset.optical_field", "fourier"}};

Settings joined(Settings a, const Settings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The cells that ranks share out, and one of each kind of state that a step can depend on.
std::vector<Settings> cells() {
  const Settings directional{{"gradient.estimator", "directional"}, {"gradient.directions", "3"}};
  const Settings activity{{"gradient.estimator", "activity"}};
  std::vector<Settings> all;
  for (const Settings& model : {kMlp, kCnn, kPhotonic})
    for (const Settings& estimator : {directional, activity}) all.push_back(small(joined(model, estimator)));
  all.push_back(small(joined(kMlp, {{"preset", "opaque"}})));
  all.push_back(small(joined(kMlp, {{"preset", "grouped"}})));
  all.push_back(small(joined(kCnn, {{"preset", "opaque"}})));
  all.push_back(small(joined(kPhotonic, {{"preset", "opaque"}})));
  all.push_back(small(joined(kMlp, {{"objective.scope", "end_to_end"}, {"gradient.estimator", "directional"}, {"model.dropout", "0.2"}})));
  all.push_back(small(joined(kMlp, {{"gradient.estimator", "directional"},
                                    {"gradient.directions", "3"},
                                    {"gradient.aggregation", "aligned"},
                                    {"gradient.recycle", "0.5"},
                                    {"gradient.eps", "measured"},
                                    {"update.lr", "measured"},
                                    {"dataset.shift", "1"}})));
  all.push_back(small(joined(kMlp, {{"gradient.estimator", "activity"}, {"gradient.distribution", "span"}, {"gradient.directions", "2"}})));
  all.push_back(
      small(joined(kPhotonic, {{"gradient.estimator", "directional"}, {"model.mesh.parallel", "2"}, {"gradient.directions", "2"}})));
  return all;
}

struct Finished {
  TrainerState state;
  RunRecord record;
};

/// A run of one rank, from a checkpoint where there is one.
Finished train(const Settings& settings, const Splits& splits, const std::shared_ptr<Exchange>& ranks, const TrainerState* from = nullptr,
               TrainEvents events = {}) {
  auto trainer = make_trainer<float>(resolved(settings, splits), splits, std::make_shared<const Executor>(1, ranks), std::move(events));
  if (from != nullptr) trainer.restore(*from, "checkpoint");
  RunRecord record = trainer.run();
  return {trainer.state(), std::move(record)};
}

void expect_same(const Finished& a, const Finished& b, const std::string& what) {
  ASSERT_EQ(a.state.arrays.size(), b.state.arrays.size()) << what;
  for (const auto& [name, array] : a.state.arrays) EXPECT_EQ(array.to<double>(), b.state.arrays.at(name).to<double>()) << what << name;
  EXPECT_EQ(a.record.final_test, b.record.final_test) << what;
  EXPECT_EQ(a.record.stopped_by, b.record.stopped_by) << what;
  ASSERT_EQ(a.state.records.size(), b.state.records.size()) << what;
  for (std::size_t i = 0; i < a.state.records.size(); ++i)
    EXPECT_EQ(a.state.records[i].training_loss, b.state.records[i].training_loss) << what;
  for (Index l = 0; l < a.record.ledger.layers(); ++l) {
    Evaluations x = a.record.ledger.layer(l), y = b.record.ledger.layer(l);
    x.replayed = y.replayed = 0;
    EXPECT_EQ(x, y) << what << " ledger of layer " << l;
  }
}

TEST(RanksOfATraining, GiveTheSameRunWhateverTheirNumber) {
  const Splits splits = make_glyphs(1, kRanksTrain, kRanksTest);
  for (const Settings& s : cells()) {
    const Finished alone = train(s, splits, nullptr);
    for (const int size : {2, 3, 4, 7})
      for (const Finished& run : results_of_ranks<Finished>(size, [&](const auto& ranks) { return train(s, splits, ranks); }))
        expect_same(alone, run, name_of(s) + std::to_string(size) + " ranks: ");
  }
}

TEST(RanksOfATraining, GoOnFromACheckpointOfAnyOtherNumber) {
  const Splits splits = make_glyphs(1, kRanksTrain, kRanksTest);
  for (const Settings& s : {cells()[0], cells()[1], cells()[11]}) {
    const Finished whole = train(s, splits, nullptr);
    for (const int stopped : {2, 4}) {
      // Rank 1 is asked to stop; all save the same state.
      const auto saved = results_of_ranks<TrainerState>(3, [&](const std::shared_ptr<Exchange>& ranks) {
        TrainerState kept;
        int steps = 0;
        TrainEvents events;
        events.stop_requested = [&] { return ++steps >= stopped && ranks->rank() == 1; };
        events.save = [&](const TrainerState& state) { kept = state; };
        EXPECT_EQ(train(s, splits, ranks, nullptr, events).record.stopped_by, "interrupt");
        return kept;
      });
      for (const TrainerState& state : saved) {
        EXPECT_EQ(state.epoch, saved[0].epoch);
        EXPECT_EQ(state.step, saved[0].step);
      }
      expect_same(whole, train(s, splits, nullptr, &saved[0]), name_of(s) + "on one: ");
      for (const Finished& run : results_of_ranks<Finished>(2, [&](const auto& ranks) { return train(s, splits, ranks, &saved[2]); }))
        expect_same(whole, run, name_of(s) + "on two: ");
    }
  }
}

TEST(RanksOfATraining, RefuseWhatTheyCannotShareOut) {
  const Splits splits = make_glyphs(1, kRanksTrain, kRanksTest);
  const auto refused = [&](const Settings& s) {
    const auto messages = results_of_ranks<std::string>(
        2, [&](const auto& ranks) { return message_of<ConfigError>([&] { static_cast<void>(train(small(s), splits, ranks)); }); });
    EXPECT_EQ(messages[0], messages[1]);
    return messages[0];
  };
  EXPECT_EQ(
      refused(joined(kMlp, {{"gradient.estimator", "adjoint"}})),
      "dense0: gradient.estimator: several ranks share out \"directional\" and \"activity\", on maps that answer each of them alike; got "
      "adjoint; train it with one process, or change the estimator");
  EXPECT_EQ(
      refused(joined(kMlp, {{"gradient.estimator", "directional"}, {"model.imperfect.read_noise", "0.1"}})),
      "dense0: gradient.estimator: several ranks share out \"directional\" and \"activity\", on maps that answer each of them alike; got "
      "directional; train it with one process, or change the estimator");
  EXPECT_EQ(
      refused(joined(kPhotonic, {{"preset", "opaque"}, {"model.mesh.linear_head", "trained"}, {"model.mesh.layers", "1"}})),
      "mesh0: model.mesh.linear_head: several ranks do not exchange the readings that a linear head learns from; got a linear head; train "
      "it with one process, or use \"none\"");
}

TEST(RankCheck, CatchesARankWhoseParametersWentAstray) {
  const auto messages = results_of_ranks<std::string>(3, [](const std::shared_ptr<Exchange>& ranks) {
    std::array<float, 11> theta{};
    for (int step = 0; step < 3; ++step) {
      theta[10] = static_cast<float>(step);
      EXPECT_EQ(agree_to_stop(*ranks, {.number = 5, .stop = step == 1 && ranks->rank() == 2, .parameters = std::as_bytes(std::span(theta))},
                              "here"),
                step == 1);
    }
    if (ranks->rank() == 1) theta[10] = 2.0000002F;
    return message_of<DivergedError>([&] {
      static_cast<void>(agree_to_stop(*ranks, {.number = 6, .stop = false, .parameters = std::as_bytes(std::span(theta))}, "here"));
    });
  });
  for (const std::string& message : messages)
    EXPECT_EQ(message,
              "here: all ranks must hold the same parameters; got others in rank 1; the checkpoint is good: go on from it; if it happens "
              "again, a "
              "machine is faulty");
}

TEST(RankCheck, CatchesARankThatIsAtAnotherStep) {
  for (const std::string& message : results_of_ranks<std::string>(2, [](const std::shared_ptr<Exchange>& ranks) {
         return message_of<DivergedError>([&] {
           static_cast<void>(
               agree_to_stop(*ranks, {.number = static_cast<std::uint64_t>(ranks->rank()), .stop = false, .parameters = {}}, "here"));
         });
       }))
    EXPECT_NE(message.find("rank 1"), std::string::npos);
}

}  // namespace
}  // namespace ffzero::test
