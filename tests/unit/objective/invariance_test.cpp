// What a block's numbers must not depend on: the number of threads, the scope where heads coincide; and what they must not change.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/gradient/directional.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "support/many_blocks.hpp"

namespace ffzero {
namespace {

using test::Case;

template <class S>
struct Numbers {
  std::vector<double> values;
  Differences differences;
  Vector<S> estimate, gradient, activity;
  double logged = 0.0, loss = 0.0;
};

template <class S>
Numbers<S> numbers_of(const Case<S>& c, int threads) {
  const Executor executor(threads);
  Ledger ledger(isize(c.block.layers.size()));
  AdjointBlockLoss<S> loss(c.block.view(), executor, ledger);
  loss.set_batch(c.batch());
  Numbers<S> n;
  n.values.resize(usize(loss.layout().groups));
  loss.values(as_span(c.block.theta), n.values);
  loss.differences(as_span(c.block.theta), test::directions_for<S>(loss.layout(), 2, loss.dimension(), 9), 1e-3, n.differences);
  n.estimate.resize(loss.dimension());
  n.gradient.resize(loss.dimension());
  n.activity.setZero(loss.dimension());
  Directional<S> estimator({.directions = 3});
  n.logged = estimator.estimate(loss, as_span(c.block.theta), RandomStream(1, Stream::direction), executor, as_span(n.estimate));
  n.loss = loss.value_and_gradient(as_span(c.block.theta), as_span(n.gradient));
  if (c.block.view().head->kind() == "prototypes")
    loss.activity_gradient(as_span(c.block.theta), {.space = ActivitySpace::full, .directions = 2}, RandomStream(2, Stream::direction),
                           as_span(n.activity));
  return n;
}

template <class S>
void expect_same_bits_for_any_number_of_threads(std::vector<Case<S>> cases) {
  for (Case<S>& c : cases) {
    // Several shards.
    const Index classes = c.block.view().head->classes();
    c.draw(201, classes, 60);
    const Vector<S> before = c.block.theta;
    const Numbers<S> one = numbers_of(c, 1);
    for (const int threads : {2, 3}) {
      const Numbers<S> n = numbers_of(c, threads);
      EXPECT_EQ(n.values, one.values) << c.name;
      EXPECT_TRUE(n.differences.delta == one.differences.delta) << c.name;
      EXPECT_EQ(n.differences.mean_loss, one.differences.mean_loss) << c.name;
      EXPECT_TRUE(n.estimate == one.estimate) << c.name;
      EXPECT_TRUE(n.gradient == one.gradient) << c.name;
      EXPECT_TRUE(n.activity == one.activity) << c.name;
      EXPECT_EQ(n.logged, one.logged) << c.name;
      EXPECT_EQ(n.loss, one.loss) << c.name;
    }
    EXPECT_TRUE(c.block.theta == before) << c.name << ": estimation changed the parameters";
  }
}

TEST(Block, GivesTheSameBitsForAnyNumberOfThreadsInFloat) {
  expect_same_bits_for_any_number_of_threads<float>(
      {test::dense_case<float>("margin", Reduction::sum, {}), test::dense_case<float>("margin", Reduction::sum, {}, 16),
       test::dense_case<float>("cross_entropy", Reduction::mean, {.groups = 3, .activation = ActivationKind::relu}, 150),
       test::dense_case<float>(
           "cross_entropy", Reduction::mean,
           {.groups = 3, .activation = ActivationKind::relu, .normalise = NormaliseKind::centre_length, .loss_after_all = true}),
       test::dense_case<float>("squared", Reduction::mean, {.groups = 3}), test::conv_case<float>("margin", false),
       test::conv_case<float>("cross_entropy", true), test::mesh_case<float>("cosine", false),
       test::mesh_case<float>("cross_entropy", true), test::deep_case<float>(false), test::deep_case<float>(true)});
}

TEST(Block, GivesTheSameBitsForAnyNumberOfThreadsInDouble) {
  expect_same_bits_for_any_number_of_threads<double>(
      {test::dense_case<double>("margin", Reduction::sum, {.activation = ActivationKind::relu, .loss_after_all = true}),
       test::conv_case<double>("squared", false), test::mesh_case<double>("cosine", true), test::deep_case<double>(true)});
}

TEST(Block, MapsThatUseTheExecutorThemselvesGiveTheSameBits) {
  for (const bool after : {false, true}) {
    const auto run = [&](int threads, auto make) {
      auto c = make("margin", after, std::make_shared<const Executor>(threads));
      c.draw(70, 4, 61);
      return numbers_of(c, threads);
    };
    const auto conv = [](const char* loss, bool post, auto executor) { return test::conv_case<float>(loss, post, executor); };
    const auto mesh = [](const char* loss, bool post, auto executor) { return test::mesh_case<float>(loss, post, executor); };
    const auto same = [](const Numbers<float>& a, const Numbers<float>& b) {
      return a.values == b.values && a.differences.delta == b.differences.delta && a.estimate == b.estimate && a.gradient == b.gradient;
    };
    EXPECT_TRUE(same(run(1, conv), run(3, conv)));
    EXPECT_TRUE(same(run(1, mesh), run(3, mesh)));
  }
}

TEST(Block, OfOneLayerIsTheSameLocallyAndEndToEndWhereHeadsCoincide) {
  Case<double> local = test::dense_case<double>("cross_entropy", Reduction::mean, {});
  Case<double> whole = test::dense_case<double>("cross_entropy", Reduction::mean, {});
  local.block.head = whole.block.head = std::make_shared<LogitsHead<double>>(12, 4);
  whole.block.end_to_end = true;
  const Numbers<double> a = numbers_of(local, 1), b = numbers_of(whole, 1);
  EXPECT_NEAR(a.values[0], b.values[0], 1e-14);
  EXPECT_LT((a.differences.delta - b.differences.delta).cwiseAbs().maxCoeff(), 1e-14);
  EXPECT_LT((a.estimate - b.estimate).cwiseAbs().maxCoeff(), 1e-11);
  EXPECT_LT((a.gradient - b.gradient).cwiseAbs().maxCoeff(), 1e-14);
}

TEST(Block, DropoutMasksAreTheSameOnBothSidesAndOthersInTheNextStep) {
  const Case<double> c = test::deep_case<double>(false);
  const Executor executor(1);
  Ledger ledger(2);
  BlockLoss<double> loss(c.block.view(), executor, ledger);
  const auto value_at = [&](std::uint64_t step) {
    Batch<double> batch = c.batch();
    batch.dropout = batch.dropout.at(step);
    loss.set_batch(batch);
    double value = 0.0;
    loss.values(as_span(c.block.theta), {&value, 1});
    return value;
  };
  EXPECT_EQ(value_at(5), value_at(5));
  EXPECT_NE(value_at(5), value_at(6));
  std::vector<double> mask(20000);
  dropout_mask<double>(RandomStream(1, Stream::dropout), 0.3, mask);
  double mean = 0.0;
  for (const double m : mask) {
    ASSERT_TRUE(m == 0.0 || std::abs(m - 1.0 / 0.7) < 1e-15);
    mean += m / 20000.0;
  }
  EXPECT_NEAR(mean, 1.0, 5.0 * std::sqrt(0.3 / 0.7 / 20000.0));
}

}  // namespace
}  // namespace ffzero
