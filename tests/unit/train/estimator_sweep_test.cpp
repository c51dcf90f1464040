// Every estimator in float, as it is trained, against the exact gradient in double: over sizes, groups, batches, losses and the seeds 0
// to 99. FFZERO_SWEEP=20 looks at 20 times as many points as a build does. SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "ffzero/gradient/directional.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "ffzero/tensor/aligned_matrix.hpp"
#include "ffzero/train/block_setup.hpp"
#include "ffzero/train/self_check.hpp"
#include "small_runs.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

/// One point of the grid.
struct Point {
  std::string kind;  ///< mlp | cnn | photonic
  Index classes = 2, width = 10, inputs = 10, groups = 1, batch = 1;
  std::uint64_t seed = 0;
  std::string loss, scope;
  Settings settings;

  [[nodiscard]] std::string name() const {
    std::string text = kind + " " + loss + " " + scope;
    for (const auto& [key, value] : settings) text += " " + key + "=" + value;
    return text + ", " + std::to_string(classes) + " classes, batch " + std::to_string(batch);
  }
};

/// How many points a test looks at that looks at `few` by default. The points of different tests are different ones.
std::uint64_t points(std::uint64_t few) {
  const char* const factor = std::getenv("FFZERO_SWEEP");
  return few * static_cast<std::uint64_t>(std::clamp(factor != nullptr ? std::atoi(factor) : 1, 1, 900));
}

/// Draws that depend on the number of the point alone.
class Dice {
 public:
  explicit Dice(std::uint64_t point) : random_(7, Stream::test, 3, point) {}
  Index below(Index n) {
    std::uint32_t word = 0;
    random_.fill_bits(std::span(&word, 1), at_++);
    return static_cast<Index>(word % static_cast<std::uint32_t>(n));
  }
  /// Low ones as often as high ones, on a scale of factors.
  Index between(Index low, Index high) {
    const double share = static_cast<double>(below(1001)) / 1000.0;
    return std::clamp<Index>(std::lround(static_cast<double>(low) * std::pow(static_cast<double>(high) / static_cast<double>(low), share)),
                             low, high);
  }
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return *(list.begin() + below(isize(list.size())));
  }

 private:
  RandomStream random_;
  Index at_ = 0;
};

Shape shape_of(const Point& p) {
  if (p.kind == "photonic") return {2, 1, p.inputs};
  return p.kind == "cnn" ? Shape{2, 8, 8} : Shape{.width = p.inputs};
}

Config config_of(const Point& p) {
  Settings s = p.settings;
  s.emplace_back("seed", std::to_string(p.seed));
  s.emplace_back("model.kind", p.kind);
  s.emplace_back("objective.loss", p.loss);
  s.emplace_back("objective.scope", p.scope);
  s.emplace_back("preset", "paper");
  if (p.kind == "mlp") s.emplace_back("model.layers", "[" + std::to_string(p.width) + ", " + std::to_string(p.width) + "]");
  Config config = Config::parse("", "test", {.file = {}, .overrides = s});
  config.resolve({.regression = p.loss == "squared", .classes = p.classes, .train_size = 1000});
  return config;
}

Point drawn(std::uint64_t number, const std::string& kind, bool local = false) {
  Dice dice(number);
  Point p;
  p.kind = kind;
  p.seed = (number + number / 100) % 100;  // not of one kind of network always the same
  p.loss = dice.one_of<const char*>({"cross_entropy", "margin", "cosine", "n_pair", "squared"});
  p.classes = p.loss == "squared" ? 1 : dice.between(2, 64);
  p.batch = dice.between(1, 512);
  p.inputs = dice.between(1, 300);
  p.scope = dice.one_of<const char*>({"local", "local", "local", "end_to_end"});
  if (local) p.scope = "local";
  if (p.scope == "end_to_end" && p.loss != "squared") p.loss = "cross_entropy";
  auto& s = p.settings;
  if (kind == "mlp") {
    // Widths from the least, the number of classes, to 2,000; in groups each of them. A single output has no direction to turn to.
    const Index least = std::max<Index>(p.classes, 2);
    p.groups = p.scope == "local" ? dice.one_of<Index>({1, 1, 2, 5, 20}) : 1;
    const Index own = dice.below(3);
    const Index group = std::min<Index>(own == 0 ? least : dice.between(least, 2000), std::max<Index>(least, 2000 / p.groups));
    p.width = group * p.groups;
    if (p.groups > 1) s.emplace_back("model.groups", std::to_string(p.groups));
    s.emplace_back("model.activation", dice.one_of<const char*>({"none", "relu", "tanh"}));
    s.emplace_back("model.normalise", dice.one_of<const char*>({"none", "length", "centre_length"}));
  }
  if (kind == "cnn") {
    s.emplace_back("model.conv.channels", "[" + std::to_string(dice.between(1, 6)) + "]");
    s.emplace_back("model.conv.kernel", "[3]");
    if (p.scope == "local") s.emplace_back("model.conv.projection", std::to_string(dice.between(std::max<Index>(p.classes, 2), 80)));
    s.emplace_back("model.layers", "[" + std::to_string(dice.between(p.classes, 200)) + "]");
    p.batch = dice.between(2, 64);
  }
  if (kind == "photonic") {
    p.inputs = dice.between(p.classes + 1, 70);
    p.batch = dice.between(1, 32);
    s.emplace_back("model.mesh.layers", "1");
    if (p.scope == "local" && dice.below(3) == 0) s.emplace_back("model.mesh.parallel", "2");
    s.emplace_back("model.mesh.direction", dice.one_of<const char*>({"joint", "separate"}));
  }
  if (p.scope == "local" && kind != "photonic") s.emplace_back("model.local_loss_at", dice.one_of<const char*>({"pre", "post"}));
  s.emplace_back("objective.reduction", dice.one_of<const char*>({"sum", "mean"}));
  return p;
}

/// A batch of the point in both precisions: the numbers are those of float.
struct BatchData {
  Matrix<float> x;
  Matrix<double> exact_x;
  std::vector<std::int32_t> labels;
  std::vector<double> values;

  BatchData(const Point& p, Index columns) : x(normal_matrix<float>(p.batch, columns, p.seed + 5)) {
    if (p.kind != "photonic") x = x.cwiseAbs();
    if (p.loss == "squared")
      for (Index i = 0; i < p.batch; ++i) values.push_back(std::sin(static_cast<double>(i)));
    else
      labels = random_labels(p.batch, p.classes, p.seed + 6);
    x /= std::sqrt(static_cast<float>(columns));
    exact_x = x.cast<double>();
  }
  [[nodiscard]] Targets targets() const { return {.labels = labels, .values = values}; }
};

/// The same network in both precisions, parameters and prototypes those of float.
struct Twins {
  Config config;
  Executor executor{1};
  Network<float> single;
  Network<double> exact;
  Ledger ledger;
  std::vector<BlockSetup<float>> single_blocks;
  std::vector<BlockSetup<double>> exact_blocks;

  explicit Twins(const Point& p)
      : config(config_of(p)),
        single(build_network<float>(config, shape_of(p), p.classes, std::make_shared<const Executor>(1))),
        exact(build_network<double>(config, shape_of(p), p.classes, std::make_shared<const Executor>(1))),
        ledger(single.layers()) {
    NpzArchive archive;
    single.save(archive);
    exact.load(archive, "test");
    single_blocks = make_block_setups<float>(config.plan(single.layers()), single, 1000, executor, ledger);
    exact_blocks = make_block_setups<double>(config.plan(exact.layers()), exact, 1000, executor, ledger);
  }
};

struct Agreement {
  double cosine = 1.0, length = 1.0;
};

Agreement agreement(const Vector<float>& estimate, const Vector<double>& exact) {
  const Vector<double> e = estimate.cast<double>();
  const double a = e.norm(), b = exact.norm();
  return {.cosine = e.dot(exact) / (a * b), .length = a / b};
}

Distribution to_distribution(const std::string& word) {
  for (const Distribution d : {Distribution::rademacher, Distribution::hadamard, Distribution::coordinate})
    if (word == to_string(d)) return d;
  return Distribution::gaussian;
}

/// The slopes that a gradient promises, as if they had been measured: L(theta) = <g, theta>.
class Plane final : public ScalarFunction<double> {
 public:
  Plane(ParameterLayout layout, Vector<double> gradient) : layout_(std::move(layout)), gradient_(std::move(gradient)) {}
  [[nodiscard]] const ParameterLayout& layout() const override { return layout_; }
  [[nodiscard]] Index dimension() const override { return gradient_.size(); }
  void values(std::span<const double> theta, std::span<double> losses) const override {
    std::fill(losses.begin(), losses.end(), 0.0);
    for (const Unit& unit : layout_.units)
      for (const Segment& s : unit.segments)
        losses[usize(unit.group)] += as_vector(theta).segment(s.begin, s.size).dot(gradient_.segment(s.begin, s.size));
  }

 private:
  ParameterLayout layout_;
  Vector<double> gradient_;
};

/// The first block of the point: its estimator in float, and the exact gradient.
template <class Expect>
void check_block(const Point& p, Expect expect) {
  Twins twins(p);
  BlockSetup<float>& setup = twins.single_blocks[0];
  BlockSetup<double>& exact_setup = twins.exact_blocks[0];
  const BatchData data(p, shape_of(p).size());
  const auto theta = std::as_const(twins.single).theta(setup.first, setup.last);
  const auto exact_theta = std::as_const(twins.exact).theta(setup.first, setup.last);
  AdjointBlockLoss<double> exact(exact_setup.block, twins.executor, twins.ledger);
  exact.set_batch({.x = data.exact_x, .targets = data.targets()});
  Vector<double> gradient(isize(exact_theta.size()));
  static_cast<void>(exact.value_and_gradient(exact_theta, as_span(gradient)));
  ASSERT_TRUE(gradient.allFinite()) << p.name();
  const Batch<float> batch{.x = data.x, .targets = data.targets()};
  expect(twins, setup, batch, theta, gradient);
}

// A batch that all lies beyond the hinge, or outputs that are all dead, have no gradient to compare.
constexpr double kNothing = 1e-12;

void expect_the_gradient(const Point& p, double tolerance) {
  check_block(p, [&](Twins& twins, BlockSetup<float>& setup, const Batch<float>& batch, std::span<const float> theta,
                     const Vector<double>& gradient) {
    static_cast<void>(twins);
    Vector<float> estimate(gradient.size());
    static_cast<void>(setup.gradient->estimate(batch, theta, RandomStream(p.seed, Stream::direction), as_span(estimate)));
    ASSERT_TRUE(estimate.allFinite()) << p.name();
    if (gradient.norm() < kNothing) {
      EXPECT_LT(estimate.norm(), 1e-5F) << p.name();
      return;
    }
    const Agreement found = agreement(estimate, gradient);
    EXPECT_GT(found.cosine, 1.0 - tolerance) << p.name();
    EXPECT_NEAR(found.length, 1.0, 2.0 * tolerance) << p.name();
  });
}

TEST(EstimatorSweep, AdjointIsTheGradient) {
  for (std::uint64_t n = 0; n < points(100); ++n) {
    Point p = drawn(n, n % 5 == 0 ? "cnn" : n % 5 == 1 ? "photonic" : "mlp");
    p.settings.emplace_back("gradient.estimator", "adjoint");
    expect_the_gradient(p, 1e-3);
  }
}

TEST(EstimatorSweep, ActivityAlongPrototypesIsTheGradient) {
  for (std::uint64_t n = 0; n < points(80); ++n) {
    Point p = drawn(n + 100'000, n % 5 == 0 ? "cnn" : n % 5 == 1 ? "photonic" : "mlp", true);
    p.settings.emplace_back("gradient.estimator", "activity");
    p.settings.emplace_back("gradient.distribution", "prototypes");
    // Where outputs are few and short, 1e-3 is not short.
    p.settings.emplace_back("gradient.eps", "1e-5");
    expect_the_gradient(p, 5e-3);
  }
}

// As the gradient of the exact network promises: each slope for itself, and what the estimator makes of them all.
TEST(EstimatorSweep, DirectionsMeasureTheSlopesOfTheGradient) {
  for (std::uint64_t n = 0; n < points(100); ++n) {
    Point p = drawn(n + 300'000, n % 5 == 0 ? "cnn" : n % 5 == 1 ? "photonic" : "mlp");
    Dice dice(n + 400'000);
    const Index m = dice.one_of<Index>({1, 2, 4, 7, 16});
    const std::string distribution = dice.one_of<const char*>({"gaussian", "rademacher", "hadamard", "coordinate"});
    p.settings.emplace_back("gradient.estimator", "directional");
    p.settings.emplace_back("gradient.distribution", distribution);
    p.settings.emplace_back("gradient.directions", std::to_string(m));
    const bool aligned = m > 1 && dice.below(2) == 0, recycle = dice.below(3) == 0;
    if (aligned) p.settings.emplace_back("gradient.aggregation", "aligned");
    if (recycle) p.settings.emplace_back("gradient.recycle", "0.3");
    p.batch = std::min<Index>(p.batch, 64);
    check_block(p, [&](Twins& twins, BlockSetup<float>& setup, const Batch<float>& batch, std::span<const float> theta,
                       const Vector<double>& gradient) {
      if (gradient.norm() < kNothing) return;
      const ParameterLayout layout = setup.gradient->layout();
      const RandomStream random(p.seed, Stream::direction);
      AlignedMatrix<float> drawn_directions;
      drawn_directions.resize(m, gradient.size());
      fill_directions<float>(layout, to_distribution(distribution), random, twins.executor, drawn_directions.view());
      const Matrix<double> directions = drawn_directions.view().cast<double>();
      Plane plane(layout, gradient);
      Directional<double> expected(
          {.directions = m, .aggregation = aligned ? Aggregation::aligned : Aggregation::average, .recycle = recycle ? 0.3 : 0.0});
      Vector<double> promised(gradient.size());
      Vector<float> estimate(gradient.size());
      // With recycle the second step sees what the first one left.
      for (int step = 0; step < 2; ++step) {
        const Vector<double> zero = Vector<double>::Zero(gradient.size());
        static_cast<void>(expected.estimate_along(plane, as_span(zero), directions, twins.executor, as_span(promised)));
        static_cast<void>(setup.gradient->estimate(batch, theta, random, as_span(estimate)));
        ASSERT_TRUE(estimate.allFinite()) << p.name();
        // Slopes are some 1/sqrt(P) of the gradient: of an all but vanishing one rounding is left.
        if (promised.norm() < 1e-4 * gradient.norm()) continue;
        const Agreement found = agreement(estimate, promised);
        EXPECT_GT(found.cosine, 0.98) << p.name() << " step " << step;
        EXPECT_NEAR(found.length, 1.0, 0.1) << p.name() << " step " << step;
      }
    });
  }
}

// Random activity perturbations: float against double, draw by draw.
TEST(EstimatorSweep, RandomActivitiesAreThoseOfDouble) {
  for (std::uint64_t n = 0; n < points(60); ++n) {
    Point p = drawn(n + 500'000, n % 5 == 0 ? "cnn" : n % 5 == 1 ? "photonic" : "mlp", true);
    Dice dice(n + 600'000);
    p.settings.emplace_back("gradient.estimator", "activity");
    p.settings.emplace_back("gradient.distribution", dice.one_of<const char*>({"span", "full"}));
    p.settings.emplace_back("gradient.directions", std::to_string(dice.between(1, 8)));
    p.batch = std::min<Index>(p.batch, 64);
    Twins twins(p);
    const BatchData data(p, shape_of(p).size());
    const Index parameters = twins.single_blocks[0].block.parameter_count();
    Vector<float> single(parameters);
    Vector<double> exact(parameters);
    const RandomStream random(p.seed, Stream::direction);
    static_cast<void>(twins.single_blocks[0].gradient->estimate({.x = data.x, .targets = data.targets()},
                                                                std::as_const(twins.single).theta(0, 1), random, as_span(single)));
    static_cast<void>(twins.exact_blocks[0].gradient->estimate({.x = data.exact_x, .targets = data.targets()},
                                                               std::as_const(twins.exact).theta(0, 1), random, as_span(exact)));
    if (exact.norm() < kNothing) continue;
    const Agreement found = agreement(single, exact);
    EXPECT_GT(found.cosine, 0.999) << p.name();
    EXPECT_NEAR(found.length, 1.0, 5e-3) << p.name();
  }
}

TEST(EstimatorSweep, CoordinateIsTheGradientOfAMesh) {
  for (std::uint64_t n = 0; n < points(30); ++n) {
    Point p = drawn(n + 200'000, "photonic", true);
    p.settings.emplace_back("gradient.estimator", "coordinate");
    expect_the_gradient(p, 1e-3);
  }
}

// What users get at the first step: silent in every sound run, whatever its estimator, and not blind.
TEST(EstimatorSweep, TheCheckOfTheFirstStepIsSilentWhereNothingIsWrong) {
  Index blocks = 0, seen = 0;
  for (std::uint64_t n = 0; n < points(100); ++n) {
    Point p = drawn(n + 700'000, n % 5 == 0 ? "cnn" : n % 5 == 1 ? "photonic" : "mlp", n % 3 == 0);
    const std::string estimator = n % 3 == 0 ? "activity" : n % 3 == 1 ? "directional" : "adjoint";
    p.settings.emplace_back("gradient.estimator", estimator);
    if (estimator == "activity" && n % 2 == 0) p.settings.emplace_back("gradient.distribution", n % 4 == 0 ? "span" : "full");
    check_block(p, [&](Twins& twins, BlockSetup<float>& setup, const Batch<float>& batch, std::span<const float> theta,
                       const Vector<double>& gradient) {
      const RandomStream random(p.seed, Stream::direction);
      const Evaluations before = twins.ledger.total();
      EXPECT_NO_THROW(check_first_step<float>(setup, batch, theta, random, twins.executor, twins.ledger)) << p.name();
      const Evaluations after = twins.ledger.total();
      EXPECT_EQ(after.training, before.training) << p.name();
      EXPECT_EQ(after.pullbacks, before.pullbacks) << p.name();
      EXPECT_EQ(after.checks - before.checks, std::min<Index>(64, p.batch) * isize(setup.block.layers.size())) << p.name();
      EXPECT_GT(after.logging, before.logging) << p.name();
      if (gradient.norm() < kNothing) return;
      // The same with a gradient that points elsewhere.
      const Vector<float> wrong = -gradient.cast<float>();
      BlockLoss<float> loss(setup.block, twins.executor, twins.ledger);
      loss.set_batch(batch);
      ++blocks;
      if (check_slopes<float>(loss, theta, as_span(wrong), random, twins.executor).contradicts) ++seen;
    });
  }
  EXPECT_GT(seen, blocks * 7 / 10) << "of " << blocks;
}

}  // namespace
}  // namespace ffzero::test
