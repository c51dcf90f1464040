// Plain steps, momentum and Adam. Dependency level 2 (update).
// SPDX-License-Identifier: MIT
#include "ffzero/update/rule.hpp"

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

namespace {

template <class S>
void require_sizes(std::span<S> theta, std::span<const S> gradient, std::size_t expected) {
  if (theta.size() == expected && gradient.size() == expected) return;
  throw ShapeError("update rule", "parameters and gradient must both have " + std::to_string(expected) + " entries",
                   std::to_string(theta.size()) + " and " + std::to_string(gradient.size()));
}

void require_decay(const char* key, double value) {
  if (!(value >= 0.0 && value < 1.0)) throw ConfigError(key, "must lie in [0, 1)", std::to_string(value));
}

template <class S>
Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>> array(std::span<S> s) {
  return {s.data(), isize(s.size())};
}

template <class S>
Eigen::Map<const Eigen::Array<S, Eigen::Dynamic, 1>> array(std::span<const S> s) {
  return {s.data(), isize(s.size())};
}

template <class S>
class Sgd final : public UpdateRule<S> {
 public:
  [[nodiscard]] std::string name() const override { return "sgd"; }
  [[nodiscard]] std::span<S> state() noexcept override { return {}; }
  [[nodiscard]] std::span<const S> state() const noexcept override { return {}; }

  void step(std::span<S> theta, std::span<const S> gradient, double lr) override {
    require_sizes(theta, gradient, theta.size());
    array(theta) -= static_cast<S>(lr) * array(gradient);
    ++this->steps_;
  }
};

template <class S>
class Momentum final : public UpdateRule<S> {
 public:
  Momentum(Index parameter_count, double beta) : beta_(static_cast<S>(beta)), velocity_(Vector<S>::Zero(parameter_count)) {
    require_decay("update.momentum", beta);
  }
  [[nodiscard]] std::string name() const override { return "momentum"; }
  [[nodiscard]] std::span<S> state() noexcept override { return as_span(velocity_); }
  [[nodiscard]] std::span<const S> state() const noexcept override { return as_span(velocity_); }

  void step(std::span<S> theta, std::span<const S> gradient, double lr) override {
    require_sizes(theta, gradient, usize(velocity_.size()));
    velocity_.array() = beta_ * velocity_.array() + array(gradient);
    array(theta) -= static_cast<S>(lr) * velocity_.array();
    ++this->steps_;
  }

 private:
  S beta_;
  Vector<S> velocity_;
};

template <class S>
class Adam final : public UpdateRule<S> {
 public:
  Adam(Index parameter_count, const AdamOptions& options) : options_(options), moments_(Vector<S>::Zero(2 * parameter_count)) {
    require_decay("update.beta1", options.beta1);
    require_decay("update.beta2", options.beta2);
    if (!(options.epsilon > 0.0)) throw ConfigError("update.epsilon", "must be above 0", std::to_string(options.epsilon));
    if (!(options.weight_decay >= 0.0)) {
      throw ConfigError("update.weight_decay", "must not be negative", std::to_string(options.weight_decay));
    }
  }
  [[nodiscard]] std::string name() const override { return "adam"; }
  [[nodiscard]] std::span<S> state() noexcept override { return as_span(moments_); }
  [[nodiscard]] std::span<const S> state() const noexcept override { return as_span(moments_); }

  void step(std::span<S> theta, std::span<const S> gradient, double lr) override {
    const Index p = moments_.size() / 2;
    require_sizes(theta, gradient, usize(p));
    ++this->steps_;
    const double t = static_cast<double>(this->steps_);
    const double mean_correction = 1.0 - std::pow(options_.beta1, t);
    const double root_correction = std::sqrt(1.0 - std::pow(options_.beta2, t));
    // Both forms are rate * m / (sqrt(v) + epsilon) with scalars of their own: sqrt(v) / c + e = (sqrt(v) + c e) / c.
    const double epsilon = options_.epsilon_form == EpsilonForm::torch ? options_.epsilon * root_correction : options_.epsilon;
    const Scalars k{.beta1 = static_cast<S>(options_.beta1),
                    .rest1 = static_cast<S>(1.0 - options_.beta1),
                    .beta2 = static_cast<S>(options_.beta2),
                    .rest2 = static_cast<S>(1.0 - options_.beta2),
                    .epsilon = static_cast<S>(epsilon),
                    .decay = static_cast<S>(options_.weight_decay),
                    .rate = static_cast<S>(lr * root_correction / mean_correction)};
    // Pieces that stay in the first cache while four passes run over them.
    for (Index first = 0; first < p; first += kPiece) {
      const Index n = std::min(kPiece, p - first);
      step_piece(k, theta.subspan(usize(first), usize(n)), gradient.subspan(usize(first), usize(n)), moments_.segment(first, n),
                 moments_.segment(p + first, n));
    }
  }

 private:
  static constexpr Index kPiece = 1024;

  struct Scalars {
    S beta1, rest1, beta2, rest2, epsilon, decay, rate;
  };

  static void step_piece(const Scalars& k, std::span<S> theta_span, std::span<const S> gradient, Eigen::Ref<Vector<S>> mean,
                         Eigen::Ref<Vector<S>> square) {
    auto theta = array(theta_span);
    Eigen::Array<S, Eigen::Dynamic, 1, 0, kPiece, 1> g = array(gradient);
    if (k.decay != S{0}) g += k.decay * theta;
    mean.array() = k.beta1 * mean.array() + k.rest1 * g;
    square.array() = k.beta2 * square.array() + k.rest2 * g.square();
    theta -= k.rate * mean.array() / (square.array().sqrt() + k.epsilon);
  }

  AdamOptions options_;
  Vector<S> moments_;  // (2 P): means, then mean squares
};

}  // namespace

template <class S>
std::unique_ptr<UpdateRule<S>> make_sgd() {
  return std::make_unique<Sgd<S>>();
}

template <class S>
std::unique_ptr<UpdateRule<S>> make_momentum(Index parameter_count, double beta) {
  return std::make_unique<Momentum<S>>(parameter_count, beta);
}

template <class S>
std::unique_ptr<UpdateRule<S>> make_adam(Index parameter_count, const AdamOptions& options) {
  return std::make_unique<Adam<S>>(parameter_count, options);
}

template std::unique_ptr<UpdateRule<float>> make_sgd<float>();
template std::unique_ptr<UpdateRule<double>> make_sgd<double>();
template std::unique_ptr<UpdateRule<float>> make_momentum<float>(Index, double);
template std::unique_ptr<UpdateRule<double>> make_momentum<double>(Index, double);
template std::unique_ptr<UpdateRule<float>> make_adam<float>(Index, const AdamOptions&);
template std::unique_ptr<UpdateRule<double>> make_adam<double>(Index, const AdamOptions&);

}  // namespace ffzero
