// What the head reads while a step is estimated.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/objective/adjoint_block_loss.hpp"
#include "support/many_blocks.hpp"

namespace ffzero {
namespace {

using test::Case;

/// What the head of a one-layer block sees at theta, map by map.
Matrix<double> head_input(const Case<double>& c, const Vector<double>& theta) {
  const Layer<double>& layer = c.block.layers[0];
  Matrix<double> current(c.x.rows(), layer.map->output_shape().size()), next;
  layer.map->forward(as_span(theta), c.x, current);
  for (const auto* map : layer.tail()) {
    next.resize(c.x.rows(), map->output_shape().size());
    map->forward({}, current, next);
    current = next;
  }
  return current;
}

std::vector<Case<double>> one_layer_cases() {
  return {test::mesh_case<double>("cross_entropy", false), test::mesh_case<double>("cross_entropy", true),
          test::conv_case<double>("margin", true),
          test::dense_case<double>("margin", Reduction::mean, {.activation = ActivationKind::relu, .loss_after_all = true})};
}

TEST(Reads, OfADirectionalStepAreThoseOfBothSides) {
  const Executor executor(2);
  for (const Case<double>& c : one_layer_cases()) {
    Ledger ledger(1);
    BlockLoss<double> loss(c.block.view(), executor, ledger);
    Reads<double> reads;
    Batch<double> batch = c.batch();
    batch.reads = &reads;
    const Matrix<double> directions = test::directions_for<double>(loss.layout(), 2, loss.dimension(), 9);
    for (int step = 0; step < 2; ++step) {  // a new batch starts from nothing
      loss.set_batch(batch);
      Differences out;
      loss.differences(as_span(c.block.theta), directions, 0.1, out);
      EXPECT_EQ(reads.evaluations, 4) << c.name;
      Matrix<double> expected = Matrix<double>::Zero(reads.sum.rows(), reads.sum.cols());
      for (Index j = 0; j < 2; ++j)
        for (const double eps : {0.1, -0.1}) expected += head_input(c, c.block.theta + eps * directions.row(j).transpose());
      EXPECT_LT((reads.sum - expected).cwiseAbs().maxCoeff(), 1e-11) << c.name;
    }
    EXPECT_EQ(ledger.layer(0).training, 2 * 4 * c.x.rows()) << c.name;
  }
}

TEST(Reads, OfAnExactStepAreThoseAtTheParameters) {
  const Executor executor(2);
  for (const Case<double>& c : one_layer_cases()) {
    Ledger ledger(1);
    AdjointBlockLoss<double> loss(c.block.view(), executor, ledger);
    Reads<double> reads;
    Batch<double> batch = c.batch();
    batch.reads = &reads;
    loss.set_batch(batch);
    Vector<double> gradient(loss.dimension());
    loss.value_and_gradient(as_span(c.block.theta), as_span(gradient));
    EXPECT_EQ(reads.evaluations, 1) << c.name;
    EXPECT_LT((reads.sum - head_input(c, c.block.theta)).cwiseAbs().maxCoeff(), 1e-12) << c.name;
    EXPECT_EQ(ledger.layer(0).training, c.x.rows()) << c.name;
  }
}

}  // namespace
}  // namespace ffzero
