// From keys to options: the only place that translates.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "ffzero/settings/config.hpp"
#include "ffzero/train/step_gradient.hpp"

namespace ffzero {

namespace {

double number_or_measured(const Values& v, std::string_view key) { return v.is(key, "measured") ? kMeasured : v.number(key); }

// What the program has registered under this name, with the numbers of `options_key`; null: the name is built in.
template <class Named, class Made>
std::optional<Named> registered(const Registry<Made>& registry, const Values& v, std::string_view options_key) {
  const std::string name = v.word(registry.kind());
  const auto added = registry.added();
  if (std::find(added.begin(), added.end(), name) == added.end()) return std::nullopt;
  return Named{.name = name, .numbers = registry.numbers(name, parse_numbers(v.word(options_key), options_key))};
}

LossOptions loss_options(const Values& v) {
  if (auto own = registered<NamedLoss>(losses(), v, "objective.options")) return std::move(*own);
  if (v.is("objective.loss", "margin")) return MarginOptions{.margin = v.number("objective.margin")};
  if (v.is("objective.loss", "cosine")) return CosineOptions{};
  if (v.is("objective.loss", "squared")) return SquaredOptions{};
  // Raw outputs of an end-to-end network are scores already; similarities and shares of light are bounded and need a temperature.
  const bool scores = v.is("objective.scope", "end_to_end") && !v.is("model.kind", "photonic");
  const double temperature = scores ? 1.0 : v.number("objective.temperature");
  const double last = v.number("objective.last_temperature");
  if (v.is("objective.loss", "n_pair"))
    return NPairOptions{.temperature = temperature, .margin = v.number("objective.margin"), .last_temperature = last};
  return CrossEntropyOptions{.temperature = temperature, .smoothing = v.number("objective.smoothing"), .last_temperature = last};
}

Distribution distribution_of(const Values& v) {
  const std::string word = v.word("gradient.distribution");
  if (word == "rademacher") return Distribution::rademacher;
  if (word == "hadamard") return Distribution::hadamard;
  if (word == "coordinate") return Distribution::coordinate;
  return Distribution::gaussian;
}

Fallback fallback_of(const Values& v) { return v.is("gradient.fallback", "stop") ? Fallback::stop : Fallback::outputs; }

EstimatorOptions estimator_options(const Values& v) {
  if (auto own = registered<NamedEstimator>(estimators(), v, "gradient.options")) return std::move(*own);
  if (v.is("gradient.estimator", "adjoint")) return AdjointOptions{};
  if (v.is("gradient.estimator", "coordinate")) {
    if (!one_sided(v)) return CoordinateOptions{};
    return CoordinateOptions{.one_sided = true, .parameters = v.integer("gradient.directions"), .step = v.number("gradient.eps")};
  }
  if (v.is("gradient.estimator", "transfer"))
    return TransferOptions{.parameters = v.integer("gradient.transfer.parameters"),
                           .readings = v.integer("gradient.transfer.readings"),
                           .base = v.integer("gradient.transfer.base"),
                           .steps = v.integer("gradient.transfer.steps"),
                           .step = v.number("gradient.transfer.step"),
                           .gate = v.number("gradient.transfer.gate"),
                           .fallback = fallback_of(v)};
  if (v.is("gradient.estimator", "twin"))
    return TwinOptions{.along = v.is("gradient.twin.order", "along"),
                       .calibration = {.freedom = v.is("gradient.twin.fit", "none")  ? TwinFreedom::none
                                                  : v.is("gradient.twin.fit", "all") ? TwinFreedom::all
                                                                                     : TwinFreedom::couplers,
                                       .settings = v.integer("gradient.twin.settings"),
                                       .samples = v.integer("gradient.twin.samples"),
                                       .spread = v.number("gradient.twin.spread"),
                                       .steps = v.integer("gradient.twin.steps"),
                                       .lr = v.number("gradient.twin.lr")},
                       .start_epochs = v.integer("gradient.twin.start"),
                       .refine_epochs = v.integer("gradient.twin.refine"),
                       .fit_lr = v.number("gradient.twin.fit_lr"),
                       .calibrated_lr = v.number("gradient.twin.calibrated_lr"),
                       .chip_lr = v.number("gradient.twin.chip_lr"),
                       .file = v.word("gradient.twin.file"),
                       .gate = v.number("gradient.twin.gate"),
                       .fallback = fallback_of(v)};
  if (v.is("gradient.estimator", "activity")) {
    const std::string space = v.word("gradient.distribution");
    return ActivityPerturbation{.space = space == "full"   ? ActivitySpace::full
                                         : space == "span" ? ActivitySpace::span
                                                           : ActivitySpace::prototypes,
                                .directions = v.integer("gradient.directions"),
                                .eps = v.number("gradient.eps")};
  }
  return DirectionalOptions{.directions = v.integer("gradient.directions"),
                            .eps = number_or_measured(v, "gradient.eps"),
                            .distribution = distribution_of(v),
                            .aggregation = v.is("gradient.aggregation", "aligned") ? Aggregation::aligned : Aggregation::average,
                            .recycle = v.number("gradient.recycle")};
}

RuleOptions rule_options(const Values& v) {
  if (auto own = registered<NamedRule>(update_rules(), v, "update.options")) return std::move(*own);
  if (v.is("update.rule", "sgd")) return SgdOptions{};
  if (v.is("update.rule", "momentum")) return MomentumOptions{.beta = v.number("update.momentum")};
  return AdamOptions{.beta1 = v.number("update.beta1"),
                     .beta2 = v.number("update.beta2"),
                     .epsilon = v.number("update.epsilon"),
                     .epsilon_form = v.is("update.epsilon_form", "keras") ? EpsilonForm::keras : EpsilonForm::torch,
                     .weight_decay = v.number("update.weight_decay")};
}

BlockOptions block_options(const Values& v) {
  return {.loss = loss_options(v),
          .reduction = v.is("objective.reduction", "sum") ? Reduction::sum : Reduction::mean,
          .one_loss = v.flag("gradient.one_loss"),
          .estimator = estimator_options(v),
          .importance_samples = v.integer("gradient.importance_samples"),
          .update = {.rule = rule_options(v),
                     .lr = number_or_measured(v, "update.lr"),
                     .schedule = {.kind = parse_schedule_kind(v.word("update.schedule")), .warmup_steps = v.integer("update.warmup")},
                     .hold_norm = v.flag("update.hold_norm")},
          .epochs = v.integer("training.epochs"),
          .batch_size = v.integer("training.batch_size")};
}

}  // namespace

std::optional<VoteOptions> Config::vote() const {
  if (values_.is("objective.scope", "end_to_end") || values_.is("dataset.task", "regression")) return std::nullopt;
  const bool validated = values_.is("vote.rule", "validated");
  const double last = values_.number("objective.last_temperature");
  return VoteOptions{.rule = validated ? VoteRule::last : parse_vote_rule(values_.word("vote.rule")),
                     .validated = validated,
                     .temperature = last > 0.0 ? last : values_.number("objective.temperature")};
}

TrainPlan Config::plan(Index layers) const {
  TrainPlan plan;
  const Index size = layers_per_block(values_, layers);
  for (Index first = 0; first < layers; first += size) {
    const Values v = layer_values(first);
    plan.blocks.push_back(
        {.first = first, .last = std::min(first + size, layers), .options = block_options(v), .evaluation_rows = evaluation_rows(v)});
  }
  plan.end_to_end = values_.is("objective.scope", "end_to_end");
  plan.vote = vote();
  plan.best_layer = values_.is("vote.layer", "best");
  plan.seed = values_.seed();
  plan.forward_evals = values_.integer("budget.forward_evals");
  plan.budget_split = values_.is("budget.split", "even") ? BudgetSplit::even : BudgetSplit::none;
  constexpr Index kMostSkipped = 10;
  if (values_.is("model.kind", "device")) {
    plan.steadiness_rows = values_.integer("device.steadiness");
  }
  if (values_.is("model.kind", "device") || values_.number("model.imperfect.fail") > 0.0) {
    // A run that is repeated had its readings; how often it was stopped meanwhile is not in them.
    if (values_.is("device.on_failure", "skip")) plan.most_skipped = recorded_.empty() ? kMostSkipped : std::numeric_limits<Index>::max();
  }
  plan.device_seconds = values_.number("budget.device_seconds");
  plan.input_dropout = values_.number("model.input_dropout");
  plan.encoder = encoder_options(values_);
  plan.scale = feature_scale(values_);
  plan.cache_mib = values_.integer("training.cache_mib");
  plan.log = {.train_samples = values_.integer("training.log_samples"), .test = values_.flag("training.log_test")};
  plan.names = {.solver = solver(),
                .dataset = values_.word("dataset.name"),
                .preset = values_.word("preset"),
                .estimator = values_.word("gradient.estimator"),
                .epochs = values_.integer("training.epochs")};
  plan.description = to_toml();
  plan.rewrite = [](const std::string& written) { return parse(written, "checkpoint").to_toml(); };
  plan.described_by_config = true;
  return plan;
}

}  // namespace ffzero
