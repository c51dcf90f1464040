// Update rules against the plain formulas, step by step.
// SPDX-License-Identifier: MIT
#include "ffzero/update/rule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"

namespace ffzero {
namespace {

template <class S>
std::vector<S> normals(Index n, std::uint64_t step) {
  std::vector<S> v(usize(n));
  RandomStream(1, Stream::test, 0, step).fill_normal(std::span<S>(v));
  return v;
}

/// The formulas as they stand in the literature, in double, one parameter at a time.
class PlainAdam {
 public:
  PlainAdam(Index n, const AdamOptions& o) : o_(o), m_(usize(n)), v_(usize(n)) {}

  void step(std::vector<double>& theta, const std::vector<double>& gradient, double lr) {
    ++t_;
    const double c1 = 1.0 - std::pow(o_.beta1, t_);
    const double c2 = 1.0 - std::pow(o_.beta2, t_);
    for (std::size_t i = 0; i < theta.size(); ++i) {
      const double g = gradient[i] + o_.weight_decay * theta[i];
      m_[i] = o_.beta1 * m_[i] + (1.0 - o_.beta1) * g;
      v_[i] = o_.beta2 * v_[i] + (1.0 - o_.beta2) * g * g;
      if (o_.epsilon_form == EpsilonForm::torch) {
        theta[i] -= lr * (m_[i] / c1) / (std::sqrt(v_[i] / c2) + o_.epsilon);
      } else {
        theta[i] -= lr * std::sqrt(c2) / c1 * m_[i] / (std::sqrt(v_[i]) + o_.epsilon);
      }
    }
  }

 private:
  AdamOptions o_;
  int t_ = 0;
  std::vector<double> m_, v_;
};

template <class S>
double worst_difference(const std::vector<S>& a, const std::vector<double>& b) {
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  return worst;
}

template <class S>
void expect_plain_adam(const AdamOptions& options, Index n, double tolerance) {
  const auto adam = make_adam<S>(n, options);
  PlainAdam plain(n, options);
  std::vector<S> theta = normals<S>(n, 1000);
  std::vector<double> expected(theta.begin(), theta.end());
  for (std::uint64_t t = 0; t < 20; ++t) {
    const std::vector<S> g = normals<S>(n, t);
    const double lr = 1e-2 / (1.0 + static_cast<double>(t));
    adam->step(theta, g, lr);
    plain.step(expected, {g.begin(), g.end()}, lr);
    ASSERT_LT(worst_difference(theta, expected), tolerance) << "step " << t;
  }
  EXPECT_EQ(adam->steps(), 20);
}

TEST(Adam, FollowsThePlainFormulasInBothForms) {
  for (const EpsilonForm form : {EpsilonForm::torch, EpsilonForm::keras}) {
    for (const double decay : {0.0, 1e-2}) {
      for (const Index n : {1, 7, 1024, 2500}) {
        const AdamOptions options{.epsilon = 1e-3, .epsilon_form = form, .weight_decay = decay};
        expect_plain_adam<double>(options, n, 1e-13);
        expect_plain_adam<float>(options, n, 2e-6);
      }
    }
  }
}

TEST(Adam, TellsItsTwoFormsApart) {
  std::vector<double> torch{0.0};
  std::vector<double> keras{0.0};
  const std::vector<double> g{1e-3};
  make_adam<double>(1, {.epsilon = 1e-4})->step(torch, g, 1.0);
  make_adam<double>(1, {.epsilon = 1e-4, .epsilon_form = EpsilonForm::keras})->step(keras, g, 1.0);
  EXPECT_NEAR(torch[0], -1e-3 / (1e-3 + 1e-4), 1e-12);
  EXPECT_NEAR(keras[0], -1e-3 / (1e-3 + 1e-4 / std::sqrt(1e-3)), 1e-12);
}

template <class S>
void expect_resumes_bit_for_bit(UpdateRule<S>& whole, UpdateRule<S>& first, UpdateRule<S>& second) {
  const Index n = 300;
  std::vector<S> uninterrupted = normals<S>(n, 1000);
  std::vector<S> resumed = uninterrupted;
  for (std::uint64_t t = 0; t < 10; ++t) whole.step(uninterrupted, normals<S>(n, t), 1e-2);
  for (std::uint64_t t = 0; t < 4; ++t) first.step(resumed, normals<S>(n, t), 1e-2);
  ASSERT_EQ(first.state().size(), second.state().size());
  std::copy(first.state().begin(), first.state().end(), second.state().begin());
  second.set_steps(first.steps());
  for (std::uint64_t t = 4; t < 10; ++t) second.step(resumed, normals<S>(n, t), 1e-2);
  EXPECT_EQ(uninterrupted, resumed) << whole.name();
}

TEST(UpdateRules, ResumeBitForBitFromStateAndSteps) {
  expect_resumes_bit_for_bit<float>(*make_sgd<float>(), *make_sgd<float>(), *make_sgd<float>());
  expect_resumes_bit_for_bit<float>(*make_momentum<float>(300), *make_momentum<float>(300), *make_momentum<float>(300));
  expect_resumes_bit_for_bit<float>(*make_adam<float>(300), *make_adam<float>(300), *make_adam<float>(300));
}

TEST(Sgd, SubtractsTheScaledGradient) {
  std::vector<float> theta{1.0F, 2.0F};
  const auto rule = make_sgd<float>();
  rule->step(theta, std::vector<float>{0.5F, -1.0F}, 0.25);
  EXPECT_EQ(theta, (std::vector<float>{0.875F, 2.25F}));
  EXPECT_TRUE(rule->state().empty());
  EXPECT_EQ(rule->steps(), 1);
}

TEST(Momentum, RemembersEarlierGradients) {
  std::vector<double> theta{0.0};
  const auto rule = make_momentum<double>(1, 0.5);
  rule->step(theta, std::vector<double>{1.0}, 1.0);
  rule->step(theta, std::vector<double>{1.0}, 1.0);
  EXPECT_DOUBLE_EQ(theta[0], -2.5);
  EXPECT_DOUBLE_EQ(rule->state()[0], 1.5);
}

TEST(UpdateRules, RefuseSizesThatDoNotFit) {
  std::vector<float> theta(3);
  const std::vector<float> gradient(2);
  EXPECT_THROW(make_sgd<float>()->step(theta, gradient, 0.1), ShapeError);
  EXPECT_THROW(make_momentum<float>(3)->step(theta, gradient, 0.1), ShapeError);
  EXPECT_THROW(make_adam<float>(2)->step(theta, gradient, 0.1), ShapeError);
}

TEST(UpdateRules, RefuseSettingsOutOfRange) {
  EXPECT_THROW(static_cast<void>(make_momentum<float>(1, 1.0)), ConfigError);
  EXPECT_THROW(static_cast<void>(make_adam<float>(1, {.beta1 = -0.1})), ConfigError);
  EXPECT_THROW(static_cast<void>(make_adam<float>(1, {.beta2 = 1.0})), ConfigError);
  EXPECT_THROW(static_cast<void>(make_adam<float>(1, {.epsilon = 0.0})), ConfigError);
  EXPECT_THROW(static_cast<void>(make_adam<float>(1, {.weight_decay = -1.0})), ConfigError);
}

TEST(UpdateRules, MoveTheSameBitsInPieces) {
  const Index n = 40007;
  const std::vector<float> g = normals<float>(n, 3);
  for (const int threads : {1, 3}) {
    const Executor executor(threads);
    for (const int which : {0, 1, 2}) {
      const auto make = [&] { return which == 0 ? make_sgd<float>() : which == 1 ? make_momentum<float>(n) : make_adam<float>(n); };
      std::vector<float> whole = normals<float>(n, 4), pieces = whole;
      const auto a = make(), b = make();
      for (int t = 0; t < 3; ++t) {
        a->step(whole, g, 1e-2);
        b->step(pieces, g, 1e-2, executor);
      }
      EXPECT_EQ(whole, pieces) << a->name();
      EXPECT_EQ(b->steps(), 3);
    }
  }
}

}  // namespace
}  // namespace ffzero
