// Every fast path of a difference against plain evaluations at theta + eps d and theta - eps d.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/gradient/directional.hpp"
#include "ffzero/objective/block_loss.hpp"
#include "support/many_blocks.hpp"

namespace ffzero {
namespace {

using test::Case;

/// 2 m plain evaluations; groups of a joint loss one at a time.
template <class S>
Differences plain_differences(const BlockLoss<S>& loss, bool joint, const Vector<S>& theta, const Matrix<S>& directions, double eps) {
  const ParameterLayout& layout = loss.layout();
  Differences out;
  out.delta.setZero(directions.rows(), layout.groups);
  const Index turns = joint ? layout.groups : 1;
  for (Index j = 0; j < directions.rows(); ++j)
    for (Index turn = 0; turn < turns; ++turn)
      for (const int side : {+1, -1}) {
        Vector<S> moved = theta;
        for (const Unit& unit : layout.units)
          if (!joint || unit.group == turn)
            for (const Segment& s : unit.segments)
              moved.segment(s.begin, s.size) += static_cast<S>(side * eps) * directions.row(j).segment(s.begin, s.size).transpose();
        std::vector<double> losses(usize(joint ? 1 : layout.groups));
        loss.values(as_span(std::as_const(moved)), losses);
        for (std::size_t g = 0; g < losses.size(); ++g) {
          out.delta(j, joint ? turn : isize(g)) += side * losses[g];
          out.mean_loss += losses[g] / (2.0 * static_cast<double>(directions.rows() * turns));
        }
      }
  return out;
}

TEST(Differences, OfEveryFastPathEqualPlainEvaluations) {
  const Executor executor(2);
  for (const Case<double>& c : test::all_cases<double>()) {
    Ledger ledger(isize(c.block.layers.size()));
    BlockLoss<double> loss(c.block.view(), executor, ledger);
    loss.set_batch(c.batch());
    for (const double eps : {1e-3, 0.4}) {  // the large one moves many units of a relu across their kink
      const Matrix<double> directions = test::directions_for<double>(loss.layout(), 3, loss.dimension(), 9);
      Differences out;
      loss.differences(as_span(c.block.theta), directions, eps, out);
      const bool joint = c.block.loss->joint() && loss.layout().groups > 1;
      const Differences expected = plain_differences(loss, joint, c.block.theta, directions, eps);
      ASSERT_EQ(out.delta.rows(), expected.delta.rows()) << c.name;
      ASSERT_EQ(out.delta.cols(), expected.delta.cols()) << c.name;
      EXPECT_LT((out.delta - expected.delta).cwiseAbs().maxCoeff(), 1e-11 * (1.0 + std::abs(expected.mean_loss)))
          << c.name << " eps " << eps;
      EXPECT_NEAR(out.mean_loss, expected.mean_loss, 1e-11 * (1.0 + std::abs(expected.mean_loss))) << c.name << " eps " << eps;
    }
  }
}

TEST(Differences, OfGroupsAreTheirOwn) {
  // Moving one group alone changes that group's loss alone, by what the common evaluation said.
  std::vector<Case<double>> cases = test::dense_cases<double>();
  cases.push_back(test::conv_case<double>("margin", false));
  cases.push_back(test::conv_case<double>("cross_entropy", true));
  for (const Case<double>& c : cases) {
    const Executor executor(1);
    Ledger ledger(1);
    BlockLoss<double> loss(c.block.view(), executor, ledger);
    if (loss.layout().groups == 1 || c.block.loss->joint()) continue;
    loss.set_batch(c.batch());
    const Matrix<double> together = test::directions_for<double>(loss.layout(), 1, loss.dimension(), 3);
    Differences all;
    loss.differences(as_span(c.block.theta), together, 0.1, all);
    for (const Unit& unit : loss.layout().units) {
      Matrix<double> alone = Matrix<double>::Zero(1, loss.dimension());
      for (const Segment& s : unit.segments) alone.row(0).segment(s.begin, s.size) = together.row(0).segment(s.begin, s.size);
      Differences one;
      loss.differences(as_span(c.block.theta), alone, 0.1, one);
      for (Index g = 0; g < loss.layout().groups; ++g)
        EXPECT_NEAR(one.delta(0, g), g == unit.group ? all.delta(0, g) : 0.0, 1e-11) << c.name;
    }
  }
}

template <class S>
void expect_vanishing_sides_are_scored(ActivationKind activation, double tolerance) {
  // All units of a sample stand so close to their kink (or to zero) that one side of the difference vanishes or nearly does.
  const Index d = 6;
  const auto head = test::prototype_head<S>(d, 4, 1, 3);
  const Activation<S> act({.width = d}, activation);
  std::vector<const ForwardMap<S>*> tail;
  if (activation != ActivationKind::none) tail.push_back(&act);
  const PairScorer<S> scorer(tail, *head);
  ASSERT_TRUE(scorer.serves());
  scorer.begin_step();
  const double eps = 1e-3;
  for (const double left : {0.0, 1e-9, 1e-6, 1e-3}) {
    Matrix<S> p = test::normal_matrix<S>(5, d, 4).cwiseAbs(), z = (static_cast<S>(eps * (1.0 - left)) * p).eval();
    z(4, 0) = S{1};  // one sample that stays long
    typename PairScorer<S>::Workspace work;
    scorer.prepare(z, work);
    scorer.score(z, p, eps, work);
    for (const int side : {+1, -1}) {
      Matrix<double> moved = z.template cast<double>() + side * eps * p.template cast<double>(), scores(5, 4);
      if (activation == ActivationKind::relu) moved = moved.cwiseMax(0.0).eval();
      std::vector<Matrix<double>> prototypes{head->prototypes(0).template cast<double>()};
      for (Index i = 0; i < 5; ++i) {
        const double length = moved.row(i).norm();
        scores.row(i) = length == 0.0 ? Eigen::RowVectorXd::Zero(4) : Eigen::RowVectorXd(moved.row(i) * prototypes[0].transpose() / length);
      }
      const Matrix<double>& found = side > 0 ? work.plus : work.minus;
      EXPECT_LT((found - scores).cwiseAbs().maxCoeff(), tolerance) << to_string(activation) << " left " << left << " side " << side;
    }
  }
}

TEST(PairScorer, ScoresSidesThatVanish) {
  for (const ActivationKind activation : {ActivationKind::none, ActivationKind::relu}) {
    expect_vanishing_sides_are_scored<double>(activation, 1e-12);
    expect_vanishing_sides_are_scored<float>(activation, 1e-5);
  }
}

/// The worst |difference - exact| / typical |exact| over several batches, of the fast and of the plain float path. Exact: plain evaluations
/// in double at the same numbers.
struct FloatErrors {
  double fast = 0.0, plain = 0.0;
};

FloatErrors float_errors(ActivationKind activation, bool after, double scale) {
  const test::DenseOptions options{.activation = activation, .loss_after_all = after};
  Case<float> single;
  Case<double> exact;
  single.block.layers.push_back(test::dense_layer<float>({.width = 200}, 100, 10, options));
  exact.block.layers.push_back(test::dense_layer<double>({.width = 200}, 100, 10, options));
  single.block.set_loss(test::kMargin, Reduction::sum);
  exact.block.set_loss(test::kMargin, Reduction::sum);
  single.draw(256, 10, 5);
  exact.draw(256, 10, 5);
  single.block.theta *= static_cast<float>(scale);
  exact.block.theta = single.block.theta.cast<double>();
  exact.x = single.x.cast<double>();
  // The double head sees the float head's prototypes, so that arithmetic alone differs.
  const auto from = single.block.layers[0].head->state();
  const auto to = exact.block.layers[0].head->state();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(from[i]);

  const Executor executor(2);
  Ledger ledger(1);
  BlockLoss<float> loss(single.block.view(), executor, ledger);
  BlockLoss<double> reference(exact.block.view(), executor, ledger);
  loss.set_batch(single.batch());
  reference.set_batch(exact.batch());
  const Matrix<float> directions = test::directions_for<float>(loss.layout(), 16, loss.dimension(), 6);
  Differences fast, plain, truth;
  loss.differences(as_span(std::as_const(single.block.theta)), directions, 1e-3, fast);
  loss.ScalarFunction<float>::differences(as_span(std::as_const(single.block.theta)), directions, 1e-3, plain);
  reference.ScalarFunction<double>::differences(as_span(std::as_const(exact.block.theta)), directions.cast<double>(), 1e-3, truth);
  const double typical = std::sqrt(truth.delta.squaredNorm() / 16.0);
  return {.fast = (fast.delta - truth.delta).cwiseAbs().maxCoeff() / typical,
          .plain = (plain.delta - truth.delta).cwiseAbs().maxCoeff() / typical};
}

TEST(Differences, InFloatKeepTheirDigitsWherePlainOnesLoseThem) {
  for (const auto& [activation, after] : {std::pair(ActivationKind::none, false), std::pair(ActivationKind::relu, true)})
    for (const double scale : {1.0, 10.0, 75.0}) {  // the first steps of the paper's settings make weights 75 times longer
      const FloatErrors e = float_errors(activation, after, scale);
      EXPECT_LT(e.fast, 5e-5) << to_string(activation) << " at scale " << scale;
      EXPECT_GT(e.plain, 10.0 * e.fast) << to_string(activation) << " at scale " << scale << ": " << e.plain;
    }
}

TEST(Differences, OfCoordinatesAreTheExactGradient) {
  for (const Case<double>& c : test::all_cases<double>()) {
    const Executor executor(1);
    Ledger ledger(isize(c.block.layers.size()));
    BlockLoss<double> loss(c.block.view(), executor, ledger);
    loss.set_batch(c.batch());
    const double eps = 1e-5;
    Matrix<double> directions = Matrix<double>::Zero(4, loss.dimension());
    const Unit& unit = loss.layout().units.back();
    for (Index j = 0; j < 4; ++j) directions(j, unit.segments.front().begin + j % unit.segments.front().size) = 1.0;
    Differences out;
    loss.differences(as_span(c.block.theta), directions, eps, out);
    const bool joint = c.block.loss->joint() && loss.layout().groups > 1;
    const Differences finer = plain_differences(loss, joint, c.block.theta, directions, eps / 8.0);
    for (Index j = 0; j < 4; ++j)
      EXPECT_NEAR(out.delta(j, unit.group) / (2.0 * eps), finer.delta(j, unit.group) / (0.25 * eps), 2e-7 * (1.0 + std::abs(out.mean_loss)))
          << c.name;
  }
}

TEST(Differences, OfOneLossAreTheSumOverTheGroups) {
  const Executor executor(2);
  int seen = 0;
  for (const Case<double>& c : test::all_cases<double>()) {
    const auto grouped_view = c.block.view();
    auto view = grouped_view;
    view.one_loss = true;
    Ledger ledger(isize(c.block.layers.size()));
    BlockLoss<double> grouped(grouped_view, executor, ledger), one(view, executor, ledger);
    EXPECT_EQ(one.layout().groups, 1) << c.name;
    if (grouped.layout().groups == 1 || c.block.loss->joint()) continue;
    ++seen;
    grouped.set_batch(c.batch());
    one.set_batch(c.batch());
    const Matrix<double> directions = test::directions_for<double>(one.layout(), 3, one.dimension(), 11);
    Differences apart, together, plain;
    grouped.differences(as_span(c.block.theta), directions, 1e-3, apart);
    const std::int64_t before = ledger.total().training;
    one.differences(as_span(c.block.theta), directions, 1e-3, together);
    EXPECT_EQ(ledger.total().training - before, before) << c.name << ": one number costs what many cost";
    one.ScalarFunction<double>::differences(as_span(c.block.theta), directions, 1e-3, plain);
    ASSERT_EQ(together.delta.cols(), 1) << c.name;
    for (Index j = 0; j < 3; ++j) {
      EXPECT_NEAR(together.delta(j, 0), apart.delta.row(j).sum(), 1e-12) << c.name;
      EXPECT_NEAR(together.delta(j, 0), plain.delta(j, 0), 1e-11 * (1.0 + std::abs(plain.mean_loss))) << c.name;
    }
  }
  EXPECT_GE(seen, 2);
}

TEST(Differences, AreBilledAsTheDeviceWouldBe) {
  const Executor executor(2);
  for (const Case<double>& c : test::all_cases<double>()) {
    Ledger ledger(isize(c.block.layers.size()) + 3);
    auto view = c.block.view();
    view.first_layer = 2;
    BlockLoss<double> loss(view, executor, ledger);
    loss.set_batch(c.batch());
    Differences out;
    loss.differences(as_span(c.block.theta), test::directions_for<double>(loss.layout(), 5, loss.dimension(), 9), 1e-3, out);
    const bool joint = c.block.loss->joint();
    const std::int64_t expected = 2 * 5 * c.x.rows() * (joint ? loss.layout().groups : 1);
    EXPECT_EQ(ledger.layer(0).training, 0) << c.name;
    for (std::size_t l = 0; l < c.block.layers.size(); ++l) EXPECT_EQ(ledger.layer(2 + isize(l)).training, expected) << c.name;
    EXPECT_EQ(ledger.total().training, expected * isize(c.block.layers.size())) << c.name;
    EXPECT_EQ(ledger.total().logging + ledger.total().propagation + ledger.total().pullbacks, 0) << c.name;
  }
}

TEST(BlockLoss, RefusesAHeadOfAnotherSize) {
  Case<double> c = test::dense_case<double>("margin", Reduction::sum, {});
  c.block.head = test::prototype_head<double>(11, 4, 1, 1);
  const Executor executor(1);
  Ledger ledger(1);
  EXPECT_THROW(BlockLoss<double>(c.block.view(), executor, ledger), Error);
}

TEST(Differences, AlongHadamardDirectionsEqualPlainEvaluations) {
  const Executor executor(2);
  Index served = 0;
  for (const Case<double>& c : test::all_cases<double>()) {
    Ledger ledger(isize(c.block.layers.size()));
    BlockLoss<double> loss(c.block.view(), executor, ledger);
    loss.set_batch(c.batch());
    const bool joint = c.block.loss->joint() && loss.layout().groups > 1;
    for (const Index m : {3, 10, 21}) {
      served += loss.serves_hadamard(m) ? 1 : 0;
      const RandomStream random(3, Stream::direction);
      Matrix<double> directions(m, loss.dimension());
      fill_directions<double>(loss.layout(), Distribution::hadamard, random, executor, directions);
      const Vector<double> signs = directions.row(0).transpose();
      Differences out;
      const std::int64_t before = ledger.total().training;
      loss.hadamard_differences(as_span(c.block.theta), as_span(signs), m, 0.1, out);
      const std::int64_t billed = ledger.total().training - before;
      const Differences expected = plain_differences(loss, joint, c.block.theta, directions, 0.1);
      ASSERT_EQ(out.delta.rows(), m) << c.name;
      EXPECT_LT((out.delta - expected.delta).cwiseAbs().maxCoeff(), 1e-11 * (1.0 + std::abs(expected.mean_loss))) << c.name << " m " << m;
      EXPECT_NEAR(out.mean_loss, expected.mean_loss, 1e-11 * (1.0 + std::abs(expected.mean_loss))) << c.name << " m " << m;
      EXPECT_EQ(ledger.total().training - before - billed, billed) << c.name << ": a shortcut is billed as what it stands for";

      Directional<double> estimator({.directions = m, .eps = 0.1, .distribution = Distribution::hadamard});
      Vector<double> fast(loss.dimension()), plain(loss.dimension());
      estimator.estimate(loss, as_span(c.block.theta), random, executor, as_span(fast));
      estimator.estimate_along(loss, as_span(c.block.theta), directions, executor, as_span(plain));
      EXPECT_LT((fast - plain).cwiseAbs().maxCoeff(), 1e-9 * (1.0 + plain.cwiseAbs().maxCoeff())) << c.name << " m " << m;
    }
  }
  EXPECT_GT(served, 10) << "no case takes the shortcut";
}

}  // namespace
}  // namespace ffzero
