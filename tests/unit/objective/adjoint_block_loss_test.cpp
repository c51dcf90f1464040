// Exact gradients of whole blocks against central differences of their values.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/adjoint_block_loss.hpp"

#include <gtest/gtest.h>

#include "ffzero/gradient/directional.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/many_blocks.hpp"

namespace ffzero {
namespace {

using test::Case;

struct Bound {
  explicit Bound(const Case<double>& c, int threads = 1)
      : executor(threads), ledger(isize(c.block.layers.size())), loss(c.block.view(), executor, ledger) {
    loss.set_batch(c.batch());
  }
  double value(const Vector<double>& theta) {
    std::vector<double> losses(usize(loss.layout().groups));
    loss.values(as_span(theta), losses);
    double sum = 0.0;
    for (const double l : losses) sum += l;
    return sum;
  }
  Executor executor;
  Ledger ledger;
  AdjointBlockLoss<double> loss;
};

TEST(AdjointBlockLoss, HasTheGradientOfItsValuesForEveryMapTailLossAndHead) {
  for (const Case<double>& c : test::all_cases<double>()) {
    Bound bound(c);
    Vector<double> g(c.block.theta.size());
    const double value = bound.loss.value_and_gradient(as_span(c.block.theta), as_span(g));
    EXPECT_NEAR(value, bound.value(c.block.theta), 1e-12 * (1.0 + value)) << c.name;
    std::vector<bool> covered(usize(g.size()));
    for (const Unit& unit : bound.loss.layout().units)
      for (const Segment& s : unit.segments) std::fill_n(covered.begin() + s.begin, s.size, true);
    for (Index i = 0; i < g.size(); ++i) {
      if (!covered[usize(i)]) {
        EXPECT_EQ(g[i], 0.0) << c.name << ": a parameter of no unit";
        continue;
      }
      const double expected = test::numeric_derivative([&](const Vector<double>& at) { return bound.value(at); }, c.block.theta, i, 1e-5);
      ASSERT_NEAR(g[i], expected, 2e-8 * (1.0 + std::abs(value))) << c.name << ", entry " << i;
    }
  }
}

TEST(AdjointBlockLoss, ShardsOfALargeBatchAddUp) {
  Case<double> whole =
      test::dense_case<double>("margin", Reduction::sum, {.activation = ActivationKind::tanh, .loss_after_all = true}, 300);
  Bound bound(whole, 2);
  Vector<double> g(whole.block.theta.size()), sum = Vector<double>::Zero(g.size()), part(g.size());
  const double value = bound.loss.value_and_gradient(as_span(whole.block.theta), as_span(g));
  double values = 0.0;
  for (Index i = 0; i < 300; ++i) {
    const std::span<const std::int32_t> labels(whole.labels);
    bound.loss.set_batch({.x = whole.x.middleRows(i, 1), .targets = {.labels = labels.subspan(usize(i), 1), .values = {}}});
    values += bound.loss.value_and_gradient(as_span(whole.block.theta), as_span(part));
    sum += part;
  }
  EXPECT_NEAR(value, values, 1e-10);
  EXPECT_LT((g - sum).cwiseAbs().maxCoeff(), 1e-10);
}

TEST(AdjointBlockLoss, IsTheLimitOfTheDirectionalEstimatorOverAllCoordinates) {
  for (const Case<double>& c : test::all_cases<double>()) {
    Bound bound(c);
    Index largest = 0;
    for (const Unit& unit : bound.loss.layout().units) largest = std::max(largest, unit.size());
    Vector<double> exact(c.block.theta.size()), g(exact.size());
    const double value = bound.loss.value_and_gradient(as_span(c.block.theta), as_span(exact));
    // The size of every unit differs, so a mean over `largest` coordinates fits the largest unit alone; the others come round again.
    bool one_size = true;
    for (const Unit& unit : bound.loss.layout().units) one_size = one_size && unit.size() == largest;
    if (!one_size) continue;
    Directional<double> estimator({.directions = largest, .eps = 1e-5, .distribution = Distribution::coordinate});
    estimator.estimate(bound.loss, as_span(c.block.theta), RandomStream(1, Stream::direction), bound.executor, as_span(g));
    EXPECT_LT((g - exact).cwiseAbs().maxCoeff(), 1e-7 * (1.0 + std::abs(value))) << c.name;
  }
}

TEST(AdjointBlockLoss, BillsOneEvaluationAndOnePullbackPerLayer) {
  const Case<double> c = test::deep_case<double>(false);
  Bound bound(c);
  Vector<double> g(c.block.theta.size());
  bound.loss.value_and_gradient(as_span(c.block.theta), as_span(g));
  for (Index l = 0; l < 2; ++l) {
    EXPECT_EQ(bound.ledger.layer(l).training, c.x.rows());
    EXPECT_EQ(bound.ledger.layer(l).pullbacks, c.x.rows());
  }
}

/// A bench: it can be evaluated, and that is all.
class Bench final : public ForwardMap<double> {
 public:
  [[nodiscard]] Shape input_shape() const override { return {.width = 3}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = 3}; }
  [[nodiscard]] Index parameter_count() const override { return 3; }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& x, MatrixRef<double> y) const override {
    y = x * as_vector(theta).asDiagonal();
  }
  [[nodiscard]] std::string kind() const override { return "bench"; }
};

TEST(AdjointBlockLoss, RefusesForwardOnlyMapsNamingLayerAndRemedy) {
  test::TestBlock<double> block;
  Layer<double> layer;
  layer.map = std::make_shared<Bench>();
  layer.head = test::prototype_head<double>(3, 2, 1, 1);
  block.layers.push_back(layer);
  block.set_loss(test::kCosine, Reduction::mean);
  block.first_layer = 4;
  const Executor executor(1);
  Ledger ledger(5);
  EXPECT_EQ(test::message_of<ConfigError>([&] { AdjointBlockLoss<double>(block.view(), executor, ledger); }),
            "gradient.estimator: this estimator needs maps with an adjoint; got layer 4 ('bench'), which is forward-only; "
            "use gradient.estimator = \"directional\" for that layer");
  EXPECT_NO_THROW(BlockLoss<double>(block.view(), executor, ledger));
}

}  // namespace
}  // namespace ffzero
