// Lengths from measurements, on functions whose best lengths are known, and probes of blocks.
// SPDX-License-Identifier: MIT
#include "ffzero/train/step_control.hpp"

#include <gtest/gtest.h>

#include "ffzero/train/block_probe.hpp"
#include "small_runs.hpp"
#include "support/property.hpp"
#include "support/test_block.hpp"

namespace ffzero::test {
namespace {

/// sum_i sin(theta_i) with noise of a given size on every reading.
class NoisyWaves final : public ScalarFunction<double> {
 public:
  NoisyWaves(Index dimension, double noise) : layout_(ParameterLayout::whole(dimension)), dimension_(dimension), noise_(noise) {}
  [[nodiscard]] const ParameterLayout& layout() const override { return layout_; }
  [[nodiscard]] Index dimension() const override { return dimension_; }
  void values(std::span<const double> theta, std::span<double> losses) const override {
    double deviation = 0.0;
    RandomStream(1, Stream::test, 0, ++reads_).fill_normal(std::span<double>(&deviation, 1));
    losses[0] = as_vector(theta).array().sin().sum() + noise_ * deviation;
  }

 private:
  ParameterLayout layout_;
  Index dimension_;
  double noise_;
  mutable std::uint64_t reads_ = 0;
};

double best_eps(double noise) {
  const NoisyWaves f(20, noise);
  Vector<double> theta(20);
  for (Index i = 0; i < 20; ++i) theta[i] = 0.3 * static_cast<double>(i);
  const SlopeLadder ladder =
      climb_slopes<double>(f, as_span(std::as_const(theta)), Distribution::rademacher, 16, RandomStream(2, Stream::direction), Executor(1));
  EXPECT_EQ(isize(ladder.eps.size()), kLadderLengths);
  EXPECT_LT(ladder.mismatch[ladder.best], 0.3);
  return ladder.eps[ladder.best];
}

// Noise sigma / eps against the cube's eps^2 / 6 of a sine: eps^3 ~ sigma.
TEST(StepControl, LongerPerturbationsForNoisierReadings) {
  const double quiet = best_eps(1e-9), loud = best_eps(1e-6), louder = best_eps(1e-3);
  EXPECT_LT(quiet, loud);
  EXPECT_LT(loud, louder);
  EXPECT_GT(quiet, 1e-4);
  EXPECT_LT(louder, 3.0);
}

EstimatorOptions directions(Index m) { return DirectionalOptions{.directions = m, .distribution = Distribution::rademacher}; }

/// A dense layer with a batch of its own, as a block to estimate on.
struct StepBench {
  Executor executor{1};
  TestBlock<double> block;
  Matrix<double> x = normal_matrix<double>(24, 7, 5);
  std::vector<std::int32_t> labels = random_labels(24, 4, 6);
  Ledger ledger{1};
  BlockSetup<double> setup;

  explicit StepBench(const BlockOptions& options, std::shared_ptr<ForwardMap<double>> map = nullptr) {
    block.layers.push_back(dense_layer<double>({.width = 7}, 8, 4, {.activation = ActivationKind::relu, .loss_after_all = true}));
    if (map) block.layers[0].map = std::move(map);
    block.set_loss(kCrossEntropy, Reduction::mean).draw_parameters(3);
    setup.last = 1;
    setup.block = block.view();
    setup.options = options;
    setup.gradient = make_step_gradient<double>(options.estimator, setup.block, executor, ledger);
  }
  [[nodiscard]] Batch<double> batch() const { return {.x = x, .targets = {.labels = labels, .values = {}}}; }
};

TEST(StepControl, ScansUntilTheLossRisesAndFindsTheLowest) {
  for (const RuleOptions& options : {RuleOptions(SgdOptions{}), RuleOptions(AdamOptions{}), RuleOptions(MomentumOptions{})}) {
    const std::string rule = make_rule<double>(options, 64)->name();
    StepBench bench({.estimator = AdjointOptions{}, .update = {.rule = options}});
    const auto batch = [&](Index) { return bench.batch(); };
    const StepScan scan = scan_steps<double>(*bench.setup.gradient, bench.setup.options.update.rule,
                                             as_span(std::as_const(bench.block.theta)), 2, batch, RandomStream(1, Stream::direction));
    ASSERT_GE(scan.lr.size(), scan.best + 1) << rule;
    EXPECT_LT(scan.change[scan.best], 0.0) << rule;
    for (const double change : scan.change) EXPECT_GE(change, scan.change[scan.best]) << rule;
    for (std::size_t k = 1; k < scan.lr.size(); ++k) EXPECT_NEAR(scan.lr[k] / scan.lr[k - 1], 2.0, 1e-12) << rule;
    // The change is that of the rule's own first step.
    Vector<double> gradient(bench.block.theta.size()), moved = bench.block.theta;
    bench.setup.gradient->estimate(bench.batch(), as_span(std::as_const(bench.block.theta)), RandomStream(1, Stream::direction),
                                   as_span(gradient));
    const double lr = scan.lr[scan.best];
    if (rule == "adam")
      moved.array() -= lr * gradient.array().sign();
    else
      moved -= lr / (rule == "momentum" ? 1.0 - 0.9 : 1.0) * gradient;
    double before = 0.0, after = 0.0;
    bench.setup.gradient->loss().values(as_span(std::as_const(bench.block.theta)), {&before, 1});
    bench.setup.gradient->loss().values(as_span(std::as_const(moved)), {&after, 1});
    EXPECT_NEAR(after - before, scan.change[scan.best], 1e-12) << rule;
  }
}

TEST(StepControl, CostsNoMoreThanItSays) {
  for (const EstimatorOptions& options : {directions(3), EstimatorOptions(AdjointOptions{})}) {
    const std::string estimator = estimator_name(options);
    StepBench bench({.estimator = options, .update = {.lr = kMeasured}});
    const auto batch = [&](Index) { return bench.batch(); };
    const MeasuredControl control =
        measure_control<double>(*bench.setup.gradient, bench.setup.options, as_span(std::as_const(bench.block.theta)), batch,
                                RandomStream(1, Stream::direction), bench.executor);
    EXPECT_GT(control.lr, 0.0);
    EXPECT_EQ(control.eps, 0.0) << "not asked for";
    EXPECT_LE(bench.ledger.total().training, control_cost(*bench.setup.gradient, bench.setup.options, 1, 24)) << estimator;
  }
}

TEST(BlockProbe, MeasuresTheCosineThatTheoryExpects) {
  StepBench bench({.estimator = directions(8)});
  const auto batch = [&](Index) { return bench.batch(); };
  const BlockProbe probe = probe_block<double>(bench.setup, as_span(std::as_const(bench.block.theta)), batch, 400,
                                               RandomStream(4, Stream::direction), bench.executor, bench.ledger);
  ASSERT_TRUE(probe.angle);
  EXPECT_NEAR(probe.expected_cosine, std::sqrt(8.0 / (64.0 + 7.0)), 1e-12) << "7 x 8 weights, 8 biases";
  EXPECT_NEAR(probe.angle->cosine, probe.expected_cosine, 0.02);
  EXPECT_NEAR(probe.angle->length, 1.0 / probe.expected_cosine, 0.2);
  EXPECT_NEAR(probe.angle->coherence, 1.0, 1e-12) << "the same batch twice";
  EXPECT_EQ(probe.noise, 0.0);
  EXPECT_GT(probe.signal, 0.0);
  EXPECT_GT(probe.eps, 0.0);
  EXPECT_GT(probe.lr, 0.0);
  EXPECT_EQ(probe.forward_evals, bench.ledger.total().training);
  EXPECT_LT(probe.along.front().forward, 0.0) << "downhill";
  EXPECT_GT(probe.along.front().backward, 0.0);
}

/// A dense layer that only answers, and never twice the same.
class NoisyDevice final : public ForwardMap<double> {
 public:
  explicit NoisyDevice(double noise) : dense_({.width = 7}, 8, 1), noise_(noise) {}
  [[nodiscard]] Shape input_shape() const override { return dense_.input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return dense_.output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return dense_.parameter_count(); }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& x, MatrixRef<double> y) const override {
    dense_.forward(theta, x, y);
    y += noise_ * normal_matrix<double>(y.rows(), y.cols(), ++reads_);
  }

 private:
  Dense<double> dense_;
  double noise_;
  mutable std::uint64_t reads_ = 0;
};

TEST(BlockProbe, OfADeviceTellsWhatNeedsNoExactGradient) {
  StepBench quiet({.estimator = directions(1)}, std::make_shared<NoisyDevice>(1e-4));
  StepBench loud({.estimator = directions(1)}, std::make_shared<NoisyDevice>(1e-2));
  const auto probe_of = [](StepBench& bench) {
    return probe_block<double>(
        bench.setup, as_span(std::as_const(bench.block.theta)), [&](Index) { return bench.batch(); }, 16,
        RandomStream(4, Stream::direction), bench.executor, bench.ledger);
  };
  const BlockProbe a = probe_of(quiet), b = probe_of(loud);
  EXPECT_FALSE(a.angle);
  EXPECT_EQ(a.pullbacks, 0);
  EXPECT_NEAR(a.expected_cosine, std::sqrt(1.0 / 64.0), 1e-12);
  EXPECT_GT(a.noise, 0.0);
  EXPECT_NEAR(b.noise / a.noise, 100.0, 30.0);
  EXPECT_GT(b.eps, a.eps);
}

}  // namespace
}  // namespace ffzero::test
