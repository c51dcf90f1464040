// Activity perturbation: exact at full rank, unbiased at random, billed as read-outs.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/activity.hpp"

#include <gtest/gtest.h>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "support/many_blocks.hpp"

namespace ffzero {
namespace {

using test::Case;

struct Setting {
  std::string name;
  Index classes, dimension, groups;
  double floor;
};

const std::vector<Setting> kSettings{
    {"wide", 4, 9, 1, 0.0}, {"tight", 4, 4, 1, 0.0}, {"grouped", 3, 5, 3, 0.0}, {"floored", 4, 9, 1, 1e-6}, {"two classes", 2, 6, 1, 0.0}};

Matrix<double> exact_output_gradient(const Head<double>& head, const Loss<double>& loss, const Matrix<double>& a, const Targets& targets) {
  Matrix<double> s(a.rows(), head.groups() * head.classes()), gs(s.rows(), s.cols()), gz(a.rows(), a.cols());
  head.scores(a, s);
  loss.gradient(s, head.classes(), targets, gs);
  head.pullback(a, gs, gz);
  return gz;
}

TEST(Activity, AlongAllPrototypesIsTheExactOutputGradient) {
  for (const Setting& s : kSettings)
    for (const char* name : {"cosine", "cross_entropy", "squared"}) {
      const Index classes = test::classes_of(name, s.classes);
      const auto head = test::prototype_head<double>(s.dimension * s.groups, classes, s.groups, 4, s.floor);
      test::TestBlock<double> holder;
      test::set_named_loss(holder, name, Reduction::sum);
      const Matrix<double> a = test::normal_matrix(8, s.dimension * s.groups, 5);
      const auto labels = test::random_labels(8, classes, 6);
      const std::vector<double> values{0.3, -0.2, 0.9, -0.9, 0.0, 0.5, -0.5, 0.1};
      const Targets targets = holder.loss->joint() ? Targets{.labels = {}, .values = values} : Targets{.labels = labels, .values = {}};
      const Matrix<double> exact = exact_output_gradient(*head, *holder.loss, a, targets);
      double last = 0.0;
      for (const double eps : {1e-2, 1e-3, 1e-4}) {
        Matrix<double> gz(a.rows(), a.cols());
        activity_output_gradient<double>({.head = *head, .loss = *holder.loss, .perturbation = {.eps = eps}}, a, targets,
                                         RandomStream(1, Stream::direction), 0, gz);
        last = (gz - exact).cwiseAbs().maxCoeff() / exact.cwiseAbs().maxCoeff();
        EXPECT_LT(last, 300.0 * eps * eps + 1e-9) << s.name << " " << name << " eps " << eps;
      }
    }
}

/// What training sees in float, and the exact gradient in double of the very same numbers. returns the worst deviation of a row.
double deviation_in_float(const std::vector<Matrix<double>>& prototypes, Index rows, std::uint64_t seed) {
  const PrototypeHead<float> head(prototypes);
  std::vector<Matrix<double>> rounded;
  for (Index g = 0; g < head.groups(); ++g) rounded.emplace_back(head.prototypes(g).cast<double>());
  const PrototypeHead<double> same(rounded);
  const auto loss = make_cross_entropy_loss<double>(0.2, 0.05);
  const Matrix<float> a = test::normal_matrix<float>(rows, head.input_size(), seed);
  const auto labels = test::random_labels(rows, head.classes(), seed);
  const Targets targets{.labels = labels, .values = {}};
  Matrix<float> gz(rows, head.input_size());
  activity_output_gradient<float>({.head = head, .loss = *loss, .perturbation = {.eps = 1e-3}}, a, targets,
                                  RandomStream(1, Stream::direction), 0, gz);
  const Matrix<double> exact = exact_output_gradient(same, *loss, a.cast<double>(), targets);
  double worst = 0.0;
  for (Index b = 0; b < rows; ++b) worst = std::max(worst, (gz.row(b).cast<double>() - exact.row(b)).norm() / exact.row(b).norm());
  return worst;
}

// Prototypes of a simplex add up to zero, so their Gram matrix is singular, and rounding to float hides it.
TEST(Activity, IsExactInFloatForAnyNumberOfClassesAndAnySeed) {
  // Every seed with few classes; of many, which take longer, every number of them with some of the seeds.
  for (Index classes = 2; classes <= 64; ++classes)
    for (const Index spare : {0, 1, 60})
      for (std::uint64_t seed = classes <= 10 ? 0 : static_cast<std::uint64_t>(classes % 25); seed < 100; seed += classes <= 10 ? 1 : 25) {
        const std::vector<Matrix<double>> simplex{simplex_prototypes(classes, classes + spare, RandomStream(seed, Stream::prototype))};
        EXPECT_LT(deviation_in_float(simplex, 3, seed), 2e-3) << classes << " classes, " << spare << " spare outputs, seed " << seed;
      }
}

TEST(Activity, IsExactInFloatForPrototypesOfNoSimplex) {
  for (const Index classes : {3, 5, 9})
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Matrix<double> random = test::normal_matrix(classes, 20, seed);
      random.rowwise().normalize();
      EXPECT_LT(deviation_in_float({random}, 3, seed), 2e-3) << classes << " random ones, seed " << seed;
      // One of them depends on the others, but for its rounding.
      Matrix<double> dependent = random;
      dependent.row(classes - 1) = (dependent.row(0) + 0.3 * dependent.row(1)).normalized();
      EXPECT_LT(deviation_in_float({dependent}, 3, seed), 2e-3) << classes << " dependent ones, seed " << seed;
      // As many as dimensions: no activation has a part outside their span.
      Matrix<double> full = test::normal_matrix(classes, classes, seed);
      full.diagonal().array() += 3.0;
      full.rowwise().normalize();
      EXPECT_LT(deviation_in_float({full, random.leftCols(classes).rowwise().normalized()}, 3, seed), 2e-2) << classes << " seed " << seed;
      // A simplex that was projected to fewer dimensions than it spans.
      const Matrix<double> flat = simplex_vertices(classes, classes) * test::normal_matrix(classes, 2, seed);
      EXPECT_LT(deviation_in_float({flat.rowwise().normalized()}, 3, seed), 2e-2) << classes << " flat ones, seed " << seed;
    }
}

TEST(Activity, AlongPrototypesFollowsTheMarginLossOffItsKinks) {
  const auto head = test::prototype_head<double>(9, 4, 1, 4);
  const auto loss = make_margin_loss<double>();
  const Matrix<double> a = test::normal_matrix(30, 9, 7);
  const auto labels = test::random_labels(30, 4, 8);
  const Targets targets{.labels = labels, .values = {}};
  Matrix<double> gz(30, 9);
  activity_output_gradient<double>({.head = *head, .loss = *loss, .perturbation = {.eps = 1e-6}}, a, targets,
                                   RandomStream(1, Stream::direction), 0, gz);
  EXPECT_LT((gz - exact_output_gradient(*head, *loss, a, targets)).cwiseAbs().maxCoeff(), 1e-6);
}

// A difference across 0, where similarities jump, would be as long as 1 / eps.
TEST(Activity, OfAnActivationOfZeroIsZeroAsTheExactGradient) {
  const auto head = test::prototype_head<float>(10, 4, 2, 4);
  const auto loss = make_cross_entropy_loss<double>(0.2);
  Matrix<float> a = test::normal_matrix<float>(3, 10, 7);
  a.row(1).setZero();
  a.row(2).tail(5).setZero();  // the second group alone
  const std::vector<std::int32_t> labels{0, 1, 2};
  for (const ActivitySpace space : {ActivitySpace::prototypes, ActivitySpace::span, ActivitySpace::full}) {
    Matrix<float> gz(3, 10);
    activity_output_gradient<float>({.head = *head, .loss = *loss, .perturbation = {.space = space}}, a, {.labels = labels, .values = {}},
                                    RandomStream(1, Stream::direction), 0, gz);
    EXPECT_TRUE(gz.row(1).isZero(0.0F) && gz.row(2).tail(5).isZero(0.0F));
    EXPECT_GT(gz.row(2).head(5).norm(), 0.0F);
    EXPECT_GT(gz.row(0).tail(5).norm(), 0.0F);
  }
}

TEST(Activity, ZeroAndClampedActivationsGiveFiniteGradients) {
  const auto head = test::prototype_head<double>(9, 4, 1, 4, 1e-6);
  const auto loss = make_cosine_loss<double>();
  Matrix<double> a = Matrix<double>::Zero(2, 9);
  a.row(1).setConstant(1e-9);
  const std::vector<std::int32_t> labels{0, 1};
  for (const ActivitySpace space : {ActivitySpace::prototypes, ActivitySpace::span, ActivitySpace::full}) {
    Matrix<double> gz(2, 9);
    activity_output_gradient<double>({.head = *head, .loss = *loss, .perturbation = {.space = space}}, a, {.labels = labels, .values = {}},
                                     RandomStream(1, Stream::direction), 0, gz);
    EXPECT_TRUE(gz.allFinite());
  }
}

/// The projection onto the span of the prototypes, group by group.
Matrix<double> in_span(const PrototypeHead<double>& head, const Matrix<double>& g) {
  Matrix<double> out(g.rows(), g.cols());
  const Index d = head.dimension();
  for (Index k = 0; k < head.groups(); ++k) {
    const Matrix<double> r = head.prototypes(k);
    const Matrix<double> gram = r * r.transpose();
    const Matrix<double> projector = r.transpose() * gram.completeOrthogonalDecomposition().pseudoInverse() * r;
    out.middleCols(k * d, d) = g.middleCols(k * d, d) * projector;
  }
  return out;
}

TEST(Activity, RandomDirectionsAreUnbiasedInTheirSpace) {
  for (const Index groups : {1, 2})
    for (const char* name : {"cross_entropy", "squared"})
      for (const ActivitySpace space : {ActivitySpace::full, ActivitySpace::span}) {
        const Index classes = test::classes_of(name, 4);
        const auto head = test::prototype_head<double>(6 * groups, classes, groups, 9);
        test::TestBlock<double> holder;
        test::set_named_loss(holder, name, Reduction::sum);
        const Matrix<double> a = test::normal_matrix(2, 6 * groups, 10);
        const std::vector<std::int32_t> labels{1, 3};
        const std::vector<double> values{0.5, -0.6};
        const Targets targets = holder.loss->joint() ? Targets{.labels = {}, .values = values} : Targets{.labels = labels, .values = {}};
        const Matrix<double> exact = exact_output_gradient(*head, *holder.loss, a, targets);
        const Matrix<double> expected = space == ActivitySpace::full ? exact : in_span(*head, exact);
        const Index draws = 4000;
        Matrix<double> sum = Matrix<double>::Zero(a.rows(), a.cols()), squares = sum, gz = sum;
        for (Index t = 0; t < draws; ++t) {
          activity_output_gradient<double>(
              {.head = *head, .loss = *holder.loss, .perturbation = {.space = space, .directions = 2, .eps = 1e-4}}, a, targets,
              RandomStream(11, Stream::direction, 0, static_cast<std::uint64_t>(t)), 0, gz);
          sum += gz;
          squares += gz.cwiseProduct(gz);
        }
        const auto n = static_cast<double>(draws);
        for (Index i = 0; i < a.rows(); ++i)
          for (Index k = 0; k < a.cols(); ++k) {
            const double mean = sum(i, k) / n, error = std::sqrt(std::max(0.0, squares(i, k) / n - mean * mean) / n);
            EXPECT_NEAR(mean, expected(i, k), 5.0 * error + 1e-6)
                << name << " groups " << groups << " full " << (space == ActivitySpace::full);
          }
      }
}

TEST(Activity, DrawsDependOnTheRowAndNotOnTheShard) {
  const auto head = test::prototype_head<double>(9, 4, 1, 4);
  const auto loss = make_cosine_loss<double>();
  const Matrix<double> a = test::normal_matrix(10, 9, 7);
  const auto labels = test::random_labels(10, 4, 8);
  const Targets targets{.labels = labels, .values = {}};
  const ActivityOptions<double> options{.head = *head, .loss = *loss, .perturbation = {.space = ActivitySpace::full, .directions = 2}};
  Matrix<double> whole(10, 9), part(4, 9);
  activity_output_gradient<double>(options, a, targets, RandomStream(1, Stream::direction), 0, whole);
  activity_output_gradient<double>(options, a.middleRows(6, 4), targets.rows(6, 4), RandomStream(1, Stream::direction), 6, part);
  EXPECT_TRUE(part == whole.middleRows(6, 4));
}

TEST(Activity, ParameterGradientAtFullRankIsTheAdjoint) {
  for (const Case<double>& c : test::all_cases<double>()) {
    if (c.block.end_to_end) continue;
    const Executor executor(2);
    Ledger ledger(isize(c.block.layers.size()));
    AdjointBlockLoss<double> loss(c.block.view(), executor, ledger);
    loss.set_batch(c.batch());
    Vector<double> exact(c.block.theta.size()), g(exact.size());
    const double value = loss.value_and_gradient(as_span(c.block.theta), as_span(exact));
    const auto before = ledger.total();
    const double logged = loss.activity_gradient(as_span(c.block.theta), {.space = ActivitySpace::prototypes, .eps = 1e-6},
                                                 RandomStream(1, Stream::direction), as_span(g));
    EXPECT_NEAR(logged, value, 1e-12 * (1.0 + value)) << c.name;
    EXPECT_LT((g - exact).cwiseAbs().maxCoeff(), 1e-6 * (1.0 + exact.cwiseAbs().maxCoeff())) << c.name;
    const Head<double>& head = *c.block.view().head;
    const std::int64_t reads = 1 + 2 * head.classes() * (c.block.loss->joint() ? head.groups() : 1);
    EXPECT_EQ(ledger.total().training - before.training, reads * c.x.rows() * isize(c.block.layers.size())) << c.name;
  }
}

TEST(Activity, RefusesRawOutputs) {
  const Case<double> c = test::deep_case<double>(true);
  const Executor executor(1);
  Ledger ledger(2);
  AdjointBlockLoss<double> loss(c.block.view(), executor, ledger);
  loss.set_batch(c.batch());
  Vector<double> g(c.block.theta.size());
  EXPECT_THROW(loss.activity_gradient(as_span(c.block.theta), {}, RandomStream(1, Stream::direction), as_span(g)), ConfigError);
}

}  // namespace
}  // namespace ffzero
