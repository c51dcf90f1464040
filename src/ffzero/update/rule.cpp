// Plain steps, momentum and Adam.
// SPDX-License-Identifier: MIT
#include "ffzero/update/rule.hpp"

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/types.hpp"
#include "ffzero/update/rule_kernel-inl.hpp"

namespace ffzero {

namespace {

/// Parameters that are worth another thread.
constexpr Index kPiece = 4096;

void require_decay(const char* key, double value) {
  if (!(value >= 0.0 && value < 1.0)) throw ConfigError(key, "must lie in [0, 1)", std::to_string(value));
}

template <class S>
class Sgd final : public UpdateRule<S> {
 public:
  [[nodiscard]] std::string name() const override { return "sgd"; }
  [[nodiscard]] std::span<S> state() noexcept override { return {}; }
  [[nodiscard]] std::span<const S> state() const noexcept override { return {}; }

 protected:
  void begin_step(double lr) override { rate_ = static_cast<S>(lr); }
  void move(Index /*first*/, std::span<S> theta, std::span<const S> gradient) override {
    rule_kernel::descend(gradient.data(), isize(theta.size()), rate_, theta.data());
  }

 private:
  S rate_{};
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

 protected:
  void begin_step(double lr) override { rate_ = static_cast<S>(lr); }
  void move(Index first, std::span<S> theta, std::span<const S> gradient) override {
    auto velocity = velocity_.segment(first, isize(theta.size()));
    velocity = beta_ * velocity + as_vector(gradient);
    as_vector(theta) -= rate_ * velocity;
  }
  [[nodiscard]] std::size_t expected_size(std::size_t /*given*/) const override { return usize(velocity_.size()); }

 private:
  S beta_, rate_{};
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

 protected:
  void begin_step(double lr) override {
    const double t = static_cast<double>(this->steps_);
    const double mean_correction = 1.0 - std::pow(options_.beta1, t);
    const double root_correction = std::sqrt(1.0 - std::pow(options_.beta2, t));
    // Both forms are rate * m / (sqrt(v) + epsilon) with scalars of their own: sqrt(v) / c + e = (sqrt(v) + c e) / c.
    const double epsilon = options_.epsilon_form == EpsilonForm::torch ? options_.epsilon * root_correction : options_.epsilon;
    scalars_ = {.beta1 = static_cast<S>(options_.beta1),
                .rest1 = static_cast<S>(1.0 - options_.beta1),
                .beta2 = static_cast<S>(options_.beta2),
                .rest2 = static_cast<S>(1.0 - options_.beta2),
                .epsilon = static_cast<S>(epsilon),
                .decay = static_cast<S>(options_.weight_decay),
                .rate = static_cast<S>(lr * root_correction / mean_correction)};
  }
  void move(Index first, std::span<S> theta, std::span<const S> gradient) override {
    S* const mean = moments_.data() + first;
    rule_kernel::adam(scalars_, gradient.data(), isize(theta.size()), theta.data(), mean, mean + moments_.size() / 2);
  }
  [[nodiscard]] std::size_t expected_size(std::size_t /*given*/) const override { return usize(moments_.size() / 2); }

 private:
  AdamOptions options_;
  rule_kernel::AdamScalars<S> scalars_{};
  Vector<S> moments_;  // (2 P): means, then mean squares
};

}  // namespace

template <class S>
void UpdateRule<S>::prepare(std::span<S> theta, std::span<const S> gradient, double lr) {
  const std::size_t expected = expected_size(theta.size());
  if (theta.size() != expected || gradient.size() != expected)
    throw ShapeError("update rule", "parameters and gradient must both have " + std::to_string(expected) + " entries",
                     std::to_string(theta.size()) + " and " + std::to_string(gradient.size()));
  ++steps_;
  begin_step(lr);
}

template <class S>
void UpdateRule<S>::step(std::span<S> theta, std::span<const S> gradient, double lr) {
  prepare(theta, gradient, lr);
  move(0, theta, gradient);
}

template <class S>
void UpdateRule<S>::step(std::span<S> theta, std::span<const S> gradient, double lr, const Executor& executor) {
  prepare(theta, gradient, lr);
  const Index size = isize(theta.size());
  executor.run(divide_up(size, kPiece), [&](Index i) {
    const std::size_t first = usize(i * kPiece), count = usize(std::min(kPiece, size - i * kPiece));
    move(isize(first), theta.subspan(first, count), gradient.subspan(first, count));
  });
}

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

Registry<RuleFactory>& update_rules() {
  using Entry = Registry<RuleFactory>::Entry;
  static Registry<RuleFactory> rules(
      "update.rule",
      {Entry{.name = "sgd", .doc = "Along the gradient.", .make = [](const NamedNumbers&, Index) { return make_sgd<float>(); }},
       Entry{.name = "momentum",
             .doc = "Along a decaying sum of gradients.",
             .numbers = {{"beta", MomentumOptions{}.beta}},
             .make = [](const NamedNumbers& n, Index count) { return make_momentum<float>(count, n.at("beta")); }},
       Entry{.name = "adam",
             .doc = "Along the mean gradient, over the root of its mean square.",
             .numbers = {{"beta1", AdamOptions{}.beta1},
                         {"beta2", AdamOptions{}.beta2},
                         {"epsilon", AdamOptions{}.epsilon},
                         {"weight_decay", AdamOptions{}.weight_decay}},
             .make = [](const NamedNumbers& n, Index count) {
               return make_adam<float>(
                   count,
                   {.beta1 = n.at("beta1"), .beta2 = n.at("beta2"), .epsilon = n.at("epsilon"), .weight_decay = n.at("weight_decay")});
             }}});
  return rules;
}

std::string rule_name(const RuleOptions& options) {
  if (const auto* named = std::get_if<NamedRule>(&options)) return named->name;
  if (std::holds_alternative<AdamOptions>(options)) return "adam";
  return std::holds_alternative<MomentumOptions>(options) ? "momentum" : "sgd";
}

template <class S>
std::unique_ptr<UpdateRule<S>> make_rule(const RuleOptions& options, Index parameter_count) {
  if (const auto* named = std::get_if<NamedRule>(&options)) {
    if constexpr (std::is_same_v<S, float>)
      return update_rules().at(named->name).make(update_rules().numbers(named->name, named->numbers), parameter_count);
    else
      throw ConfigError("update.rule", "a rule by name is for networks of float", named->name, "use its options");
  }
  if (const auto* adam = std::get_if<AdamOptions>(&options)) return make_adam<S>(parameter_count, *adam);
  if (const auto* momentum = std::get_if<MomentumOptions>(&options)) return make_momentum<S>(parameter_count, momentum->beta);
  return make_sgd<S>();
}

template class UpdateRule<float>;
template class UpdateRule<double>;
template std::unique_ptr<UpdateRule<float>> make_rule<float>(const RuleOptions&, Index);
template std::unique_ptr<UpdateRule<double>> make_rule<double>(const RuleOptions&, Index);
template std::unique_ptr<UpdateRule<float>> make_sgd<float>();
template std::unique_ptr<UpdateRule<double>> make_sgd<double>();
template std::unique_ptr<UpdateRule<float>> make_momentum<float>(Index, double);
template std::unique_ptr<UpdateRule<double>> make_momentum<double>(Index, double);
template std::unique_ptr<UpdateRule<float>> make_adam<float>(Index, const AdamOptions&);
template std::unique_ptr<UpdateRule<double>> make_adam<double>(Index, const AdamOptions&);

}  // namespace ffzero
