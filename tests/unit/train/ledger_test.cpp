// Closed formulas of what every cell costs, against the ledger of a run.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "small_runs.hpp"

namespace ffzero::test {
namespace {

constexpr Index kBilledTrain = 50, kBilledTest = 20, kLogged = 30, kBilledEpochs = 2,
                kBilledClasses = 4;  // of batches of 16 the last holds 2 samples

Settings common(Settings more) {
  Settings s{{"training.epochs", "2"}, {"training.batch_size", "16"}, {"training.log_samples", "30"}, {"model.layers", "[12, 8]"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

/// Of the check of the first step: one exact gradient, the loss there, and four directions at three lengths, both ways; it takes the first
/// batch, and is billed as logging.
constexpr std::int64_t kChecked = 16, kCheck = kChecked * (1 + 1 + 2 * 4 * 3);

/// What a layer is billed, without recomputation: `cost` evaluations a training sample; the pass over the train set at the end of a block
/// makes the next block's inputs, and is a mere evaluation behind the last one.
struct Expected {
  std::int64_t training = 0, propagation = 0, logging = 0, pullbacks = 0, checks = kChecked;
};

Expected formula(std::int64_t cost, bool last_block, bool pullbacks) {
  return {.training = cost * kBilledTrain * kBilledEpochs,
          .propagation = last_block ? 0 : kBilledTrain,
          .logging = kBilledEpochs * (kLogged + kBilledTest) + kBilledTest + (last_block ? kBilledTrain : 0) + kCheck,
          .pullbacks = pullbacks ? kBilledTrain * kBilledEpochs : 0};
}

void expect_layer(const Ledger& ledger, Index layer, const Expected& expected, const std::string& what) {
  const Evaluations& e = ledger.layer(layer);
  EXPECT_EQ(e.training, expected.training) << what << " layer " << layer;
  EXPECT_EQ(e.propagation, expected.propagation) << what << " layer " << layer;
  EXPECT_EQ(e.logging, expected.logging) << what << " layer " << layer;
  EXPECT_EQ(e.pullbacks, expected.pullbacks) << what << " layer " << layer;
  EXPECT_EQ(e.checks, expected.checks) << what << " layer " << layer;
  EXPECT_EQ(e.replayed, 0) << what << " layer " << layer;
}

struct Cell {
  std::string name;
  Settings settings;
  std::int64_t cost;  ///< evaluations a sample and layer
  bool one_block, pullbacks;
  Index classes = kBilledClasses;
  std::int64_t more_checks = 0;  ///< read-outs of the activities; differences of each group by itself
};

TEST(Ledger, FollowsTheClosedFormulaOfEveryCell) {
  const std::vector<Cell> cells{
      {"ff_dd", {{"gradient.estimator", "directional"}}, 2, false, false},
      {"ff_dd m = 5", {{"gradient.estimator", "directional"}, {"gradient.directions", "5"}}, 10, false, false},
      {"groups", {{"gradient.estimator", "directional"}, {"model.groups", "2"}, {"gradient.directions", "3"}}, 6, false, false},
      {"regression", {{"gradient.estimator", "directional"}}, 2, false, false, 1},
      {"regression in groups: one joint loss",
       {{"gradient.estimator", "directional"}, {"model.groups", "4"}, {"gradient.directions", "3"}},
       24,
       false,
       false,
       1,
       3 * 24},
      {"bp_dd", {{"objective.scope", "end_to_end"}, {"gradient.estimator", "directional"}, {"gradient.directions", "2"}}, 4, true, false},
      {"bp_ad", {{"objective.scope", "end_to_end"}, {"gradient.estimator", "adjoint"}}, 1, true, true},
      {"grouped layers", {{"objective.scope", "blocks"}, {"gradient.estimator", "directional"}}, 2, true, false},
      {"ff_ad", {{"gradient.estimator", "adjoint"}}, 1, false, true},
      {"activity, prototypes",
       {{"gradient.estimator", "activity"}},
       1 + 2 * kBilledClasses,
       false,
       true,
       kBilledClasses,
       1 + 2 * kBilledClasses},
      {"activity, span",
       {{"gradient.estimator", "activity"}, {"gradient.distribution", "span"}, {"gradient.directions", "3"}},
       7,
       false,
       true,
       kBilledClasses,
       1 + 2 * kBilledClasses},
      {"activity, full",
       {{"gradient.estimator", "activity"}, {"gradient.distribution", "full"}},
       3,
       false,
       true,
       kBilledClasses,
       1 + 2 * kBilledClasses},
      {"activity, regression in groups", {{"gradient.estimator", "activity"}, {"model.groups", "4"}}, 9, false, true, 1, 9 + 3 * 24},
  };
  for (const Cell& cell : cells) {
    const Splits splits = small_splits(kBilledTrain, kBilledTest, 6, cell.classes);
    const auto result = run<float>(resolved(common(cell.settings), splits), splits, 2);
    ASSERT_EQ(result.record.ledger.layers(), 2);
    for (Index l = 0; l < 2; ++l) {
      Expected expected = formula(cell.cost, cell.one_block || l == 1, cell.pullbacks);
      expected.logging += cell.more_checks * kChecked;
      expect_layer(result.record.ledger, l, expected, cell.name);
    }
    EXPECT_EQ(result.epochs.back().forward_evals, result.record.ledger.total().training) << cell.name;
    EXPECT_EQ(result.record.stopped_by, "epochs");
  }
}

TEST(Ledger, BillsTheStatisticsOfBatchNormAsLoggingOnceAnEpoch) {
  const Splits splits = make_glyphs(1, kBilledTrain, kBilledTest);
  const auto run_epochs = [&](const char* epochs) {
    return run<float>(resolved({{"training.epochs", epochs},
                                {"training.batch_size", "16"},
                                {"training.log_samples", "30"},
                                {"model.kind", "cnn"},
                                {"model.conv.channels", "[2]"},
                                {"model.layers", "[12]"},
                                {"dataset.downsample", "8"},
                                {"model.conv.projection_pool", "0"},
                                {"gradient.estimator", "directional"},
                                {"gradient.directions", "3"}},
                               splits),
                      splits);
  };
  const auto result = run_epochs("2");
  Expected conv = formula(6, false, false);
  conv.logging += kBilledEpochs * kBilledTrain;
  expect_layer(result.record.ledger, 0, conv, "conv");
  expect_layer(result.record.ledger, 1, formula(6, true, false), "dense");
  // Untrained layers have no epoch, but are evaluated with the statistics of the train set too.
  expect_layer(run_epochs("0").record.ledger, 0,
               {.training = 0, .propagation = kBilledTrain, .logging = kBilledTest + kBilledTrain, .pullbacks = 0, .checks = 0},
               "untrained");
}

TEST(Ledger, BillsFrozenLayersAgainWhereTheyAreEvaluatedAgain) {
  const Splits splits = make_glyphs(1, kBilledTrain, kBilledTest);
  const auto result = run<float>(
      resolved(common({{"gradient.estimator", "directional"}, {"dataset.shift", "1"}, {"model.layers", "[12, 10]"}, {"model.pca", "[]"}}),
               splits),
      splits);
  // Shifted images are new in every epoch, so nothing can be kept of the train set; the test set is.
  Expected first = formula(2, false, false);
  first.propagation += kBilledEpochs * kBilledTrain;        // inputs of the second layer's steps
  first.logging += kBilledEpochs * kLogged + kBilledTrain;  // its train metric, and the pass behind it
  expect_layer(result.record.ledger, 0, first, "shifted");
  expect_layer(result.record.ledger, 1, formula(2, true, false), "shifted");
}

TEST(Ledger, BillsFrozenLayersAgainWhereTheirOutputsMayNotBeKept) {
  const Splits splits = small_splits(kBilledTrain, kBilledTest, 6, kBilledClasses);
  const auto run_with = [&](const char* mib) {
    return run<float>(resolved(common({{"gradient.estimator", "directional"}, {"training.cache_mib", mib}}), splits), splits, 2);
  };
  const auto kept = run_with("1"), again = run_with("0");
  Expected first = formula(2, false, false);
  expect_layer(kept.record.ledger, 0, first, "kept");
  // Inputs of the second layer's steps, and once more to fit the components before it.
  first.propagation += (kBilledEpochs + 1) * kBilledTrain;
  // The metrics of every epoch and both passes behind the second layer; its check takes the first batch, which is at hand.
  first.logging += kBilledEpochs * (kLogged + kBilledTest) + kBilledTrain + kBilledTest;
  expect_layer(again.record.ledger, 0, first, "computed again");
  expect_layer(again.record.ledger, 1, formula(2, true, false), "computed again");
  EXPECT_EQ(again.theta, kept.theta) << "the same outputs, whether they are kept or not";
}

TEST(Ledger, StopsBeforeTheBudgetIsPassed) {
  const Splits splits = small_splits(kBilledTrain, kBilledTest, 6, kBilledClasses);
  for (const std::int64_t budget : {1, 31, 32, 33, 63, 64, 95, 100, 101, 200, 400}) {
    // Batches of 16, 16, 16 and 2 samples at 2 evaluations each, again in the second epoch, then the second layer.
    std::int64_t spent = 0;
    for (int i = 0; i < 16; ++i) {
      const std::int64_t cost = 2 * (i % 4 == 3 ? 2 : 16);
      if (spent + cost > budget) break;
      spent += cost;
    }
    const auto result = run<float>(
        resolved(common({{"gradient.estimator", "directional"}, {"budget.forward_evals", std::to_string(budget)}}), splits), splits);
    EXPECT_EQ(result.record.ledger.total().training, spent) << budget;
    EXPECT_EQ(result.record.stopped_by, budget < 400 ? "budget" : "epochs") << budget;
    EXPECT_GE(result.record.layers.size(), 1U);
  }
}

TEST(Ledger, LoggingDoesNotChangeWhatTrainingIsBilledNorWhatItLearns) {
  const Splits splits = small_splits(kBilledTrain, kBilledTest, 6, kBilledClasses);
  const auto a = run<float>(resolved(common({{"gradient.estimator", "directional"}}), splits), splits);
  const auto b = run<float>(resolved({{"training.epochs", "2"},
                                      {"training.batch_size", "16"},
                                      {"model.layers", "[12, 8]"},
                                      {"training.log_samples", "0"},
                                      {"training.log_test", "false"},
                                      {"gradient.estimator", "directional"}},
                                     splits),
                            splits);
  EXPECT_TRUE(a.theta == b.theta);
  EXPECT_EQ(a.record.ledger.total().training, b.record.ledger.total().training);
  EXPECT_EQ(b.record.ledger.layer(0).logging, kBilledTest + kCheck);
  EXPECT_EQ(b.record.ledger.layer(1).logging, kBilledTest + kBilledTrain + kCheck);
}

}  // namespace
}  // namespace ffzero::test
