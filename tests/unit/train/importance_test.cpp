// Importance sampling and falling temperatures: chances, means over draws, bills, resumed runs, and what is refused.
// SPDX-License-Identifier: MIT
#include "ffzero/train/importance_step.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "ffzero/train/block_setup.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

using ::testing::HasSubstr;

/// Lengths of very different sizes, some of them 0, some without a reading.
std::vector<double> some_lengths(Index count, std::uint64_t step) {
  std::vector<double> lengths(usize(count));
  RandomStream(3, Stream::test, 0, step).fill_normal(lengths);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    lengths[i] = std::exp(2.0 * lengths[i]);
    if (i % 7 == 3) lengths[i] = 0.0;
    if (i % 11 == 5) lengths[i] = -1.0;
  }
  return lengths;
}

TEST(Importance, ChancesAddUpToTheSamplesAndFollowTheLengths) {
  for (const Index count : {1, 2, 5, 16, 64, 257})
    for (const Index samples : {1, 2, 7, 16, 63, 300}) {
      const std::vector<double> lengths = some_lengths(count, static_cast<std::uint64_t>(samples));
      const std::vector<double> chances = inclusion_chances(lengths, samples);
      const Index there = std::count_if(lengths.begin(), lengths.end(), [](double l) { return l >= 0.0; });
      EXPECT_NEAR(std::accumulate(chances.begin(), chances.end(), 0.0), static_cast<double>(std::min(samples, there)), 1e-9) << count;
      const double total = std::accumulate(lengths.begin(), lengths.end(), 0.0, [](double a, double l) { return a + std::max(0.0, l); });
      const auto weight = [&](std::size_t i) { return 0.9 * lengths[i] / total + 0.1 / static_cast<double>(there); };
      double ratio = 0.0;
      for (std::size_t i = 0; i < chances.size(); ++i) {
        EXPECT_LE(chances[i], 1.0);
        EXPECT_EQ(chances[i] > 0.0, lengths[i] >= 0.0) << count << " " << samples << " " << i;
        if (chances[i] <= 0.0 || chances[i] >= 1.0) continue;
        if (ratio == 0.0) ratio = chances[i] / weight(i);
        EXPECT_NEAR(chances[i] / weight(i), ratio, 1e-9 * ratio);
      }
      // Who is drawn for sure would have been drawn more than once.
      for (std::size_t i = 0; i < chances.size(); ++i)
        if (chances[i] == 1.0 && ratio > 0.0) {
          EXPECT_GE(weight(i) * ratio, 1.0 - 1e-9);
        }
    }
  EXPECT_EQ(inclusion_chances(std::vector<double>(4, 0.0), 2), std::vector<double>(4, 0.5));
  EXPECT_EQ(inclusion_chances(std::vector<double>{-1.0, -1.0}, 2), std::vector<double>(2, 0.0));
  EXPECT_TRUE(inclusion_chances(std::vector<double>{}, 2).empty());
}

TEST(Importance, EachSampleIsDrawnWithItsChance) {
  constexpr int kPoints = 20000;
  for (const Index samples : {1, 5, 16}) {
    const std::vector<double> chances = inclusion_chances(some_lengths(40, 9), samples);
    std::vector<double> share(chances.size(), 0.0);
    for (int i = 0; i < kPoints; ++i) {
      const std::vector<Index> drawn = draw_samples(chances, (i + 0.5) / kPoints);
      EXPECT_EQ(isize(drawn.size()), samples);
      EXPECT_TRUE(std::is_sorted(drawn.begin(), drawn.end()));
      for (const Index b : drawn) share[usize(b)] += 1.0 / kPoints;
    }
    for (std::size_t b = 0; b < share.size(); ++b) EXPECT_NEAR(share[b], chances[b], 2.0 / kPoints) << b;
  }
}

struct DrawnFrom {
  Settings settings;
  Shape input;
  Index classes;
  bool regression = false, weighted = false;
};

/// A block and its estimator, with importance sampling or without.
struct Estimates {
  Estimates(const DrawnFrom& shaped, const char* samples) {
    Settings settings = shaped.settings;
    settings.insert(settings.end(), {{"preset", "paper"}, {"training.batch_size", "24"}, {"gradient.importance_samples", samples}});
    Config config = Config::parse("", "test", {.file = {}, .overrides = settings});
    config.resolve({.regression = shaped.regression, .classes = shaped.classes, .train_size = 1000});
    network.emplace(build_network<double>(config, shaped.input, shaped.classes, std::make_shared<const Executor>(1)));
    ledger.emplace(network->layers());
    setups = make_block_setups<double>(config.plan(network->layers()), *network, 1000, executor, *ledger);
  }
  Vector<double> gradient(const Matrix<double>& x, const Targets& targets, std::uint64_t step, double* loss = nullptr) {
    const auto theta = std::as_const(*network).theta(setups[0].first, setups[0].last);
    Vector<double> g(isize(theta.size()));
    setups[0].gradient->begin_step(0, 1000, 1);
    const double found =
        setups[0].gradient->estimate({.x = x, .targets = targets}, theta, RandomStream(0, Stream::direction, 0, step), as_span(g));
    if (loss != nullptr) *loss = found;
    return g;
  }

  Executor executor{1};
  std::optional<Network<double>> network;
  std::optional<Ledger> ledger;
  std::vector<BlockSetup<double>> setups;
};

TEST(Importance, TheMeanOverDrawsIsTheEstimateOfTheWholeBatch) {
  const Settings single{
      {"gradient.estimator", "coordinate"}, {"gradient.distribution", "one_sided"}, {"gradient.directions", "3"}, {"gradient.eps", "1e-4"}};
  const auto with = [&](Settings more) {
    more.insert(more.end(), single.begin(), single.end());
    return more;
  };
  const std::vector<DrawnFrom> all{
      {with({{"model.kind", "photonic"}, {"model.mesh.layers", "1"}, {"objective.loss", "cross_entropy"}}), {2, 1, 6}, 3},
      {with({{"model.kind", "photonic"}, {"model.mesh.layers", "1"}, {"model.mesh.parallel", "2"}}), {2, 1, 5}, 4},
      {with({{"model.kind", "mlp"}, {"model.layers", "[20]"}, {"model.groups", "2"}, {"objective.reduction", "sum"}}),
       {.width = 9},
       4,
       false,
       true},
      {with({{"model.kind", "mlp"}, {"model.layers", "[12]"}, {"model.groups", "3"}}), {.width = 5}, 1, true},
      {with({{"model.kind", "mlp"}, {"model.layers", "[8, 3]"}, {"objective.scope", "end_to_end"}}), {.width = 6}, 3}};
  constexpr int kDraws = 4000;
  for (const DrawnFrom& shaped : all) {
    Estimates whole(shaped, "0"), drawn(shaped, "5");
    const Index rows = 24;
    const Matrix<double> x = normal_matrix<double>(rows, shaped.input.size(), 3);
    const auto labels = random_labels(rows, std::max<Index>(2, shaped.classes), 4);
    std::vector<double> values(usize(rows)), weights;
    RandomStream(1, Stream::test, 5).fill_normal(values);
    if (shaped.weighted)
      for (Index b = 0; b < rows; ++b) weights.push_back(0.5 + 0.1 * static_cast<double>(b));
    const Targets targets{.labels = shaped.regression ? std::span<const std::int32_t>() : labels,
                          .values = shaped.regression ? values : std::span<const double>(),
                          .weights = weights};
    double loss = 0.0, same = 0.0;
    const Vector<double> expected = whole.gradient(x, targets, 0, &loss);
    Vector<double> mean = Vector<double>::Zero(expected.size()), square = mean;
    for (int i = 0; i < kDraws; ++i) {
      const Vector<double> g = drawn.gradient(x, targets, static_cast<std::uint64_t>(i), &same);
      EXPECT_NEAR(same, loss, 1e-9 * std::abs(loss));
      mean += g / kDraws;
      square += g.cwiseAbs2() / kDraws;
    }
    EXPECT_GT(expected.norm(), 0.0);
    for (Index i = 0; i < mean.size(); ++i) {
      const double error = std::sqrt(std::max(0.0, square[i] - mean[i] * mean[i]) / kDraws);
      EXPECT_NEAR(mean[i], expected[i], 5.0 * error + 1e-9) << name_of(shaped.settings) << i;
    }
    const Index layers = isize(drawn.setups[0].block.layers.size());
    EXPECT_EQ(drawn.ledger->total().training, kDraws * layers * (rows + 5 * (1 + 3)));
    EXPECT_EQ(drawn.setups[0].gradient->cost_of_step(0, rows), layers * (rows + 5 * (1 + 3)));
    // A batch of no more samples is not read twice.
    static_cast<void>(drawn.gradient(x.topRows(4), targets.rows(0, 4), 0));
    EXPECT_EQ(drawn.ledger->total().training, kDraws * layers * (rows + 5 * (1 + 3)) + layers * 4 * (1 + 3));
    // A network that has diverged is not a device without an answer.
    static_cast<void>(drawn.gradient(Matrix<double>::Constant(rows, x.cols(), std::nan("")), targets, 0, &loss));
    EXPECT_FALSE(std::isfinite(loss)) << name_of(shaped.settings);
    EXPECT_EQ(drawn.setups[0].gradient->missing_pairs(), 0);
  }
}

TEST(Importance, ResumesAndSharesWorkBitForBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings mesh{{"model.kind", "photonic"},
                      {"model.mesh.layers", "1"},
                      {"dataset.crop", "4"},
                      {"training.epochs", "2"},
                      {"training.batch_size", "16"},
                      {"gradient.importance_samples", "4"},
                      {"objective.last_temperature", "0.01"},
                      {"model.mesh.linear_head", "trained"},
                      {"model.mesh.chip.read_noise", "0.01"},
                      {"model.mesh.chip.drift_rms", "0.1"},
                      {"model.mesh.chip.drift_time", "0.001"}};
  Settings single = mesh;
  single.insert(single.end(), {{"gradient.estimator", "coordinate"}, {"gradient.distribution", "one_sided"}});
  const Settings dense{{"model.kind", "mlp"},        {"model.layers", "[20, 20]"},         {"model.groups", "2"},
                       {"training.epochs", "2"},     {"training.batch_size", "16"},        {"gradient.estimator", "directional"},
                       {"gradient.directions", "3"}, {"gradient.importance_samples", "5"}, {"objective.last_temperature", "0.2"}};
  // Readings that do not come back: of the whole batch, or of what was drawn.
  Settings failing = dense;
  failing.insert(failing.end(), {{"model.imperfect.fail", "0.2"},
                                 {"device.on_failure", "skip"},
                                 {"device.retries", "1"},
                                 {"training.log_samples", "0"},
                                 {"training.log_test", "false"}});
  for (const Settings& settings : {mesh, single, dense, failing}) expect_resumes_bit_for_bit(resolved(settings, splits), splits, 5);
}

TEST(Importance, AWholeRunIsBilledAsPlannedAndCheaper) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings settings{{"model.kind", "photonic"},
                          {"model.mesh.layers", "1"},
                          {"dataset.crop", "4"},
                          {"training.epochs", "3"},
                          {"training.batch_size", "16"},
                          {"gradient.estimator", "coordinate"},
                          {"gradient.distribution", "one_sided"},
                          {"gradient.directions", "9"},
                          {"gradient.importance_samples", "4"}};
  // 60 samples: three batches of 16 and one of 12.
  EXPECT_EQ(run<float>(resolved(settings, splits), splits).record.ledger.layer(0).training, 3 * (kTrain + 4 * 4 * (1 + 9)));
}

TEST(LastTemperature, LossesAreThoseOfALossOfThatTemperature) {
  const Matrix<double> scores = normal_matrix<double>(12, 10, 1);
  const auto labels = random_labels(12, 5, 2);
  const auto look = [&](Loss<double>& loss) {
    Matrix<double> losses(12, 2), slopes(12, 10);
    loss.values(scores, 5, {.labels = labels, .values = {}}, losses);
    loss.gradient(scores, 5, {.labels = labels, .values = {}}, slopes);
    return std::pair(losses, slopes);
  };
  const auto expect_scaled = [&](const auto& made) {
    const auto loss = make_weighted_loss(made(0.4));
    loss->scale_temperature(0.25);
    const auto found = look(*loss), expected = look(*made(0.1));
    EXPECT_LT((found.first - expected.first).norm(), 1e-12 * expected.first.norm());
    EXPECT_LT((found.second - expected.second).norm(), 1e-12 * expected.second.norm());
    loss->scale_temperature(1.0);
    EXPECT_EQ(look(*loss), look(*made(0.4)));
  };
  expect_scaled([](double t) { return make_cross_entropy_loss<double>(t, 0.1); });
  expect_scaled([](double t) { return make_n_pair_loss<double>(t, 0.3); });
  expect_scaled([](double /*none*/) { return make_cosine_loss<double>(); });
  const LossOptions falls = CrossEntropyOptions{.temperature = 0.1, .last_temperature = 0.001};
  EXPECT_EQ(temperature_factor(falls, 0, 101), 1.0);
  EXPECT_NEAR(temperature_factor(falls, 50, 101), 0.1, 1e-12);
  EXPECT_NEAR(temperature_factor(falls, 100, 101), 0.01, 1e-12);
  EXPECT_EQ(temperature_factor(falls, 0, 1), 1.0);
  EXPECT_NEAR(temperature_factor(NPairOptions{.temperature = 1.0, .last_temperature = 4.0}, 1, 3), 2.0, 1e-12);
  EXPECT_EQ(temperature_factor(NPairOptions{}, 1, 3), 1.0);
  EXPECT_EQ(temperature_factor(CosineOptions{}, 1, 3), 1.0);
}

TEST(LastTemperature, ChangesTrainingUnlessItIsTheFirst) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const Settings votes{{"model.kind", "mlp"}, {"vote.rule", "sum_log_softmax"}, {"objective.temperature", "0.1"}};
  Settings falls = votes;
  falls.emplace_back("objective.last_temperature", "0.02");
  EXPECT_EQ(resolved(votes, splits).vote()->temperature, 0.1);
  EXPECT_EQ(resolved(falls, splits).vote()->temperature, 0.02);
  const auto trained = [&](const char* last) {
    return run<float>(resolved({{"model.kind", "mlp"},
                                {"model.layers", "[20]"},
                                {"training.epochs", "3"},
                                {"training.batch_size", "16"},
                                {"objective.temperature", "0.1"},
                                {"objective.last_temperature", last}},
                               splits),
                      splits)
        .theta;
  };
  EXPECT_EQ(trained("0"), trained("0.1"));
  EXPECT_NE(trained("0"), trained("0.05"));
}

TEST(Importance, RefusesWhatItCannotDo) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto refused = [&](Settings settings) {
    settings.emplace_back("training.batch_size", "16");
    return message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(settings, splits), splits)); });
  };
  EXPECT_EQ(refused({{"gradient.estimator", "directional"}, {"gradient.importance_samples", "16"}}),
            "command line: gradient.importance_samples: must be below the 16 samples of training.batch_size; got 16; choose fewer, or a "
            "larger batch");
  EXPECT_THAT(refused({{"gradient.estimator", "activity"}, {"gradient.importance_samples", "4"}}), HasSubstr("no effect here"));
  EXPECT_THAT(refused({{"objective.loss", "cosine"}, {"objective.last_temperature", "4"}}), HasSubstr("no effect here"));
  EXPECT_THAT(refused({{"model.kind", "photonic"}, {"model.mesh.linear_head", "joint"}, {"objective.last_temperature", "0.1"}}),
              HasSubstr("a readout that learns along with the mesh is at one temperature"));
  EXPECT_THAT(refused({{"update.schedule", "plateau"}, {"objective.last_temperature", "0.1"}}),
              HasSubstr("plateau compares losses of epochs"));
  BlockOptions options;
  options.importance_samples = options.batch_size;
  EXPECT_THAT(message_of<ConfigError>([&] { options.validate("block"); }), HasSubstr("must be below the batch_size of 256"));
  options.importance_samples = 4;
  options.validate("block");
  options.estimator = AdjointOptions{};
  EXPECT_THAT(message_of<ConfigError>([&] { options.validate("block"); }), HasSubstr("BlockOptions::importance_samples"));
  TrainPlan plan;
  plan.blocks.push_back({.first = 0, .last = 1, .options = options});
  plan.blocks[0].options.estimator = NamedEstimator{.name = "directional"};
  plan.validate(1);
  plan.blocks[0].options.estimator = NamedEstimator{.name = "transfer"};
  EXPECT_THAT(message_of<ConfigError>([&] { plan.validate(1); }),
              HasSubstr("BlockOptions::importance_samples: must be 0 for this estimator; got transfer"));
  options.importance_samples = 0;
  options.loss = CrossEntropyOptions{.last_temperature = 0.01};
  options.validate("block");
  options.update.schedule.kind = ScheduleKind::plateau;
  EXPECT_THAT(message_of<ConfigError>([&] { options.validate("block"); }), HasSubstr("UpdateOptions::schedule"));
  options.loss = CrossEntropyOptions{.last_temperature = -1.0};
  EXPECT_THAT(message_of<ConfigError>([&] { options.validate("block"); }), HasSubstr("CrossEntropyOptions::last_temperature"));
}

}  // namespace
}  // namespace ffzero::test
