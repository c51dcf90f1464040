// From a gradient to new parameters. Knows nothing of where the gradient comes from.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>

#include "ffzero/base/executor.hpp"
#include "ffzero/base/index.hpp"
#include "ffzero/base/registry.hpp"

namespace ffzero {

/// One step downhill after another on one parameter vector. A rule belongs to one block: its moments have that block's size.
template <class S>
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  [[nodiscard]] virtual std::string name() const = 0;  ///< spelling of the key `update.rule`

  /// theta (P) moves against gradient (P); lr: learning rate of this step, schedule included. Counts one step. Costs no forward
  /// evaluation. @throws ShapeError if sizes do not fit those given at construction.
  void step(std::span<S> theta, std::span<const S> gradient, double lr);
  /// The same with pieces of the parameters side by side; an entry's value does not depend on the pieces.
  void step(std::span<S> theta, std::span<const S> gradient, double lr, const Executor& executor);

  /// All moments, one vector after the other: with steps(), everything that a checkpoint needs. Empty for sgd.
  [[nodiscard]] virtual std::span<S> state() noexcept = 0;
  [[nodiscard]] virtual std::span<const S> state() const noexcept = 0;

  /// Number of steps taken so far.
  [[nodiscard]] std::int64_t steps() const noexcept { return steps_; }
  void set_steps(std::int64_t steps) noexcept { steps_ = steps; }

 protected:
  /// Learning rate and whatever else all entries of this step share; steps() counts it already.
  virtual void begin_step(double lr) = 0;
  /// Moves the entries [first, first + theta.size()).
  virtual void move(Index first, std::span<S> theta, std::span<const S> gradient) = 0;
  /// Number of parameters, or any if it is all the same to the rule.
  [[nodiscard]] virtual std::size_t expected_size(std::size_t given) const { return given; }

  std::int64_t steps_ = 0;

 private:
  void prepare(std::span<S> theta, std::span<const S> gradient, double lr);
};

/// Where epsilon enters the denominator of Adam.
enum class EpsilonForm {
  torch,  ///< sqrt(v / (1 - beta2^t)) + epsilon: after the bias correction
  keras,  ///< sqrt(v) + epsilon, with lr sqrt(1 - beta2^t) / (1 - beta1^t): outside it
};

struct AdamOptions {
  double beta1 = 0.9;                             ///< decay of the mean, in [0, 1)
  double beta2 = 0.999;                           ///< decay of the mean square, in [0, 1)
  double epsilon = 1e-8;                          ///< > 0; 1e-7 goes with the keras form
  EpsilonForm epsilon_form = EpsilonForm::torch;  ///< see there
  double weight_decay = 0.0;                      ///< >= 0; weight_decay * theta is added to the gradient
};

/// theta -= lr g.
template <class S>
[[nodiscard]] std::unique_ptr<UpdateRule<S>> make_sgd();
/// v = beta v + g, theta -= lr v.  beta in [0, 1). @throws ConfigError
template <class S>
[[nodiscard]] std::unique_ptr<UpdateRule<S>> make_momentum(Index parameter_count, double beta = 0.9);
/// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, then as EpsilonForm says. Bias corrections in double. @throws ConfigError
template <class S>
[[nodiscard]] std::unique_ptr<UpdateRule<S>> make_adam(Index parameter_count, const AdamOptions& options = {});

struct SgdOptions {};
struct MomentumOptions {
  double beta = 0.9;  ///< decay of the velocity, in [0, 1)
};
/// A rule of update_rules(), by name. Networks of float alone.
struct NamedRule {
  std::string name;
  NamedNumbers numbers = {};  ///< in place of its defaults
};
/// One of the rules above with its settings.
using RuleOptions = std::variant<SgdOptions, MomentumOptions, AdamOptions, NamedRule>;

/// A rule for this many parameters. numbers: all that its entry names
using RuleFactory = std::function<std::unique_ptr<UpdateRule<float>>(const NamedNumbers& numbers, Index parameter_count)>;
/// What the key update.rule chooses from: sgd, momentum, adam, and whatever was added.
[[nodiscard]] Registry<RuleFactory>& update_rules();
/// Spelling of the key `update.rule`.
[[nodiscard]] std::string rule_name(const RuleOptions& options);

/// @throws ConfigError if an option is out of range, or if there is no rule of that name
template <class S>
[[nodiscard]] std::unique_ptr<UpdateRule<S>> make_rule(const RuleOptions& options, Index parameter_count);

extern template class UpdateRule<float>;
extern template class UpdateRule<double>;

}  // namespace ffzero
