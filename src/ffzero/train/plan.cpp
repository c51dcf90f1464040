// Plans from options.
// SPDX-License-Identifier: MIT
#include "ffzero/train/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ffzero/base/error.hpp"
#include "ffzero/train/step_gradient.hpp"

namespace ffzero {

namespace {

[[noreturn]] void refuse(const std::string& place, const std::string& requirement, const std::string& value,
                         const std::string& remedy = {}) {
  throw ConfigError(place, requirement, value, remedy);
}

// In bytes it must be a number that a machine can count.
void require_cache(const char* place, Index mib) {
  constexpr Index kMost = 1'000'000'000;
  if (mib < 0 || mib > kMost) refuse(place, fmt::format("must lie in 0 .. {}", kMost), std::to_string(mib));
}

std::string described(const NamedNumbers& numbers) {
  std::string text;
  for (const auto& [name, number] : numbers) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, number);
  return "(" + text + ")";
}

std::string stage_rates(const TwinOptions& twin) {
  if (twin.calibrated_lr <= 0.0 && twin.chip_lr <= 0.0) return "";
  return fmt::format(", calibrated_lr {}, chip_lr {}", twin.calibrated_lr, twin.chip_lr);
}

// Everything that changes the numbers of a run; a checkpoint goes on only with the same text.
std::string described(const BlockPlan& block) {
  const BlockOptions& o = block.options;
  std::string estimator = estimator_name(o.estimator);
  if (const auto* d = std::get_if<DirectionalOptions>(&o.estimator))
    estimator += fmt::format("(directions {}, eps {}, distribution {}, aggregation {}, recycle {})", d->directions, d->eps,
                             static_cast<int>(d->distribution), to_string(d->aggregation), d->recycle);
  if (const auto* a = std::get_if<ActivityPerturbation>(&o.estimator))
    estimator += fmt::format("(space {}, directions {}, eps {})", static_cast<int>(a->space), a->directions, a->eps);
  if (const auto* c = std::get_if<CoordinateOptions>(&o.estimator); c != nullptr && c->one_sided)
    estimator += fmt::format("(one-sided, parameters {}, step {})", c->parameters, c->step);
  if (const auto* n = std::get_if<NamedEstimator>(&o.estimator)) estimator += described(estimators().numbers(n->name, n->numbers));
  if (const auto* t = std::get_if<TransferOptions>(&o.estimator))
    estimator += fmt::format("(parameters {}, readings {}, held_out {}, base {}, steps {}, step {}, gate {})", t->parameters, t->readings,
                             t->held_out, t->base, t->steps, t->step, t->gate);
  if (const auto* t = std::get_if<TwinOptions>(&o.estimator))
    estimator += fmt::format(
        "(along {}, freedom {}, settings {}, samples {}, spread {}, steps {}, lr {}, start {}, refine {}, fit_lr {}{})", t->along,
        static_cast<int>(t->calibration.freedom), t->calibration.settings, t->calibration.samples, t->calibration.spread,
        t->calibration.steps, t->calibration.lr, t->start_epochs, t->refine_epochs, t->fit_lr, stage_rates(*t));
  if (o.importance_samples > 0) estimator += fmt::format(" of {} samples", o.importance_samples);
  const auto last = [](double temperature) {
    return temperature > 0.0 ? fmt::format(", last_temperature {}", temperature) : std::string();
  };
  std::string loss = make_loss<double>(o.loss)->name();
  if (const auto* l = std::get_if<NamedLoss>(&o.loss)) loss = l->name + described(losses().numbers(l->name, l->numbers));
  if (const auto* l = std::get_if<CrossEntropyOptions>(&o.loss))
    loss += fmt::format("(temperature {}, smoothing {}{})", l->temperature, l->smoothing, last(l->last_temperature));
  if (const auto* l = std::get_if<NPairOptions>(&o.loss))
    loss += fmt::format("(temperature {}, margin {}{})", l->temperature, l->margin, last(l->last_temperature));
  if (const auto* l = std::get_if<MarginOptions>(&o.loss)) loss += fmt::format("(margin {})", l->margin);
  std::string rule = rule_name(o.update.rule);
  if (const auto* r = std::get_if<NamedRule>(&o.update.rule)) rule += described(update_rules().numbers(r->name, r->numbers));
  if (const auto* r = std::get_if<MomentumOptions>(&o.update.rule)) rule = fmt::format("momentum({})", r->beta);
  if (const auto* r = std::get_if<AdamOptions>(&o.update.rule))
    rule = fmt::format("adam({}, {}, {}, {}, {})", r->beta1, r->beta2, r->epsilon, static_cast<int>(r->epsilon_form), r->weight_decay);
  const ScheduleOptions& s = o.update.schedule;
  return fmt::format(
      "layers {} to {}: loss {}, reduction {}, one_loss {}, estimator {}, rule {}, lr {}, schedule {}({}, {}, {}, {}, {}, {}), "
      "hold_norm {}, epochs {}, batch {}\n",
      block.first, block.last, loss, o.reduction == Reduction::sum ? "sum" : "mean", o.one_loss, estimator, rule, o.update.lr,
      to_string(s.kind), s.warmup_steps, s.minimum, s.drop_factor, s.drops, s.patience, s.improvement, o.update.hold_norm, o.epochs,
      o.batch_size);
}

std::string described(const TrainPlan& plan) {
  const EncoderOptions& e = plan.encoder;
  std::string text =
      fmt::format("training of the library's caller: {}, seed {}, forward_evals {}, crop {}, downsample {}, shift {}, flip {}, scale {}\n",
                  plan.names.solver, plan.seed, plan.forward_evals, e.crop, e.downsample, e.shift, e.flip, static_cast<int>(plan.scale));
  if (plan.budget_split == BudgetSplit::even) text += "budget_split even\n";
  if (plan.cache_mib != kDefaultCacheMib) text += fmt::format("cache_mib {}\n", plan.cache_mib);
  for (const BlockPlan& block : plan.blocks) text += described(block);
  return text;
}

// What an estimator by name is made of is known where it is made: those that read on their own do not look at the samples of a step.
void require_sampling(const BlockOptions& options, const std::string& place) {
  const auto* named = std::get_if<NamedEstimator>(&options.estimator);
  if (named == nullptr || options.importance_samples == 0 || named->name == "directional") return;
  const std::vector<std::string> own = estimators().added();
  if (std::find(own.begin(), own.end(), named->name) == own.end())
    refuse(place + ": BlockOptions::importance_samples", "must be 0 for this estimator", named->name,
           "use \"directional\" or one of your own");
}

}  // namespace

std::string solver_name(Scope scope, const std::string& estimator) {
  const std::string first = scope == Scope::local ? "ff" : scope == Scope::end_to_end ? "bp" : "grouped";
  return first + "_" + (estimator == "directional" ? "dd" : estimator == "adjoint" ? "ad" : estimator);
}

void TrainPlan::validate(Index layers) const {
  if (blocks.empty()) refuse("TrainPlan::blocks", "must name at least one block", "none");
  Index next = 0;
  for (const BlockPlan& block : blocks) {
    const std::string place = fmt::format("layers {} to {}", block.first, block.last);
    if (block.first != next || block.last <= block.first)
      refuse("TrainPlan::blocks", "must follow one another without gaps", place, fmt::format("begin the next block with layer {}", next));
    if (block.evaluation_rows < 1) refuse("BlockPlan::evaluation_rows", "must be at least 1", std::to_string(block.evaluation_rows));
    block.options.validate(place);
    require_sampling(block.options, place);
    next = block.last;
  }
  if (next != layers) refuse("TrainPlan::blocks", fmt::format("must hold the {} layers of the network", layers), std::to_string(next));
  if (end_to_end && blocks.size() != 1) refuse("TrainPlan::end_to_end", "needs one block of all layers", std::to_string(blocks.size()));
  if (vote && !(vote->temperature > 0.0))
    refuse("VoteOptions::temperature", "must be a positive number", fmt::format("{}", vote->temperature));
  if (forward_evals < 0) refuse("TrainPlan::forward_evals", "must not be negative", std::to_string(forward_evals));
  if (!(device_seconds >= 0.0)) refuse("TrainPlan::device_seconds", "must not be negative", fmt::format("{}", device_seconds));
  if (steadiness_rows < 0 || steadiness_rows == 1)
    refuse("TrainPlan::steadiness_rows", "must be 0, or 2 and more", std::to_string(steadiness_rows));
  if (!(input_dropout >= 0.0 && input_dropout < 1.0))
    refuse("TrainPlan::input_dropout", "must lie in [0, 1)", fmt::format("{}", input_dropout));
  require_cache("TrainPlan::cache_mib", cache_mib);
  if (log.train_samples < 0) refuse("LogOptions::train_samples", "must not be negative", std::to_string(log.train_samples));
}

std::int64_t TrainPlan::limit_after(std::size_t block) const {
  if (forward_evals == 0 || budget_split == BudgetSplit::none) return forward_evals;
  std::int64_t shares = 0, ended = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (blocks[b].options.epochs == 0) continue;
    ++shares;
    if (b <= block) ++ended;
  }
  // A product of the budget and a number of blocks may not fit.
  return shares == 0 ? forward_evals : forward_evals / shares * ended + forward_evals % shares * ended / shares;
}

void TrainOptions::validate() const {
  block.validate("TrainOptions::block");
  for (const auto& [layer, options] : block_of) options.validate(fmt::format("TrainOptions::block_of[{}]", layer));
  if (block_layers < 1) refuse("TrainOptions::block_layers", "must be at least 1", std::to_string(block_layers));
  if (forward_evals < 0) refuse("TrainOptions::forward_evals", "must not be negative", std::to_string(forward_evals));
  require_cache("TrainOptions::cache_mib", cache_mib);
}

TrainPlan make_plan(const TrainOptions& options, Index layers, const std::string& dataset, bool regression) {
  options.validate();
  TrainPlan plan;
  const Index size = options.scope == Scope::end_to_end ? layers : options.scope == Scope::grouped ? options.block_layers : 1;
  for (Index first = 0; first < layers; first += size) {
    const auto own = options.block_of.find(first);
    plan.blocks.push_back(
        {.first = first, .last = std::min(first + size, layers), .options = own == options.block_of.end() ? options.block : own->second});
  }
  for (const auto& [layer, ignored] : options.block_of)
    if (std::none_of(plan.blocks.begin(), plan.blocks.end(), [first = layer](const BlockPlan& b) { return b.first == first; }))
      refuse(fmt::format("TrainOptions::block_of[{}]", layer), "must be the first layer of a block", std::to_string(layer));
  plan.end_to_end = options.scope == Scope::end_to_end;
  if (!plan.end_to_end && !regression) plan.vote = options.vote;
  plan.best_layer = options.best_layer;
  plan.seed = options.seed;
  plan.forward_evals = options.forward_evals;
  plan.budget_split = options.budget_split;
  plan.encoder = options.encoder;
  plan.scale = options.scale;
  plan.cache_mib = options.cache_mib;
  plan.log = options.log;
  const std::string estimator = estimator_name(options.block.estimator);
  plan.names = {.solver = solver_name(options.scope, estimator),
                .dataset = dataset,
                .preset = "",
                .estimator = estimator,
                .epochs = options.block.epochs};
  plan.description = described(plan);
  plan.validate(layers);
  return plan;
}

}  // namespace ffzero
