// Single parameters moved to one side: against exact slopes, in training, and what is refused.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/objective/adjoint_block_loss.hpp"
#include "ffzero/train/block_setup.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

Settings one_sided(Settings more) {
  Settings s{{"gradient.estimator", "coordinate"}, {"gradient.distribution", "one_sided"}};
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

struct Shaped {
  Settings settings;
  Shape input;
  Index classes, batch;
  bool regression = false;
};

/// Meshes, chips, dense layers and convolutions of some widths, classes, batches and groups.
std::vector<Shaped> shapes() {
  std::vector<Shaped> all;
  for (const Index ports : {4, 7, 12})
    for (const char* parallel : {"1", "2"})
      for (const char* coupler : {"0", "0.06"}) {
        Settings s{{"model.kind", "photonic"}, {"model.mesh.layers", "1"}, {"model.mesh.parallel", parallel}};
        if (coupler != std::string("0"))
          s.insert(s.end(), {{"model.mesh.chip.coupler", coupler}, {"model.mesh.chip.phase", "0.1"}, {"model.mesh.chip.loss_db", "0.1"}});
        all.push_back({.settings = s, .input = {2, 1, ports}, .classes = ports < 8 ? 3 : 10, .batch = ports});
      }
  for (const char* groups : {"1", "2", "5"})
    for (const char* loss : {"cross_entropy", "margin", "cosine"})
      all.push_back({.settings = {{"model.kind", "mlp"},
                                  {"model.layers", "[40]"},
                                  {"model.groups", groups},
                                  {"model.activation", "tanh"},
                                  {"objective.loss", loss}},
                     .input = {.width = 9},
                     .classes = 4,
                     .batch = 33});
  all.push_back({.settings = {{"model.kind", "mlp"}, {"model.layers", "[12]"}, {"model.groups", "3"}, {"model.activation", "tanh"}},
                 .input = {.width = 9},
                 .classes = 1,
                 .batch = 5,
                 .regression = true});
  all.push_back({.settings = {{"model.kind", "mlp"}, {"model.layers", "[8, 3]"}, {"objective.scope", "end_to_end"}},
                 .input = {.width = 6},
                 .classes = 3,
                 .batch = 20});
  all.push_back(
      {.settings = {{"model.kind", "cnn"}, {"model.conv.channels", "[3]"}, {"model.conv.kernel", "[3]"}, {"model.layers", "[12]"}},
       .input = {1, 8, 8},
       .classes = 4,
       .batch = 12});
  return all;
}

/// The slopes of a whole turn, and the exact gradient of the first block.
template <class S>
struct Turn {
  Vector<double> found, exact;
  std::int64_t billed = 0, expected = 0;
  double unmoved = 0.0;  ///< largest slope of a parameter that a step was not about
};

template <class S>
Turn<S> whole_turn(const Shaped& shaped, double step, const char* parameters) {
  Settings settings = shaped.settings;
  settings.insert(settings.end(), {{"preset", "paper"},
                                   {"gradient.estimator", "coordinate"},
                                   {"gradient.distribution", "one_sided"},
                                   {"gradient.directions", parameters},
                                   {"gradient.eps", std::to_string(step)}});
  Config config = Config::parse("", "test", {.file = {}, .overrides = settings});
  config.resolve({.regression = shaped.regression, .classes = shaped.classes, .train_size = 1000});
  const Executor executor(1);
  Network<S> network = build_network<S>(config, shaped.input, shaped.classes, std::make_shared<const Executor>(1));
  // Those of float, so that both precisions look at the same point.
  const Network<float> single = build_network<float>(config, shaped.input, shaped.classes, std::make_shared<const Executor>(1));
  NpzArchive archive;
  single.save(archive);
  network.load(archive, "test");
  Ledger ledger(network.layers());
  auto setups = make_block_setups<S>(config.plan(network.layers()), network, 1000, executor, ledger);
  BlockSetup<S>& setup = setups[0];
  const Matrix<S> x = normal_matrix<float>(shaped.batch, shaped.input.size(), 3).template cast<S>();
  const auto labels = random_labels(shaped.batch, std::max<Index>(2, shaped.classes), 4);
  std::vector<double> values(usize(shaped.batch), 0.3);
  const Targets targets{.labels = shaped.regression ? std::span<const std::int32_t>() : labels,
                        .values = shaped.regression ? values : std::span<const double>()};
  const auto theta = std::as_const(network).theta(setup.first, setup.last);

  Turn<S> turn;
  Vector<S> gradient(isize(theta.size()));
  Ledger other(network.layers());
  AdjointBlockLoss<S> exact(setup.block, executor, other);
  exact.set_batch({.x = x, .targets = targets});
  static_cast<void>(exact.value_and_gradient(theta, as_span(gradient)));
  turn.exact = gradient.template cast<double>();

  turn.found = Vector<double>::Zero(gradient.size());
  std::vector<bool> seen(theta.size());
  for (Index number = 0; std::count(seen.begin(), seen.end(), false) > 0 && number < isize(theta.size()); ++number) {
    setup.gradient->begin_step(number, 1000, 1);
    static_cast<void>(setup.gradient->estimate({.x = x, .targets = targets}, theta, RandomStream(0, Stream::direction), as_span(gradient)));
    turn.expected += setup.gradient->cost_per_sample() * shaped.batch;
    for (const EstimatedPart& part : setup.gradient->parts())
      for (const Index i : part.parameters) {
        turn.found[i] = static_cast<double>(gradient[i]);
        gradient[i] = S{0};
        seen[usize(i)] = true;
      }
    turn.unmoved = std::max(turn.unmoved, static_cast<double>(gradient.template lpNorm<Eigen::Infinity>()));
  }
  turn.billed = ledger.total().training;
  return turn;
}

TEST(OneSided, SlopesAreThoseOfTheGradientUpToTheStep) {
  Index number = 0;
  for (const Shaped& shaped : shapes()) {
    const char* const parameters = std::array{"1", "5", "64"}[usize(number++ % 3)];
    const auto miss = [&](double step) {
      const auto turn = whole_turn<double>(shaped, step, parameters);
      EXPECT_EQ(turn.billed, turn.expected);
      EXPECT_EQ(turn.unmoved, 0.0);
      return (turn.found - turn.exact).norm() / turn.exact.norm();
    };
    const double near = miss(1e-4), far = miss(1e-2);
    EXPECT_LT(near, 1e-3) << number;
    // A map that is linear in its parameters leaves rounding alone.
    if (near < 1e-9) {
      EXPECT_LT(far, 1e-10) << number;
      continue;
    }
    EXPECT_GT(far, 30.0 * near) << number << " " << near;
    EXPECT_LT(far, 300.0 * near) << number << " " << near;
  }
}

TEST(OneSided, FloatMeasuresWhatDoubleDoes) {
  for (const Shaped& shaped : shapes()) {
    const auto single = whole_turn<float>(shaped, 0.02, "32");
    const auto exact = whole_turn<double>(shaped, 0.02, "32");
    EXPECT_LT((single.found - exact.found).norm(), 1e-3 * exact.found.norm()) << shaped.settings.front().second;
    EXPECT_LT((single.found - exact.exact).norm(), 0.1 * exact.exact.norm()) << shaped.settings.front().second;
  }
}

Settings single_phases(Settings more) {
  Settings s = one_sided({{"model.kind", "photonic"},
                          {"model.mesh.layers", "1"},
                          {"dataset.crop", "4"},
                          {"training.epochs", "3"},
                          {"training.batch_size", "16"},
                          {"training.log_samples", "20"},
                          {"model.mesh.chip.coupler", "0.06"},
                          {"model.mesh.chip.phase", "0.06"}});
  s.insert(s.end(), more.begin(), more.end());
  return s;
}

TEST(OneSided, ResumesAndSharesWorkBitForBit) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  for (const Settings& settings : {single_phases({{"model.mesh.chip.read_noise", "0.01"},
                                                  {"model.mesh.chip.dac_bits", "8"},
                                                  {"model.mesh.chip.drift_rms", "0.1"},
                                                  {"model.mesh.chip.drift_time", "0.001"},
                                                  {"model.mesh.linear_head", "trained"},
                                                  {"gradient.directions", "100"}}),
                                   single_phases({{"model.mesh.parallel", "2"}, {"gradient.directions", "7"}}),
                                   one_sided({{"model.layers", "[20, 20]"},
                                              {"model.groups", "2"},
                                              {"training.epochs", "2"},
                                              {"training.batch_size", "16"},
                                              {"model.input_dropout", "0.1"}})}) {
    expect_resumes_bit_for_bit(resolved(settings, splits), splits, 5);
  }
}

TEST(OneSided, BillsOneReadingAndOneForEachParameter) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto one = run<float>(resolved(single_phases({{"gradient.directions", "9"}}), splits), splits);
  EXPECT_EQ(one.record.ledger.layer(0).training, 3 * kTrain * (1 + 9));
  EXPECT_EQ(one.record.ledger.layer(0).pullbacks, 0);
  EXPECT_EQ(one.record.information, Information::opaque);
  EXPECT_EQ(run<float>(resolved(single_phases({}), splits), splits).record.ledger.layer(0).training, 3 * kTrain * (1 + 32));
  // Two meshes are read at the same time.
  const auto two = run<float>(resolved(single_phases({{"gradient.directions", "9"}, {"model.mesh.parallel", "2"}}), splits), splits);
  EXPECT_EQ(two.record.ledger.layer(0).training, 3 * kTrain * (1 + 9));
  EXPECT_EQ(two.record.information, Information::grouped);
}

TEST(OneSided, EveryParameterHasItsOwnAdam) {
  // 16 ports have 256 phases: with 100 a step, the third step begins the second turn.
  const Splits splits = make_glyphs(1, 48, kTest);
  const auto after = [&](const char* epochs, std::size_t steps) {
    std::size_t done = 0;
    TrainEvents events;
    std::vector<TrainerState> kept;
    events.stop_requested = [&] { return ++done == steps; };
    const Config config =
        resolved(single_phases(
                     {{"gradient.directions", "100"}, {"training.epochs", epochs}, {"update.schedule", "constant"}, {"update.lr", "0.01"}}),
                 splits);
    auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1), events);
    static_cast<void>(trainer.run());
    return Vector<float>(as_vector(trainer.network().theta(0, 1)));
  };
  const Vector<float> start = run<float>(resolved(single_phases({{"training.epochs", "0"}}), splits), splits).theta;
  const Vector<float> first = after("1", 1), second = after("1", 2), third = after("1", 99);
  // The first step of Adam is as long as the rate, whatever the slope.
  for (Index i = 0; i < start.size(); ++i) {
    EXPECT_NEAR(std::abs(first[i] - start[i]), i < 100 ? 0.01F : 0.0F, i < 100 ? 1e-3F : 0.0F) << i;
    const bool then = i >= 100 && i < 200;
    EXPECT_NEAR(std::abs(second[i] - first[i]), then ? 0.01F : 0.0F, then ? 1e-3F : 0.0F) << i;
    if (i >= 44) {
      EXPECT_NEAR(std::abs(third[i] - second[i]), i >= 200 ? 0.01F : 0.0F, i >= 200 ? 1e-3F : 0.0F) << i;
    }
  }
  EXPECT_GT((third - second).head(44).norm(), 0.0F);
  EXPECT_LT((third - second).head(44).lpNorm<Eigen::Infinity>(), 0.0101F);
}

TEST(OneSided, LearnsBetterThanDirectionsAtEqualEvaluations) {
  const Splits splits = make_glyphs(1, 400, 200);
  const auto trained = [&](const Settings& settings) { return run<float>(resolved(settings, splits), splits).record; };
  const RunRecord single = trained(single_phases(
      {{"gradient.directions", "39"}, {"training.epochs", "8"}, {"update.lr", "0.1"}, {"update.beta1", "0.5"}, {"update.beta2", "0.95"}}));
  Settings random = single_phases({{"gradient.directions", "20"}, {"training.epochs", "8"}, {"gradient.estimator", "directional"}});
  std::erase_if(random, [](const auto& kv) { return kv.second == "one_sided" || kv.second == "coordinate"; });
  const RunRecord directions = trained(random);
  EXPECT_EQ(single.ledger.layer(0).training, directions.ledger.layer(0).training);
  EXPECT_GT(single.final_test.value, directions.final_test.value + 0.05);
}

TEST(OneSided, RefusesWhatItCannotDo) {
  const Splits splits = make_glyphs(1, kTrain, kTest);
  const auto refused = [&](const Settings& settings) {
    return message_of<ConfigError>([&] { static_cast<void>(run<float>(resolved(settings, splits), splits)); });
  };
  EXPECT_EQ(refused({{"gradient.estimator", "directional"}, {"gradient.distribution", "one_sided"}}),
            "command line: gradient.distribution: directions are gaussian, rademacher, hadamard or coordinate; got \"one_sided\"; use "
            "\"gaussian\" or \"auto\"");
  EXPECT_EQ(refused({{"gradient.estimator", "coordinate"}, {"gradient.distribution", "gaussian"}}),
            "command line: gradient.distribution: single parameters are shifted or one_sided; got \"gaussian\"; use \"one_sided\" or "
            "\"auto\"");
  EXPECT_NE(refused({{"model.kind", "photonic"}, {"gradient.estimator", "coordinate"}, {"gradient.eps", "0.1"}}).find("no effect here"),
            std::string::npos);
  EXPECT_NE(refused(one_sided({{"gradient.eps", "measured"}})).find("only directional estimates have an eps to measure"),
            std::string::npos);
}

}  // namespace
}  // namespace ffzero::test
