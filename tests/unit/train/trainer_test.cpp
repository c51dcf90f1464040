// The training loop: what a run must not depend on, resuming, and stopping.
// SPDX-License-Identifier: MIT
#include "ffzero/train/trainer.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/checkpoint/record_json.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/train/layer_vote.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/project_folder.hpp"

namespace ffzero::test {
namespace {

Settings quick(Settings more) {
  Settings s{{"training.epochs", "3"}, {"training.batch_size", "16"}, {"training.log_samples", "20"}, {"model.layers", "[16, 12]"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

/// One of each kind of state that a step can depend on.
std::vector<Settings> many_settings() {
  return {
      quick({{"gradient.estimator", "directional"}}),
      quick({{"gradient.estimator", "directional"},
             {"update.rule", "momentum"},
             {"gradient.directions", "3"},
             {"gradient.distribution", "hadamard"}}),
      quick({{"gradient.estimator", "adjoint"}, {"model.dropout", "0.3"}, {"model.input_dropout", "0.1"}, {"update.schedule", "plateau"}}),
      quick({{"gradient.estimator", "activity"}, {"gradient.distribution", "span"}, {"update.warmup", "5"}}),
      quick({{"gradient.estimator", "directional"}, {"model.groups", "2"}, {"model.pca", "[5, 4]"}, {"update.hold_norm", "true"}}),
      quick({{"objective.scope", "end_to_end"}, {"gradient.estimator", "adjoint"}, {"model.dropout", "0.2"}}),
      quick({{"objective.scope", "blocks"}, {"gradient.estimator", "directional"}, {"model.layers", "[16, 12, 8]"}}),
      quick({{"gradient.estimator", "directional"},
             {"gradient.directions", "3"},
             {"gradient.aggregation", "aligned"},
             {"gradient.recycle", "0.5"},
             {"gradient.eps", "measured"},
             {"update.lr", "measured"}}),
      quick({{"preset", "paper"}})};
}

// What a run gives that goes on from a checkpoint.
RunResult<float> resumed(const Config& config, const Splits& splits, const TrainerState& checkpoint, int threads) {
  auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(threads));
  trainer.restore(checkpoint, "checkpoint");
  RunResult<float> rest;
  rest.record = trainer.run();
  rest.theta = as_vector(trainer.network().theta(0, trainer.network().layers()));
  rest.epochs = trainer.records();
  rest.outputs = trainer.outputs();
  return rest;
}

void expect_same_run(const RunResult<float>& a, const RunResult<float>& b, const std::string& what) {
  EXPECT_TRUE(a.theta == b.theta) << what;
  ASSERT_EQ(a.epochs.size(), b.epochs.size()) << what;
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    EXPECT_EQ(a.epochs[i].training_loss, b.epochs[i].training_loss) << what;
    EXPECT_EQ(a.epochs[i].train, b.epochs[i].train) << what;
    EXPECT_EQ(a.epochs[i].test, b.epochs[i].test) << what;
    EXPECT_EQ(a.epochs[i].forward_evals, b.epochs[i].forward_evals) << what;
  }
  ASSERT_EQ(a.record.layers.size(), b.record.layers.size()) << what;
  for (std::size_t i = 0; i < a.record.layers.size(); ++i) {
    EXPECT_EQ(a.record.layers[i].train, b.record.layers[i].train) << what;
    EXPECT_EQ(a.record.layers[i].test, b.record.layers[i].test) << what;
    EXPECT_EQ(a.record.layers[i].measured, b.record.layers[i].measured) << what;
  }
  EXPECT_EQ(a.outputs.vote, b.outputs.vote) << what;
  for (Index l = 0; l < a.record.ledger.layers(); ++l) {
    Evaluations x = a.record.ledger.layer(l), y = b.record.ledger.layer(l);
    x.replayed = y.replayed = 0;
    EXPECT_EQ(x, y) << what << " ledger of layer " << l;
  }
}

TEST(Trainer, GivesTheSameBitsForAnyNumberOfThreads) {
  const Splits splits = small_splits(70, 30, 6, 4);
  for (const Settings& s : many_settings()) {
    const Config config = resolved(s, splits);
    const auto one = run<float>(config, splits, 1);
    expect_same_run(one, run<float>(config, splits, 2), name_of(s));
    expect_same_run(one, run<float>(config, splits, 3), name_of(s));
  }
}

TEST(Trainer, ResumesBitForBitFromAnyStep) {
  const Splits splits = small_splits(70, 30, 6, 4);
  for (const Settings& s : many_settings()) {
    const Config config = resolved(s, splits);
    const auto whole = run<float>(config, splits);
    for (const int stop_after : {1, 4, 5, 7, 12, 17}) {
      TrainerState kept;
      int steps = 0;
      TrainEvents events;
      events.save = [&](const TrainerState& state) { kept = state; };
      events.stop_requested = [&] { return ++steps >= stop_after; };
      const auto first = run<float>(config, splits, 1, events);
      if (first.record.stopped_by != "interrupt") continue;  // the block was over
      const auto rest = resumed(config, splits, kept, 2);
      expect_same_run(whole, rest, name_of(s) + "stopped after " + std::to_string(stop_after));
    }
  }
}

TEST(Trainer, ResumesFromTheCheckpointOfEveryEpoch) {
  const Splits splits = small_splits(70, 30, 6, 4);
  Settings budget_within_an_epoch = many_settings()[0], budget_between_blocks = many_settings()[0];
  budget_within_an_epoch.emplace_back("budget.forward_evals", "600");
  budget_between_blocks.emplace_back("budget.forward_evals", "420");
  Settings budget_in_shares = many_settings()[0];
  budget_in_shares.insert(budget_in_shares.end(), {{"budget.forward_evals", "500"}, {"budget.split", "even"}});
  for (const Settings& s :
       {many_settings()[0], many_settings()[4], many_settings()[5], budget_within_an_epoch, budget_between_blocks, budget_in_shares}) {
    const Config config = resolved(s, splits);
    std::vector<TrainerState> kept;
    TrainEvents events;
    events.save = [&](const TrainerState& state) { kept.push_back(state); };
    const auto whole = run<float>(config, splits, 1, events);
    ASSERT_GT(kept.size(), 3U);
    for (const TrainerState& state : kept) {
      const auto rest = resumed(config, splits, state, 1);
      EXPECT_EQ(rest.record.stopped_by, whole.record.stopped_by) << name_of(s);
      expect_same_run(whole, rest, name_of(s));
    }
  }
}

std::string layers_of_twelve(int layers) {
  std::string list = "[12";
  for (int i = 1; i < layers; ++i) list += ", 12";
  return list + "]";
}

TEST(Budget, IsSharedOutEvenly) {
  const Splits splits = small_splits(70, 30, 6, 4);
  constexpr std::int64_t kStep = 16 * 2;  // rows of a step, both signs of one direction
  for (const int layers : {1, 2, 3, 5})
    for (const std::int64_t budget : {layers * kStep, std::int64_t{500 + 7 * layers}, std::int64_t{1300}}) {
      Settings s = quick({{"gradient.estimator", "directional"},
                          {"model.layers", layers_of_twelve(layers)},
                          {"budget.forward_evals", std::to_string(budget)},
                          {"budget.split", "even"}});
      const std::string name = name_of(s);
      const auto result = run<float>(resolved(s, splits), splits);
      ASSERT_EQ(isize(result.record.layers.size()), layers) << name;
      EXPECT_TRUE(result.record.unreached.empty()) << name;
      const std::int64_t all = 3 * 70 * 2;  // what a layer takes without a budget
      EXPECT_EQ(result.record.stopped_by, budget < layers * all ? "budget" : "epochs") << name;
      std::int64_t spent = 0;
      for (Index l = 0; l < layers; ++l) {
        const std::int64_t of_layer = result.record.ledger.layer(l).training, limit = budget * (l + 1) / layers;
        EXPECT_EQ(of_layer % 4, 0) << name << "whole steps";
        EXPECT_GT(of_layer, 0) << name;
        spent += of_layer;
        EXPECT_LE(spent, limit) << name << "layer " << l;
        // What is not used is less than a step, or the layer has had all its epochs.
        EXPECT_GT(spent, of_layer < all ? limit - kStep : 0) << name << "layer " << l;
      }
    }
}

// A share that ends before the first step leaves the layers that were trained to decide.
TEST(Budget, WithSharesSmallerThanAStepEndsThere) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const Settings s = quick({{"gradient.estimator", "directional"},
                            {"model.layers", layers_of_twelve(3)},
                            {"budget.forward_evals", "200"},
                            {"budget.split", "even"}});
  const auto result = run<float>(resolved(s, splits, "[[layer]]\nindex = 1\ngradient.directions = 4\n"), splits);
  EXPECT_EQ(result.record.stopped_by, "budget");
  ASSERT_EQ(result.record.layers.size(), 1U);
  EXPECT_EQ(result.record.unreached.size(), 2U);
}

TEST(Budget, SharesFitIntoTheNumbersOfAPlan) {
  TrainPlan plan;
  plan.blocks.resize(7);
  plan.blocks[2].options.epochs = 0;
  plan.budget_split = BudgetSplit::even;
  EXPECT_EQ(plan.limit_after(0), 0) << "no limit";
  plan.forward_evals = 9'000'000'000'000'000;
  const std::array<std::int64_t, 7> sixths{1, 2, 2, 3, 4, 5, 6};
  for (std::size_t b = 0; b < plan.blocks.size(); ++b) EXPECT_EQ(plan.limit_after(b), plan.forward_evals / 6 * sixths[b]) << b;
  plan.forward_evals = 10;
  EXPECT_EQ(plan.limit_after(0), 1);
  EXPECT_EQ(plan.limit_after(5), 8);
  EXPECT_EQ(plan.limit_after(6), 10);
  plan.budget_split = BudgetSplit::none;
  EXPECT_EQ(plan.limit_after(0), 10);
}

TEST(Trainer, SavesAfterEpochsNoOftenerThanItIsTold) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const Config config = resolved(many_settings()[0], splits);
  for (const double seconds : {0.0, 1e9}) {
    std::size_t saves = 0;
    TrainerState last;
    TrainEvents events;
    events.save = [&](const TrainerState& state) {
      ++saves;
      last = state;
    };
    events.save_every_s = seconds;
    const auto whole = run<float>(config, splits, 1, events);
    EXPECT_EQ(saves, seconds > 0.0 ? 1U : whole.epochs.size() + 1);
    EXPECT_TRUE(last.finished) << "the end is always kept";
  }
}

TEST(Trainer, StopsBetweenEpochsOfOneStep) {
  const Splits splits = small_splits(70, 30, 6, 4);
  Settings s = many_settings()[0];
  s.emplace_back("training.batch_size", "70");
  const Config config = resolved(s, splits);
  const auto whole = run<float>(config, splits);
  TrainerState kept;
  TrainEvents events;
  events.save = [&](const TrainerState& state) { kept = state; };
  events.save_every_s = 1e9;
  events.stop_requested = [] { return true; };
  const auto part = run<float>(config, splits, 1, events);
  EXPECT_EQ(part.record.stopped_by, "interrupt");
  EXPECT_EQ(part.epochs.size(), 1U);
  const auto rest = resumed(config, splits, kept, 1);
  expect_same_run(whole, rest, "stopped after an epoch of one step");
}

TEST(Trainer, LayersNeverHearFromTheLayersAfterThem) {
  const Splits splits = small_splits(70, 30, 6, 4);
  for (const char* estimator : {"directional", "adjoint", "activity"}) {
    const auto theta_of_first = [&](const char* widths) {
      auto trainer = make_trainer<float>(
          resolved(quick({{"gradient.estimator", estimator}, {"model.layers", widths}, {"model.dropout", "0.2"}, {"model.groups", "1"}}),
                   splits),
          splits, std::make_shared<const Executor>(1));
      trainer.run();
      return Vector<float>(as_vector(trainer.network().theta(0, 1)));
    };
    const Vector<float> alone = theta_of_first("[16, 12]");
    EXPECT_TRUE(alone == theta_of_first("[16, 20]")) << estimator;
    EXPECT_TRUE(alone == theta_of_first("[16, 8, 8]")) << estimator;
  }
}

TEST(Trainer, LearnsInEveryCell) {
  const Splits splits = small_splits(400, 100, 6, 4);
  for (const char* scope : {"local", "end_to_end"})
    for (const char* estimator : {"directional", "adjoint"}) {
      const auto result = run<float>(resolved({{"objective.scope", scope},
                                               {"gradient.estimator", estimator},
                                               {"model.layers", scope == std::string("local") ? "[16, 12]" : "[16, 4]"},
                                               {"training.epochs", "40"},
                                               {"training.batch_size", "16"},
                                               {"update.lr", "0.02"}},
                                              splits),
                                     splits);
      EXPECT_GT(result.record.final_test.value, 0.9) << scope << " " << estimator;
      EXPECT_LT(result.epochs.back().training_loss, result.epochs.front().training_loss * 1.5) << scope << " " << estimator;
    }
}

TEST(Trainer, MeasuresStepSizesBillsThemAndSaysSo) {
  const Splits splits = small_splits(400, 100, 6, 4);
  const Settings asked = quick({{"gradient.estimator", "directional"}, {"gradient.eps", "measured"}, {"update.lr", "measured"}});
  const auto measured = run<float>(resolved(asked, splits), splits);
  Settings fixed = asked;
  for (auto& [key, value] : fixed)
    if (value == "measured") value = "0.01";
  const auto plain = run<float>(resolved(fixed, splits), splits);
  std::int64_t spent = 0;
  for (const LayerRecord& layer : measured.record.layers) {
    EXPECT_GT(layer.measured.eps, 1e-6) << layer.name;
    EXPECT_LT(layer.measured.eps, 1.0) << layer.name;
    EXPECT_GT(layer.measured.lr, 1e-4) << layer.name;
    EXPECT_LT(layer.measured.lr, 1.0) << layer.name;
    spent += layer.measured.forward_evals;
  }
  EXPECT_EQ(measured.record.ledger.total().training - plain.record.ledger.total().training, spent);
  EXPECT_GT(spent, 0);
  EXPECT_EQ(plain.record.layers[0].measured, MeasuredControl{});
  EXPECT_FALSE(to_json(plain.record).at("layers").at(0).contains("measured"));
  EXPECT_EQ(to_json(measured.record).at("layers").at(0).at("measured").at("lr"), measured.record.layers[0].measured.lr);
  const auto exact =
      run<float>(resolved({{"gradient.estimator", "adjoint"}, {"update.lr", "measured"}, {"model.layers", "[16, 12]"}}, splits), splits);
  EXPECT_GT(exact.record.final_test.value, 0.9);

  Settings poor = asked;
  poor.emplace_back("budget.forward_evals", "100");
  const auto stopped = run<float>(resolved(poor, splits), splits);
  EXPECT_EQ(stopped.record.stopped_by, "budget");
  EXPECT_LE(stopped.record.ledger.total().training, 100);
}

TEST(Trainer, FixedParametersStayWhereTheyAreUnderWeightDecay) {
  const Splits splits = make_glyphs(1, 40, 20);
  auto trainer = make_trainer<float>(resolved({{"preset", "paper"},
                                               {"model.kind", "cnn"},
                                               {"model.conv.channels", "[2]"},
                                               {"objective.scope", "end_to_end"},
                                               {"gradient.estimator", "adjoint"},
                                               {"update.weight_decay", "0.1"},
                                               {"dataset.downsample", "10"},
                                               {"training.epochs", "2"},
                                               {"training.batch_size", "10"}},
                                              splits),
                                     splits, std::make_shared<const Executor>(1));
  const Vector<float> before = as_vector(trainer.network().theta(0, 1));
  trainer.run();
  const Vector<float> after = as_vector(trainer.network().theta(0, 1));
  EXPECT_TRUE(after.tail(4) == before.tail(4)) << "batch norm is not trained end to end";
  EXPECT_GT((after - before).head(after.size() - 4).cwiseAbs().minCoeff(), 0.0F);
}

TEST(Trainer, HoldsTheLengthOfEveryUnit) {
  const Splits splits = small_splits(70, 30, 6, 4);
  auto trainer = make_trainer<double>(
      resolved(quick({{"gradient.estimator", "directional"}, {"model.groups", "2"}, {"update.hold_norm", "true"}}), splits), splits,
      std::make_shared<const Executor>(1));
  const auto lengths = [&] {
    std::vector<double> all;
    for (Index l = 0; l < 2; ++l)
      for (const Unit& unit : trainer.network().layer(l).map->parameter_layout().units) {
        double squared = 0.0;
        for (const Segment& s : unit.segments)
          squared += as_vector(trainer.network().theta(l, l + 1)).segment(s.begin, s.size).squaredNorm();
        all.push_back(std::sqrt(squared));
      }
    return all;
  };
  const auto before = lengths();
  trainer.run();
  const auto after = lengths();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i], 1e-12);
}

TEST(Trainer, StopsWhenTheLossIsNoNumberNamingTheKey) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const Config config = resolved(quick({{"preset", "paper"},
                                        {"objective.scope", "end_to_end"},
                                        {"gradient.estimator", "adjoint"},
                                        {"update.rule", "sgd"},
                                        {"update.lr", "1e9"}}),
                                 splits);
  auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1));
  const std::string message = message_of<DivergedError>([&] { trainer.run(); });
  EXPECT_NE(message.find("lower update.lr (now 1e+09)"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

// The losses of normalised layers do not see the length of the parameters, so that they stay finite whatever the step.
TEST(Trainer, StopsWhenParametersExplodeThoughTheLossIsFinite) {
  const Splits splits = small_splits(70, 30, 6, 4);
  for (const char* rule : {"adam", "sgd"})
    for (const char* hold : {"false", "true"}) {
      const Config config = resolved(
          quick({{"gradient.estimator", "directional"}, {"update.rule", rule}, {"update.lr", "1e9"}, {"update.hold_norm", hold}}), splits);
      TrainerState kept;
      TrainEvents events;
      events.save = [&](const TrainerState& state) { kept = state; };
      auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1), events);
      const std::string message = message_of<DivergedError>([&] { trainer.run(); });
      for (const char* part : {"dense0, epoch 1, step 1: ", "1e+06 times their first length", "lower update.lr (now 1e+09)", "checkpoint"})
        EXPECT_NE(message.find(part), std::string::npos) << message;
      EXPECT_TRUE(kept.arrays.empty()) << "a state that is no good was saved";
    }
}

TEST(Trainer, LetsParametersGrowAsFarAsAStepCanBeResolved) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const auto result =
      run<float>(resolved(quick({{"gradient.estimator", "directional"}, {"update.rule", "adam"}, {"update.lr", "100"}}), splits), splits);
  EXPECT_GT(result.theta.norm(), 1000.0F);
  EXPECT_EQ(result.record.stopped_by, "epochs");
}

TEST(Trainer, ChoosesTheVoteByTheValidationSamples) {
  Splits splits = small_splits(200, 60, 6, 4);
  splits.validation = small_dataset(60, 6, 4, 3);
  const Settings settings = quick({{"gradient.estimator", "adjoint"}, {"dataset.validation", "60"}, {"model.layers", "[16, 12, 4]"}});
  const auto with_rule = [&](const char* rule) {
    Settings s = settings;
    s.emplace_back("vote.rule", rule);
    return run<float>(resolved(s, splits), splits).record.vote.value();
  };
  const VoteRecord chosen = with_rule("validated");
  double best = 0.0;
  for (const char* rule : {"last", "sum", "majority"}) {
    const VoteRecord named = with_rule(rule);
    best = std::max(best, named.validation.value());
    if (chosen.rule == rule) {
      EXPECT_EQ(chosen.test, named.test) << rule;
    }
  }
  EXPECT_EQ(chosen.validation, best);
}

TEST(Trainer, TheBestLayerIsTheLastUnlessAnEarlierOneIsAhead) {
  const auto best = [](std::vector<double> train, std::vector<double> validation = {}) { return best_layer(train, validation); };
  EXPECT_EQ(best({0.9}), 0);
  EXPECT_EQ(best({0.9, 0.91}), 1);
  EXPECT_EQ(best({0.909, 0.9}), 1) << "ahead by less than decides";
  EXPECT_EQ(best({0.92, 0.95, 0.9}), 1);
  EXPECT_EQ(best({0.905, 0.92, 0.9}), 1);
  EXPECT_EQ(best({0.5, 0.99}, {0.8, 0.7}), 0) << "validation samples decide where there are any";
  EXPECT_EQ(best({0.99, 0.5}, {0.8, 0.8}), 1) << "the last of equal ones";
}

// A last layer of two units for two classes that is not trained at all: the first one must decide.
TEST(Trainer, TheLayerThatDecidesIsInTheResultAndInTheCheckpoint) {
  for (const Index classes : {1, 4}) {
    const Splits splits = small_splits(90, 60, 6, classes);
    const auto decided = [&](const char* layer) {
      const Settings settings = quick({{"gradient.estimator", "adjoint"}, {"training.epochs", "400"}, {"vote.layer", layer}});
      const Config config = resolved(settings, splits, "[[layer]]\nindex = 1\ntraining.epochs = 0\n");
      TrainerState saved;
      TrainEvents events;
      events.save = [&](const TrainerState& a) { saved = a; };
      auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1), events);
      const RunRecord record = trainer.run();
      return std::tuple(record, saved.deciding_voter, trainer.outputs());
    };
    const auto [best, position, outputs] = decided("best");
    EXPECT_EQ(best.deciding_layer, "dense0");
    EXPECT_EQ(position, std::optional<std::size_t>(0));
    EXPECT_EQ(outputs.deciding, 0U);
    EXPECT_EQ(best.final_test, best.layers[0].test);
    EXPECT_EQ(best.final_train, best.layers[0].train);
    if (classes > 1) {
      EXPECT_EQ(best.vote.value().test, best.layers[0].test.value);
      EXPECT_EQ(outputs.vote, outputs.predictions[0]);
    }
    const auto [last, nowhere, same] = decided("last");
    EXPECT_TRUE(last.deciding_layer.empty());
    EXPECT_EQ(nowhere, std::nullopt);
    EXPECT_EQ(last.final_test.value, last.layers[1].test.value);
    EXPECT_LT(last.final_test.value, best.final_test.value - 0.06);
  }
}

TEST(Trainer, KeepsWhatItWasGivenUntilItGoesOn) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const Config config = resolved(quick({{"update.rule", "adam"}}), splits);
  TrainerState kept;
  Index steps = 0;
  TrainEvents events;
  events.stop_requested = [&] { return ++steps == 7; };
  events.save = [&](const TrainerState& state) { kept = state; };
  static_cast<void>(run<float>(config, splits, 1, events));
  ASSERT_TRUE(kept.arrays.contains("optimizer.moments"));
  auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1));
  trainer.restore(kept, "kept");
  EXPECT_EQ(trainer.state().arrays, kept.arrays);
}

TEST(Trainer, SaysThatItGoesOnWithAnotherArithmetic) {
  const Splits splits = small_splits(70, 30, 6, 4);
  const Config config = resolved(quick({}), splits);
  std::vector<std::string> lines;
  const auto goes_on = [&](const std::vector<std::string>& earlier, bool finished) {
    lines.clear();
    TrainEvents events;
    events.message = [&](const std::string& line) { lines.push_back(line); };
    auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1), events);
    TrainerState state = trainer.state();
    EXPECT_EQ(state.arithmetic, std::vector<std::string>{arithmetic_description()});
    state.arithmetic = earlier;
    state.finished = finished;
    // As it comes out of a file.
    trainer.restore(state_of(checkpoint_of(state), "file"), "file");
    return trainer.state().arithmetic;
  };
  const std::string here = arithmetic_description();
  using Texts = std::vector<std::string>;
  EXPECT_EQ(goes_on({here}, false), Texts{here});
  EXPECT_EQ(goes_on({}, false), Texts{here});
  EXPECT_TRUE(lines.empty());
  EXPECT_EQ(goes_on({"another BLAS"}, true), Texts{"another BLAS"});
  EXPECT_TRUE(lines.empty());
  EXPECT_EQ(goes_on({"another BLAS"}, false), (Texts{"another BLAS", here}));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("computed with another BLAS; it goes on with " + here), std::string::npos) << lines[0];
}

TEST(Trainer, RefusesTheCheckpointOfAnotherConfiguration) {
  const Splits splits = small_splits(70, 30, 6, 4);
  auto a = make_trainer<float>(resolved(quick({}), splits), splits, std::make_shared<const Executor>(1));
  auto b = make_trainer<float>(resolved(quick({{"seed", "5"}}), splits), splits, std::make_shared<const Executor>(1));
  const TrainerState state = a.state();
  EXPECT_NE(message_of<DataError>([&] { b.restore(state, "other.npz"); }).find("other.npz: must belong to this configuration"),
            std::string::npos);
}

/// Doubles its inputs by knobs: a map that can only be evaluated.
class Bench final : public ForwardMap<float> {
 public:
  explicit Bench(Index width) : width_(width) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = width_}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = width_}; }
  [[nodiscard]] Index parameter_count() const override { return width_ * width_; }
  void forward(std::span<const float> knobs, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    y = x * Eigen::Map<const Matrix<float>>(knobs.data(), width_, width_);
  }
  [[nodiscard]] std::string kind() const override { return "bench"; }

 private:
  Index width_;
};

std::vector<Layer<float>> benches(Index width, Index classes) {
  std::vector<Layer<float>> layers(2);
  for (auto& layer : layers) {
    layer.map = std::make_shared<Bench>(width);
    layer.head =
        std::make_shared<PrototypeHead<float>>(std::vector{simplex_prototypes(classes, width, RandomStream(1, Stream::prototype))});
  }
  return layers;
}

Network<float> own_network(const Shape& input, std::vector<Layer<float>> layers) {
  return {{.input = input, .classes = layers.empty() ? 1 : layers.back().head->classes(), .layers = std::move(layers)},
          std::make_shared<const Executor>(2)};
}

TEST(Trainer, TrainsLayersOfTheUsersOwn) {
  const Splits splits = small_splits(200, 50, 6, 4);
  const auto executor = std::make_shared<const Executor>(2);
  const Config config = resolved({{"gradient.estimator", "directional"}, {"training.epochs", "20"}, {"training.batch_size", "10"}}, splits);
  auto trainer = make_trainer<float>(config, own_network({.width = 6}, benches(6, 4)), splits, executor);
  const RunRecord record = trainer.run();
  EXPECT_GT(record.layers[0].test.value, 0.5);  // twice what guessing gives
  EXPECT_EQ(record.layers[1].name, "layer1");
  EXPECT_EQ(record.information, Information::opaque);
  EXPECT_EQ(record.ledger.layer(1).training, 2 * 200 * 20);
}

TEST(Network, OfTheUsersOwnLayersRefusesWhatDoesNotFit) {
  const Splits splits = small_splits(200, 50, 6, 4);
  const auto executor = std::make_shared<const Executor>(1);
  const Config directional = resolved({{"gradient.estimator", "directional"}}, splits),
               adjoint = resolved({{"gradient.estimator", "adjoint"}}, splits);
  const auto assemble = [&](const Config& config, const Shape& input, std::vector<Layer<float>> layers) {
    static_cast<void>(make_trainer<float>(config, own_network(input, std::move(layers)), splits, executor));
  };
  EXPECT_EQ(message_of<ConfigError>([&] { assemble(adjoint, {.width = 6}, benches(6, 4)); }),
            "gradient.estimator: this estimator needs maps with an adjoint; got layer 0 ('bench'), which is forward-only; "
            "use gradient.estimator = \"directional\" for that layer");
  EXPECT_EQ(message_of<ConfigError>([&] { assemble(directional, {.width = 7}, benches(6, 4)); }),
            "layer0: must take 7 inputs, what comes before it gives; got 6; make the shapes follow one another");
  EXPECT_THROW(assemble(directional, {.width = 6}, {}), ConfigError);
  auto odd = benches(6, 4);
  odd[0].head = std::make_shared<PrototypeHead<float>>(std::vector{simplex_prototypes(3, 6, RandomStream(1, Stream::prototype))});
  EXPECT_THROW(assemble(directional, {.width = 6}, odd), ConfigError);
  EXPECT_THROW(assemble(directional, {.width = 6}, benches(6, 3)), ConfigError);
}

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream in(project_folder() / "examples" / (name + ".cpp"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Examples, OfTheFourCellsDifferInTwoLines) {
  const auto reference = lines_of("hello_local_directional");
  ASSERT_GT(reference.size(), 40U);
  ASSERT_LT(reference.size(), 70U);
  for (const auto& [name, expected] :
       {std::pair("hello_local_adjoint", 1), std::pair("hello_end_to_end_directional", 1), std::pair("hello_end_to_end_adjoint", 2)}) {
    const auto lines = lines_of(name);
    ASSERT_EQ(lines.size(), reference.size()) << name;
    int different = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) different += lines[i] == reference[i] ? 0 : 1;
    EXPECT_EQ(different, expected) << name;
  }
}

// x and a x + b, y and c y + d are the same problem.
TEST(Trainer, TablesOfAnyScaleTrainAlike) {
  const auto on_scale = [](double factor, double offset, Index classes) {
    Splits splits = small_splits(64, 32, 5, classes);
    for (Dataset* set : {&splits.train, &splits.test}) {
      std::vector<float> values;
      for (Index i = 0; i < set->size(); ++i)
        for (const float v : set->values(i)) values.push_back(static_cast<float>(factor * static_cast<double>(v) + offset));
      if (classes > 1)
        *set = Dataset(set->info(), std::move(values), std::vector<std::int32_t>(set->labels().begin(), set->labels().end()));
      else
        *set = Dataset(set->info(), std::move(values), std::vector<float>(set->targets().begin(), set->targets().end()));
    }
    return run<float>(resolved(quick({{"gradient.estimator", "adjoint"}}), splits), splits);
  };
  for (const Index classes : {3, 1}) {
    const auto plain = on_scale(1.0, 0.0, classes);
    for (const double factor : {1e30, 1e-30, 256.0}) {
      const auto other = on_scale(factor, 0.0, classes);
      EXPECT_NEAR(other.record.final_test.value, plain.record.final_test.value, 0.02) << factor;
      EXPECT_NEAR(other.record.final_test.loss, plain.record.final_test.loss, 0.02) << factor;
    }
    EXPECT_NEAR(on_scale(1.0, 100.0, classes).record.final_test.loss, plain.record.final_test.loss, 0.02);
  }
}

// One of each estimator, for what a loss is made of.
std::vector<Settings> estimators() {
  std::vector<Settings> all{quick({{"gradient.estimator", "directional"}, {"preset", "opaque"}}),
                            quick({{"gradient.estimator", "directional"}}),
                            quick({{"gradient.estimator", "activity"}}),
                            quick({{"gradient.estimator", "activity"}, {"gradient.distribution", "full"}}),
                            quick({{"gradient.estimator", "adjoint"}}),
                            quick({{"objective.scope", "end_to_end"}, {"gradient.estimator", "adjoint"}}),
                            quick({{"objective.scope", "end_to_end"}, {"gradient.estimator", "directional"}})};
  return all;
}

TEST(Trainer, WeightsOfOneAreNoWeights) {
  for (const Index classes : {3, 1}) {
    const Splits plain = small_splits(64, 32, 5, classes);
    Splits weighted = plain;
    for (const float weight : {1.0F, 0.25F}) {
      weighted.train = plain.train.with_weights(std::vector<float>(64, weight));
      for (const Settings& s : estimators())
        expect_same_run(run<float>(resolved(s, weighted), weighted), run<float>(resolved(s, plain), plain), name_of(s));
    }
  }
}

TEST(Trainer, SamplesOfWeightZeroTeachNothing) {
  const Splits plain = small_splits(64, 32, 5, 2);
  // The second half says the opposite, but counts nothing.
  std::vector<std::int32_t> lies(plain.train.labels().begin(), plain.train.labels().end());
  for (std::size_t i = 32; i < 64; ++i) lies[i] = 1 - lies[i];
  std::vector<float> values, weights(64, 1.0F);
  for (Index i = 0; i < 64; ++i) values.insert(values.end(), plain.train.values(i).begin(), plain.train.values(i).end());
  std::fill(weights.begin() + 32, weights.end(), 0.0F);
  Splits lying = plain, weighted = plain;
  lying.train = Dataset(plain.train.info(), values, lies);
  weighted.train = lying.train.with_weights(weights);
  for (Settings s : estimators()) {
    s.insert(s.end(), {{"training.epochs", "100"}, {"update.lr", "0.02"}});
    const auto believed = run<float>(resolved(s, lying), lying), doubted = run<float>(resolved(s, weighted), weighted);
    EXPECT_GT(doubted.record.final_test.value, 0.8) << name_of(s);
    EXPECT_GT(doubted.record.final_test.value, believed.record.final_test.value) << name_of(s);
  }
}

// Targets tanh(x_0) and -tanh(x_0) / 2.
Splits two_targets() {
  Splits splits = small_splits(256, 64, 5, 1);
  for (Dataset* set : {&splits.train, &splits.test}) {
    DatasetInfo info = set->info();
    info.outputs = 2;
    info.target_scales = {{}, {}};
    std::vector<float> values, targets;
    for (Index i = 0; i < set->size(); ++i) {
      values.insert(values.end(), set->values(i).begin(), set->values(i).end());
      targets.push_back(set->targets()[usize(i)]);
      targets.push_back(-0.5F * set->targets()[usize(i)]);
    }
    *set = Dataset(info, std::move(values), std::move(targets));
  }
  return splits;
}

TEST(Trainer, LearnsSeveralTargetsWithEveryEstimator) {
  const Splits splits = two_targets();
  for (Settings s : estimators()) {
    s.insert(s.end(), {{"training.epochs", "60"}, {"update.lr", "0.01"}, {"model.layers", "[48, 32]"}});
    // One loss of all targets says the least.
    const double least = name_of(s).find("opaque") == std::string::npos ? 0.4 : 0.15;
    const Config config = resolved(s, splits);
    const auto result = run<float>(config, splits);
    EXPECT_EQ(result.outputs.test_scores.back().cols(), 2) << name_of(s);
    EXPECT_GT(result.record.final_test.value, least + 0.1) << name_of(s);
    for (const double r2 : r_squared_of_outputs(result.outputs.test_scores.back(), splits.test)) EXPECT_GT(r2, least) << name_of(s);
    expect_same_run(result, run<float>(config, splits, 2), name_of(s));
  }
}

TEST(Config, SeveralTargetsNeedGroups) {
  const Splits splits = two_targets();
  const Settings quiet{{"model.layers", "[15]"}, {"training.batch_size", "16"}};
  EXPECT_NE(message_of<ConfigError>([&] { resolved(quiet, splits); }).find("model.layers: layers must have outputs for 2 groups alike"),
            std::string::npos);
  EXPECT_NE(message_of<ConfigError>([&] {
              resolved({{"model.groups", "3"}, {"training.batch_size", "16"}}, splits);
            }).find("a multiple of 2"),
            std::string::npos);
  EXPECT_NE(message_of<ConfigError>([&] {
              resolved({{"training.batch_size", "16"}}, splits, "[[layer]]\nindex = 0\nmodel.groups = 3\n");
            }).find("in every layer"),
            std::string::npos);
  EXPECT_EQ(
      resolved({{"model.groups", "4"}, {"model.layers", "[16]"}, {"training.batch_size", "16"}}, splits).values().integer("model.groups"),
      4);
  EXPECT_EQ(resolved({{"training.batch_size", "16"}}, splits).values().integer("model.groups"), 2);
}

}  // namespace
}  // namespace ffzero::test
