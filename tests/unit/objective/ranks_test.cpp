// Blocks that several ranks share out: the same bits and the same bill for any number of them.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/gradient/directional.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "support/many_blocks.hpp"
#include "support/thread_ranks.hpp"

namespace ffzero {
namespace {

using test::Case;

struct NumbersOfRank {
  std::vector<double> values, means;
  std::vector<Matrix<double>> deltas;
  std::vector<Vector<float>> estimates;
  std::vector<Evaluations> bill;
  bool operator==(const NumbersOfRank&) const = default;
};

NumbersOfRank numbers_of(const Case<float>& c, const std::shared_ptr<Exchange>& ranks, int threads) {
  const Executor executor(threads, ranks);
  Ledger ledger(isize(c.block.layers.size()));
  AdjointBlockLoss<float> loss(c.block.view(), executor, ledger);
  loss.set_batch(c.batch());
  NumbersOfRank n;
  n.values.resize(usize(loss.layout().groups));
  loss.values(as_span(c.block.theta), n.values);
  for (const Index m : {1, 2, 5}) {
    Differences differences;
    loss.differences(as_span(c.block.theta), test::directions_for<float>(loss.layout(), m, loss.dimension(), 9), 1e-3, differences);
    n.deltas.push_back(differences.delta);
    n.means.push_back(differences.mean_loss);
  }
  const auto keep = [&](double loss_of_log, const Vector<float>& gradient) {
    n.means.push_back(loss_of_log);
    n.estimates.push_back(gradient);
  };
  Vector<float> gradient = Vector<float>::Zero(loss.dimension());
  for (const Distribution distribution : {Distribution::gaussian, Distribution::hadamard}) {
    Directional<float> estimator({.directions = 3, .distribution = distribution});
    const RandomStream random(1, Stream::direction);
    keep(estimator.estimate(loss, as_span(c.block.theta), random, executor, as_span(gradient)), gradient);
  }
  if (c.block.view().head->kind() == "prototypes")
    for (const ActivitySpace space : {ActivitySpace::prototypes, ActivitySpace::span, ActivitySpace::full}) {
      const RandomStream random(2, Stream::direction);
      keep(loss.activity_gradient(as_span(c.block.theta), {.space = space, .directions = 2}, random, as_span(gradient)), gradient);
    }
  for (Index l = 0; l < ledger.layers(); ++l) n.bill.push_back(ledger.layer(l));
  return n;
}

/// Meshes side by side, whose groups have losses of their own.
Case<float> meshes_case() {
  Case<float> c = test::mesh_case<float>("margin", false);
  c.name = "parallel meshes";
  Layer<float>& layer = c.block.layers.front();
  layer.map = std::make_shared<ParallelMeshes<float>>(MeshLayout(6), 2);
  layer.passed_on.clear();
  layer.readout = std::make_shared<Intensity<float>>(12);
  layer.head = test::prototype_head<float>(12, 4, 2, 8, 1e-6);
  return c;
}

/// Widths at which products go other ways: long rows, many columns, prototypes too long to be packed.
Case<float> wide_case(Index inputs, Index outputs) {
  Case<float> c;
  c.name = "dense " + std::to_string(inputs) + " x " + std::to_string(outputs);
  c.block.layers.push_back(
      test::dense_layer<float>({.width = inputs}, outputs, 10, {.activation = ActivationKind::relu, .loss_after_all = true}));
  test::set_named_loss(c.block, "cross_entropy", Reduction::mean);
  return c;
}

/// Maps so large that a convolution takes them in pieces, by the number of directions that are convolved together.
Case<float> large_conv_case() {
  Case<float> c = test::conv_case<float>("margin", false);
  c.name = "large convolution";
  Layer<float>& layer = c.block.layers.front();
  layer.map = std::make_shared<ConvBatchNorm<float>>(ConvOptions{.input = {1, 20, 20}, .channels = 3, .kernel = 3});
  layer.passed_on.clear();
  layer.readout = std::make_shared<ChannelProjection<float>>(layer.map->output_shape(), 5, RandomStream(3, Stream::projection));
  return c;
}

std::vector<Case<float>> cases() {
  std::vector<Case<float>> all{
      wide_case(300, 40),
      wide_case(20, 300),
      test::dense_case<float>("margin", Reduction::sum, {}),
      test::dense_case<float>("cross_entropy", Reduction::mean, {.groups = 3, .activation = ActivationKind::relu, .loss_after_all = true}),
      test::dense_case<float>(
          "cross_entropy", Reduction::mean,
          {.groups = 3, .activation = ActivationKind::tanh, .normalise = NormaliseKind::centre_length, .loss_after_all = true}),
      test::dense_case<float>("squared", Reduction::mean, {.groups = 3}),
      test::conv_case<float>("margin", false),
      test::conv_case<float>("cross_entropy", true),
      test::conv_case<float>("squared", true),
      large_conv_case(),
      test::mesh_case<float>("cosine", false),
      test::mesh_case<float>("cross_entropy", true),
      meshes_case(),
      test::deep_case<float>(false),
      test::deep_case<float>(true),
      test::conv_network_case<float>(),
      test::mesh_network_case<float>()};
  return all;
}

void expect_same_bits_for_any_number_of_ranks(Index rows) {
  // Every rank has maps of its own.
  const auto run = [rows](const std::shared_ptr<Exchange>& ranks) {
    std::vector<NumbersOfRank> numbers;
    for (Case<float>& c : cases()) {
      c.draw(rows, c.block.view().head->classes(), 60);
      numbers.push_back(numbers_of(c, ranks, ranks->rank() == 1 ? 2 : 1));
    }
    return numbers;
  };
  const auto names = cases();
  const std::vector<NumbersOfRank> alone = run(std::make_shared<AloneExchange>());
  for (const int size : {2, 3, 4, 7})
    for (const auto& numbers : test::results_of_ranks<std::vector<NumbersOfRank>>(size, run))
      for (std::size_t i = 0; i < names.size(); ++i)
        EXPECT_TRUE(numbers[i] == alone[i]) << names[i].name << " on " << size << " ranks, " << rows << " samples";
}

TEST(Ranks, GiveTheSameBitsAndTheSameBillWhateverTheirNumber) { expect_same_bits_for_any_number_of_ranks(201); }

TEST(Ranks, MayBeMoreThanTheBatchHasPieces) { expect_same_bits_for_any_number_of_ranks(9); }

TEST(Ranks, ExchangeADifferenceForEveryShardDirectionAndGroup) {
  for (const auto& traffic : test::results_of_ranks<Exchange::Traffic>(3, [](const std::shared_ptr<Exchange>& ranks) {
         Case<float> c = test::dense_case<float>("margin", Reduction::mean, {.groups = 3});
         c.draw(256, 4, 60);
         const Executor executor(1, ranks);
         Ledger ledger(1);
         BlockLoss<float> loss(c.block.view(), executor, ledger);
         loss.set_batch(c.batch());
         Differences differences;
         loss.differences(as_span(c.block.theta), test::directions_for<float>(loss.layout(), 5, loss.dimension(), 9), 1e-3, differences);
         return ranks->traffic();
       })) {
    EXPECT_EQ(traffic.gathers, 1);
    EXPECT_EQ(traffic.bytes, 4 * 5 * (3 + 1) * 8);  // 4 shards, 5 directions; 3 groups and the loss of the log
  }
}

TEST(Ranks, ShareOutTheReadOutsOfActivityBySample) {
  for (const auto& traffic : test::results_of_ranks<Exchange::Traffic>(3, [](const std::shared_ptr<Exchange>& ranks) {
         Case<float> c = test::dense_case<float>("margin", Reduction::mean, {.groups = 3});
         c.draw(256, 4, 60);
         const Executor executor(1, ranks);
         Ledger ledger(1);
         AdjointBlockLoss<float> loss(c.block.view(), executor, ledger);
         loss.set_batch(c.batch());
         Vector<float> gradient(loss.dimension());
         loss.activity_gradient(as_span(c.block.theta), {}, RandomStream(2, Stream::direction), as_span(gradient));
         return ranks->traffic();
       })) {
    EXPECT_EQ(traffic.gathers, 1);
    EXPECT_EQ(traffic.bytes, 256 * 4 * 3 * 8);  // a nudge along every prototype, in every group
  }
}

}  // namespace
}  // namespace ffzero
