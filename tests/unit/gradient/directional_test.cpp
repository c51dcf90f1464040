// The estimator on functions with known gradients.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/directional.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/base/error.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

/// L_g(theta) = theta_g^T A_g theta_g / 2 + b_g^T theta_g over the parameters theta_g of group g: values alone.
class Quadratics final : public ScalarFunction<double> {
 public:
  Quadratics(ParameterLayout layout, Index dimension, std::uint64_t seed) : layout_(std::move(layout)), dimension_(dimension) {
    const Matrix<double> root = test::normal_matrix(dimension, dimension, seed);
    a_ = root * root.transpose();
    b_ = test::normal_matrix(dimension, 1, seed + 1);
  }
  [[nodiscard]] const ParameterLayout& layout() const override { return layout_; }
  [[nodiscard]] Index dimension() const override { return dimension_; }
  void values(std::span<const double> theta, std::span<double> losses) const override {
    for (Index g = 0; g < layout_.groups; ++g) {
      const Vector<double> own = mask(g).cwiseProduct(as_vector(theta));
      losses[usize(g)] = 0.5 * own.dot(a_ * own) + b_.dot(own);
    }
    ++calls_;
  }
  [[nodiscard]] Vector<double> gradient(const Vector<double>& theta) const {
    Vector<double> g = Vector<double>::Zero(dimension_);
    for (Index k = 0; k < layout_.groups; ++k) {
      const Vector<double> own = mask(k).cwiseProduct(theta);
      g += mask(k).cwiseProduct(a_ * own + b_);
    }
    return g;
  }
  [[nodiscard]] int calls() const { return calls_; }

 private:
  [[nodiscard]] Vector<double> mask(Index group) const {
    Vector<double> m = Vector<double>::Zero(dimension_);
    for (const Unit& u : layout_.units)
      if (u.group == group)
        for (const Segment& s : u.segments) m.segment(s.begin, s.size).setOnes();
    return m;
  }
  ParameterLayout layout_;
  Index dimension_;
  Matrix<double> a_;
  Vector<double> b_;
  mutable int calls_ = 0;
};

ParameterLayout two_groups() {
  return {.groups = 2,
          .units = {{.group = 0, .segments = {{.begin = 0, .size = 3}, {.begin = 7, .size = 1}}},
                    {.group = 1, .segments = {{.begin = 3, .size = 4}}}}};
}

TEST(Directional, CentralDifferencesAreExactOnQuadratics) {
  test::expect_property("delta / (2 eps) is the slope along the direction", [] {
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const double eps = *rc::gen::element(1e-3, 0.1, 10.0);
    const Quadratics f(two_groups(), 8, seed);
    const Vector<double> theta = test::normal_matrix(8, 1, seed + 2);
    Matrix<double> directions(3, 8);
    fill_directions<double>(f.layout(), Distribution::gaussian, RandomStream(seed, Stream::direction), Executor(1), directions);
    Differences out;
    f.differences(as_span(theta), directions, eps, out);
    const Vector<double> g = f.gradient(theta);
    for (Index j = 0; j < 3; ++j)
      for (const Unit& u : f.layout().units) {
        double slope = 0.0;
        for (const Segment& s : u.segments) slope += directions.row(j).segment(s.begin, s.size).dot(g.segment(s.begin, s.size));
        RC_ASSERT(std::abs(out.delta(j, u.group) / (2.0 * eps) - slope) < 1e-8 * (1.0 + std::abs(slope)) / std::min(1.0, eps));
      }
  });
}

TEST(Directional, AllCoordinatesTogetherGiveTheGradientExactly) {
  const Quadratics f(two_groups(), 8, 3);
  const Vector<double> theta = test::normal_matrix(8, 1, 4);
  Vector<double> g(8);
  Directional<double> estimator({.directions = 4, .eps = 1e-2, .distribution = Distribution::coordinate});
  estimator.estimate(f, as_span(theta), RandomStream(1, Stream::direction), Executor(2), as_span(g));
  EXPECT_LT((g - f.gradient(theta)).cwiseAbs().maxCoeff(), 1e-10);
  EXPECT_EQ(f.calls(), 8);
}

TEST(Directional, EstimatesAreUnbiasedForEveryDistribution) {
  const Quadratics f(two_groups(), 8, 5);
  const Vector<double> theta = test::normal_matrix(8, 1, 6), exact = f.gradient(theta);
  for (const Distribution d : {Distribution::gaussian, Distribution::rademacher, Distribution::hadamard, Distribution::coordinate}) {
    Directional<double> estimator({.directions = 2, .eps = 1e-2, .distribution = d});
    const Index draws = 8000;
    Vector<double> sum = Vector<double>::Zero(8), squares = Vector<double>::Zero(8), g(8);
    for (Index t = 0; t < draws; ++t) {
      estimator.estimate(f, as_span(theta), RandomStream(7, Stream::direction, 0, static_cast<std::uint64_t>(t)), Executor(1), as_span(g));
      sum += g;
      squares += g.cwiseProduct(g);
    }
    const auto n = static_cast<double>(draws);
    const Vector<double> mean = sum / n, error = ((squares / n - mean.cwiseProduct(mean)).cwiseMax(0.0) / n).cwiseSqrt();
    for (Index i = 0; i < 8; ++i) EXPECT_NEAR(mean[i], exact[i], 5.0 * error[i]) << to_string(d) << " entry " << i;
  }
}

TEST(Directional, MovesOnlyParametersOfUnitsAndNeverTheta) {
  ParameterLayout layout{.groups = 1, .units = {{.group = 0, .segments = {{.begin = 2, .size = 3}}}}};
  const Quadratics f(layout, 8, 8);
  Vector<double> theta = test::normal_matrix(8, 1, 9);
  const Vector<double> before = theta;
  Vector<double> g = Vector<double>::Constant(8, 99.0);
  Directional<double> estimator({.directions = 3, .eps = 1e-3});
  estimator.estimate(f, as_span(theta), RandomStream(1, Stream::direction), Executor(1), as_span(g));
  EXPECT_TRUE(theta == before);
  EXPECT_TRUE((g.head(2).array() == 0.0).all());
  EXPECT_TRUE((g.tail(3).array() == 0.0).all());
  EXPECT_GT(g.segment(2, 3).cwiseAbs().minCoeff(), 0.0);
}

TEST(Directional, LogsTheMeanOfBothSidesSummedOverGroups) {
  const Quadratics f(two_groups(), 8, 10);
  const Vector<double> theta = test::normal_matrix(8, 1, 11);
  Matrix<double> directions(2, 8);
  fill_directions<double>(f.layout(), Distribution::rademacher, RandomStream(1, Stream::direction), Executor(1), directions);
  Vector<double> g(8);
  Directional<double> estimator({.directions = 2, .eps = 0.3});
  const double logged = estimator.estimate_along(f, as_span(theta), directions, Executor(1), as_span(g));
  double expected = 0.0;
  for (Index j = 0; j < 2; ++j)
    for (const double side : {0.3, -0.3}) {
      const Vector<double> moved = theta + side * directions.row(j).transpose();
      std::vector<double> losses(2);
      f.values(as_span(moved), losses);
      expected += (losses[0] + losses[1]) / 4.0;
    }
  EXPECT_NEAR(logged, expected, 1e-12 * std::abs(expected));
}

TEST(Directional, AlignedSlopesAreThoseThatWereMeasured) {
  const Quadratics f(two_groups(), 8, 12);
  const Vector<double> theta = test::normal_matrix(8, 1, 13), exact = f.gradient(theta);
  Matrix<double> directions(3, 8);
  fill_directions<double>(f.layout(), Distribution::gaussian, RandomStream(1, Stream::direction), Executor(1), directions);
  Directional<double> estimator({.directions = 3, .eps = 1e-2, .aggregation = Aggregation::aligned});
  Vector<double> g(8);
  estimator.estimate_along(f, as_span(theta), directions, Executor(1), as_span(g));
  for (const Unit& unit : f.layout().units)
    for (Index j = 0; j < 3; ++j) {
      double estimated = 0.0, slope = 0.0;
      for (const Segment& s : unit.segments) {
        estimated += directions.row(j).segment(s.begin, s.size).dot(g.segment(s.begin, s.size));
        slope += directions.row(j).segment(s.begin, s.size).dot(exact.segment(s.begin, s.size));
      }
      EXPECT_NEAR(estimated, slope * 4.0 / 3.0, 1e-9) << "size / m times the slope";
    }
}

TEST(Directional, AlignedIsExactOnceTheDirectionsSpanEverything) {
  const Quadratics f(two_groups(), 8, 14);
  const Vector<double> theta = test::normal_matrix(8, 1, 15);
  for (const Index m : {4, 11}) {
    Directional<double> estimator({.directions = m, .eps = 1e-2, .aggregation = Aggregation::aligned});
    Vector<double> g(8);
    estimator.estimate(f, as_span(theta), RandomStream(2, Stream::direction), Executor(1), as_span(g));
    EXPECT_LT((g - f.gradient(theta)).cwiseAbs().maxCoeff(), 1e-7) << m;
  }
}

TEST(Directional, AlignedEqualsTheAverageForOrthogonalDirections) {
  const ParameterLayout layout = ParameterLayout::whole(8);
  const Quadratics f(layout, 8, 16);
  const Vector<double> theta = test::normal_matrix(8, 1, 17);
  Vector<double> aligned(8), average(8);
  const RandomStream random(3, Stream::direction);
  Directional<double>({.directions = 4, .eps = 1e-2, .distribution = Distribution::hadamard, .aggregation = Aggregation::aligned})
      .estimate(f, as_span(theta), random, Executor(1), as_span(aligned));
  Directional<double>({.directions = 4, .eps = 1e-2, .distribution = Distribution::hadamard})
      .estimate(f, as_span(theta), random, Executor(1), as_span(average));
  EXPECT_LT((aligned - average).cwiseAbs().maxCoeff(), 1e-9);
}

TEST(Directional, AlignedAndRecycledEstimatesAreUnbiasedWhateverTheMemoryHolds) {
  const Quadratics f(two_groups(), 8, 18);
  const Vector<double> theta = test::normal_matrix(8, 1, 19), exact = f.gradient(theta), past = test::normal_matrix(8, 1, 20);
  for (const Aggregation aggregation : {Aggregation::average, Aggregation::aligned})
    for (const double recycle : {0.0, 0.5}) {
      Directional<double> estimator({.directions = 2, .eps = 1e-2, .aggregation = aggregation, .recycle = recycle});
      const Index draws = 8000;
      Vector<double> sum = Vector<double>::Zero(8), squares = Vector<double>::Zero(8), g(8);
      for (Index t = 0; t < draws; ++t) {
        estimator.start_memory(8);
        if (recycle > 0.0) as_vector(estimator.memory()) = past;
        estimator.estimate(f, as_span(theta), RandomStream(8, Stream::direction, 0, static_cast<std::uint64_t>(t)), Executor(1),
                           as_span(g));
        sum += g;
        squares += g.cwiseProduct(g);
      }
      const auto n = static_cast<double>(draws);
      const Vector<double> mean = sum / n, error = ((squares / n - mean.cwiseProduct(mean)).cwiseMax(0.0) / n).cwiseSqrt();
      for (Index i = 0; i < 8; ++i)
        EXPECT_NEAR(mean[i], exact[i], 5.0 * error[i]) << to_string(aggregation) << " recycle " << recycle << " entry " << i;
    }
}

TEST(Directional, TheMemoryLearnsAGradientThatStays) {
  const Quadratics f(two_groups(), 8, 21);
  const Vector<double> theta = test::normal_matrix(8, 1, 22), exact = f.gradient(theta);
  for (const Aggregation aggregation : {Aggregation::average, Aggregation::aligned}) {
    Directional<double> estimator({.directions = 2, .eps = 1e-2, .aggregation = aggregation, .recycle = 1.0});
    Vector<double> g(8);
    for (std::uint64_t t = 0; t < 200; ++t)
      estimator.estimate(f, as_span(theta), RandomStream(9, Stream::direction, 0, t), Executor(1), as_span(g));
    EXPECT_LT((as_vector(std::span<const double>(estimator.memory())) - exact).norm(), 1e-3 * exact.norm()) << to_string(aggregation);
    EXPECT_LT((g - exact).norm(), 1e-2 * exact.norm()) << to_string(aggregation);
  }
}

TEST(Directional, RefusesOptionsOutOfRange) {
  EXPECT_EQ(test::message_of<ConfigError>([] { Directional<double>({.directions = 0}); }),
            "gradient.directions: must be at least 1; got 0; give 1 or more");
  EXPECT_NE(test::message_of<ConfigError>([] { Directional<double>({.eps = 0.0}); }).find("gradient.eps: must be positive"),
            std::string::npos);
  EXPECT_THROW(Directional<double>({.eps = std::nan("")}), ConfigError);
  EXPECT_THROW(Directional<double>({.recycle = 1.5}), ConfigError);
}

/// The same function, measured by something that loses pairs.
class Losing final : public ScalarFunction<double> {
 public:
  Losing(const Quadratics& f, std::vector<bool> came) : f_(f), came_(std::move(came)) {}
  [[nodiscard]] const ParameterLayout& layout() const override { return f_.layout(); }
  [[nodiscard]] Index dimension() const override { return f_.dimension(); }
  void values(std::span<const double> theta, std::span<double> losses) const override { f_.values(theta, losses); }
  void differences(std::span<const double> theta, const ConstMatrixRef<double>& directions, double eps, Differences& out) const override {
    f_.differences(theta, directions, eps, out);
    EXPECT_TRUE(out.may_miss);
    out.came = came_;
    for (std::size_t j = 0; j < came_.size(); ++j)
      if (!came_[j]) out.delta.row(isize(j)).setZero();
  }

 private:
  const Quadratics& f_;
  std::vector<bool> came_;
};

TEST(Directional, AveragesOverThePairsThatCameBack) {
  const Quadratics f(two_groups(), 8, 3);
  const Vector<double> theta = test::normal_matrix(8, 1, 4);
  const Matrix<double> all = test::normal_matrix(4, 8, 5);
  const std::vector<Index> there{0, 2, 3};
  for (const Aggregation how : {Aggregation::average, Aggregation::aligned})
    for (const double recycle : {0.0, 0.5}) {
      Vector<double> g(8), expected(8);
      Directional<double> estimator({.directions = 4, .eps = 1e-2, .aggregation = how, .recycle = recycle});
      Directional<double> fewer({.directions = 3, .eps = 1e-2, .aggregation = how, .recycle = recycle});
      estimator.start_memory(8);
      fewer.start_memory(8);
      for (int step = 0; step < 2; ++step) {
        const Losing losing(f, {true, false, true, true});
        estimator.estimate_along(losing, as_span(theta), all, Executor(1), as_span(g));
        fewer.estimate_along(f, as_span(theta), Matrix<double>(all(there, Eigen::all)), Executor(1), as_span(expected));
        if (recycle > 0.0 && how == Aggregation::average) continue;  // the memory's share depends on the directions that were planned
        EXPECT_LT((g - expected).cwiseAbs().maxCoeff(), 1e-9) << to_string(how) << " " << recycle;
      }
      EXPECT_EQ(estimator.pairs(), 3);
    }
}

TEST(Directional, SaysThatNoPairCameBack) {
  const Quadratics f(two_groups(), 8, 3);
  const Vector<double> theta = test::normal_matrix(8, 1, 4);
  Vector<double> g = Vector<double>::Ones(8);
  Directional<double> estimator({.directions = 2, .eps = 1e-2, .recycle = 0.5});
  const Losing losing(f, {false, false});
  EXPECT_TRUE(std::isnan(estimator.estimate(losing, as_span(theta), RandomStream(1, Stream::direction), Executor(1), as_span(g))));
  EXPECT_EQ(estimator.pairs(), 0);
  EXPECT_TRUE(g.isZero(0.0));
  estimator.estimate(f, as_span(theta), RandomStream(1, Stream::direction), Executor(1), as_span(g));
  EXPECT_EQ(estimator.pairs(), 2);
}

}  // namespace
}  // namespace ffzero
