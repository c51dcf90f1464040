// Choice of the estimator.
// SPDX-License-Identifier: MIT
#include "ffzero/train/step_gradient.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/gradient/directional.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "ffzero/objective/one_sided_loss.hpp"
#include "ffzero/train/chip_twin_step.hpp"
#include "ffzero/train/model_twin.hpp"
#include "ffzero/train/transfer_step.hpp"

namespace ffzero {

namespace {

// The length to begin with where it is to be measured.
constexpr double kFirstEps = 1e-3;

DirectionalOptions started(DirectionalOptions options) {
  if (options.eps == kMeasured) options.eps = kFirstEps;
  return options;
}

template <class S>
class DirectionalStep final : public StepGradient<S> {
 public:
  DirectionalStep(const DirectionalOptions& options, const Block<S>& block, const Executor& executor, Ledger& ledger)
      : executor_(executor),
        loss_(block, executor, ledger),
        estimator_(started(options)),
        cost_(2 * options.directions * isize(block.layers.size()) * (block.loss->joint() ? loss_.layout().groups : 1)) {
    estimator_.start_memory(loss_.dimension());
  }
  double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& random, std::span<S> gradient) override {
    loss_.set_batch(batch);
    return estimator_.estimate(loss_, theta, random, executor_, gradient);
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return cost_; }
  [[nodiscard]] Information information() const override { return loss_.layout().groups > 1 ? Information::grouped : Information::opaque; }
  [[nodiscard]] bool serves_ranks() const override { return loss_.serves_ranks(); }
  [[nodiscard]] Index missing_pairs() const override { return pairs_of_step() - estimator_.pairs(); }
  [[nodiscard]] Index pairs_of_step() const override { return estimator_.options().directions; }
  void set_eps(double eps) override { estimator_.set_eps(eps); }
  [[nodiscard]] std::span<S> memory() override { return estimator_.memory(); }
  [[nodiscard]] BlockLoss<S>& loss() override { return loss_; }

 private:
  const Executor& executor_;
  BlockLoss<S> loss_;
  Directional<S> estimator_;
  std::int64_t cost_;
};

template <class S>
class AdjointStep final : public StepGradient<S> {
 public:
  AdjointStep(const Block<S>& block, const Executor& executor, Ledger& ledger)
      : loss_(block, executor, ledger), cost_(isize(block.layers.size())) {}
  double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& /*random*/, std::span<S> gradient) override {
    loss_.set_batch(batch);
    return loss_.value_and_gradient(theta, gradient);
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return cost_; }
  [[nodiscard]] Information information() const override { return Information::adjoint; }
  [[nodiscard]] BlockLoss<S>& loss() override { return loss_; }

 private:
  AdjointBlockLoss<S> loss_;
  std::int64_t cost_;
};

// The slopes of the powers in every phase from shifted reads; simulated by one pullback, which gives the same numbers, and billed as reads.
template <class S>
class CoordinateStep final : public StepGradient<S> {
 public:
  CoordinateStep(const Block<S>& block, const Executor& executor, Ledger& ledger)
      : loss_(block, executor, ledger), block_(block), ledger_(ledger) {
    const auto* single = dynamic_cast<const InterferometerMesh<S>*>(block.layers[0]->map.get());
    const auto* several = dynamic_cast<const ParallelMeshes<S>*>(block.layers[0]->map.get());
    const auto* chips = dynamic_cast<const ChipMesh<S>*>(block.layers[0]->map.get());
    const auto* detectors = dynamic_cast<const ChipDetectors<S>*>(block.layers[0]->readout.get());
    if (chips != nullptr && (!chips->shifts_exactly() || (detectors != nullptr && !detectors->smooth())))
      throw ConfigError(
          "gradient.estimator",
          "the rule of shifted reads is simulated only for chips whose phases move one by one by what is asked for, read without "
          "noise and steps",
          "another chip", "use \"directional\", with gradient.distribution = \"coordinate\" for one phase at a time");
    if (block.layers.size() != 1 || block.layers[0]->loss_after != 0 || (single == nullptr && several == nullptr && chips == nullptr))
      throw ConfigError("gradient.estimator", "the coordinate rule reads the powers right behind one mesh", "another block",
                        "use a photonic model with objective.scope = \"local\" and model.local_loss_at = \"pre\"");
    // Meshes side by side are read at the same time.
    const MeshLayout& layout = chips != nullptr ? chips->layout() : single != nullptr ? single->layout() : several->mesh().layout();
    reads_ = layout.shift_reads();
  }
  double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& /*random*/, std::span<S> gradient) override {
    loss_.set_batch(batch);
    const double loss = loss_.value_and_gradient(theta, gradient);
    const Index layer = block_.first_layer;
    ledger_.bill(layer, layer + 1, &Evaluations::training, reads_ * batch.x.rows());
    ledger_.bill(layer, layer + 1, &Evaluations::pullbacks, -batch.x.rows());
    return loss;
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return 1 + reads_; }
  [[nodiscard]] Information information() const override { return Information::activity; }
  [[nodiscard]] BlockLoss<S>& loss() override { return loss_; }

 private:
  AdjointBlockLoss<S> loss_;
  Block<S> block_;
  Ledger& ledger_;
  std::int64_t reads_ = 0;
};

// One parameter of every group at a time, in turn.
template <class S>
class OneSidedStep final : public StepGradient<S> {
 public:
  OneSidedStep(const CoordinateOptions& options, const Block<S>& block, const Executor& executor, Ledger& ledger)
      : loss_(block, executor, ledger), step_(options.step), members_(usize(loss_.layout().groups)) {
    if (block.one_loss && block.head->groups() > 1)
      throw ConfigError("gradient.one_loss", "single parameters are held against all outputs of a layer", "true",
                        "use false, or gradient.estimator = \"directional\"");
    for (const Unit& unit : loss_.layout().units)
      for (const Segment& s : unit.segments)
        for (Index i = s.begin; i < s.begin + s.size; ++i) members_[usize(unit.group)].push_back(i);
    for (const auto& group : members_) turn_ = std::max(turn_, isize(group.size()));
    moves_.resize(usize(std::min(options.parameters, turn_)));
    cost_ = (1 + isize(moves_.size())) * isize(block.layers.size());
  }
  void begin_step(Index number, Index /*steps*/, Index /*epochs*/) override { number_ = number; }
  double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& /*random*/, std::span<S> gradient) override {
    parts_.clear();
    for (Index j = 0; j < isize(moves_.size()); ++j) {
      const std::int64_t at = number_ * isize(moves_.size()) + j, before = at / turn_;
      if (parts_.empty() || parts_.back().before != before) parts_.push_back({.before = before, .parameters = {}});
      auto& move = moves_[usize(j)];
      move.clear();
      for (const auto& group : members_)
        if (at % turn_ < isize(group.size())) move.push_back(group[usize(at % turn_)]);
      auto& part = parts_.back().parameters;
      part.insert(part.end(), move.begin(), move.end());
    }
    std::fill(gradient.begin(), gradient.end(), S{0});
    loss_.set_batch(batch);
    const OneSidedSlopes slopes = loss_.slopes(theta, moves_, step_, gradient);
    missing_ = slopes.missing();
    return missing_ < pairs_of_step() || moves_.empty() ? slopes.loss : std::numeric_limits<double>::quiet_NaN();
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return cost_; }
  [[nodiscard]] Information information() const override { return loss_.layout().groups > 1 ? Information::grouped : Information::opaque; }
  [[nodiscard]] Index missing_pairs() const override { return missing_; }
  [[nodiscard]] Index pairs_of_step() const override { return std::max<Index>(1, isize(moves_.size())); }
  [[nodiscard]] std::span<const EstimatedPart> parts() const override { return parts_; }
  void set_eps(double eps) override { step_ = eps; }
  [[nodiscard]] BlockLoss<S>& loss() override { return loss_; }

 private:
  OneSidedBlockLoss<S> loss_;
  double step_;
  std::vector<std::vector<Index>> members_;  // of every group, in the order of their turns
  Index turn_ = 0;                           // readings until all of them were moved
  std::vector<std::vector<Index>> moves_;
  std::vector<EstimatedPart> parts_;
  std::int64_t number_ = 0, cost_ = 0;
  Index missing_ = 0;
};

template <class S>
class ActivityStep final : public StepGradient<S> {
 public:
  ActivityStep(const ActivityPerturbation& options, const Block<S>& block, const Executor& executor, Ledger& ledger)
      : loss_(block, executor, ledger), perturbation_(options) {
    cost_ = activity_cost(perturbation_, *block.head, block.loss->joint());
    if (block.layers.size() != 1 || block.end_to_end)
      throw ConfigError("gradient.estimator", "activity perturbation trains one layer at a time", "a block of several layers",
                        "use objective.scope = \"local\"");
  }
  double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& random, std::span<S> gradient) override {
    loss_.set_batch(batch);
    return loss_.activity_gradient(theta, perturbation_, random, gradient);
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return cost_; }
  [[nodiscard]] Information information() const override { return Information::activity; }
  [[nodiscard]] bool serves_ranks() const override { return loss_.serves_ranks(); }
  [[nodiscard]] BlockLoss<S>& loss() override { return loss_; }

 private:
  AdjointBlockLoss<S> loss_;
  ActivityPerturbation perturbation_;
  std::int64_t cost_;
};

template <class S>
std::unique_ptr<StepGradient<S>> make_twin_step(const TwinOptions& options, const Block<S>& block, const Executor& executor,
                                                Ledger& ledger) {
  if constexpr (std::is_same_v<S, float>)
    if (const auto* twinned = dynamic_cast<const Twinned<S>*>(block.layers[0]->map.get()); twinned != nullptr && twinned->twin() != nullptr)
      return make_model_twin_step(options, *twinned->twin(), block, executor, ledger);
  if (dynamic_cast<const Instrument<S>*>(block.layers[0]->map.get()) != nullptr)
    throw ConfigError(block.layers[0]->name + ": gradient.estimator", "needs a device with a twin", "one without",
                      "give it one (in Python: ffzero.device(..., twin=..)), or use gradient.estimator = \"directional\"");
  if constexpr (std::is_same_v<S, float>)
    return make_chip_twin_step(options, block, executor, ledger);
  else
    throw ConfigError("gradient.estimator", "a twin computes in float", "double");
}

}  // namespace

Registry<EstimatorFactory>& estimators() {
  using Entry = Registry<EstimatorFactory>::Entry;
  using Made = std::unique_ptr<StepGradient<float>>;
  const auto whole = [](double number) { return static_cast<Index>(std::llround(number)); };
  static Registry<EstimatorFactory> all(
      "gradient.estimator",
      {Entry{.name = "directional",
             .doc = "Losses at parameters moved a little forwards and backwards along random directions.",
             .numbers = {{"directions", static_cast<double>(DirectionalOptions{}.directions)},
                         {"eps", DirectionalOptions{}.eps},
                         {"recycle", DirectionalOptions{}.recycle}},
             .make = [whole](const NamedNumbers& n, const Block<float>& block, const Executor& executor, Ledger& ledger) -> Made {
               const DirectionalOptions options{.directions = whole(n.at("directions")), .eps = n.at("eps"), .recycle = n.at("recycle")};
               return std::make_unique<DirectionalStep<float>>(options, block, executor, ledger);
             }},
       Entry{.name = "activity",
             .doc = "Outputs of a layer moved sample by sample.",
             .numbers = {{"directions", static_cast<double>(ActivityPerturbation{}.directions)}, {"eps", ActivityPerturbation{}.eps}},
             .make = [whole](const NamedNumbers& n, const Block<float>& block, const Executor& executor, Ledger& ledger) -> Made {
               const ActivityPerturbation options{.directions = whole(n.at("directions")), .eps = n.at("eps")};
               return std::make_unique<ActivityStep<float>>(options, block, executor, ledger);
             }},
       Entry{.name = "coordinate",
             .doc = "Slopes of the powers of a mesh, phase by phase, from shifted readings.",
             .make = [](const NamedNumbers&, const Block<float>& block, const Executor& executor, Ledger& ledger) -> Made {
               return std::make_unique<CoordinateStep<float>>(block, executor, ledger);
             }},
       Entry{.name = "twin",
             .doc = "Readings of a photonic chip, and the derivatives of a model with errors that is fitted to them.",
             .make = [](const NamedNumbers&, const Block<float>& block, const Executor& executor, Ledger& ledger) -> Made {
               return make_twin_step<float>(TwinOptions{}, block, executor, ledger);
             }},
       Entry{.name = "transfer",
             .doc = "A transfer matrix that is learnt from readings of powers, and its derivatives.",
             .make = [](const NamedNumbers&, const Block<float>& block, const Executor& executor, Ledger& ledger) -> Made {
               return make_transfer_step(TransferOptions{}, block, executor, ledger);
             }},
       Entry{.name = "adjoint",
             .doc = "Exact derivatives.",
             .make = [](const NamedNumbers&, const Block<float>& block, const Executor& executor, Ledger& ledger) -> Made {
               return std::make_unique<AdjointStep<float>>(block, executor, ledger);
             }}});
  return all;
}

template <class S>
std::unique_ptr<StepGradient<S>> make_step_gradient(const EstimatorOptions& options, const Block<S>& block, const Executor& executor,
                                                    Ledger& ledger) {
  if (const auto* named = std::get_if<NamedEstimator>(&options)) {
    if constexpr (std::is_same_v<S, float>)
      return estimators().at(named->name).make(estimators().numbers(named->name, named->numbers), block, executor, ledger);
    else
      throw ConfigError("gradient.estimator", "an estimator by name is for networks of float", named->name, "use its options");
  }
  if (const auto* activity = std::get_if<ActivityPerturbation>(&options))
    return std::make_unique<ActivityStep<S>>(*activity, block, executor, ledger);
  if (const auto* directional = std::get_if<DirectionalOptions>(&options))
    return std::make_unique<DirectionalStep<S>>(*directional, block, executor, ledger);
  if (const auto* twin = std::get_if<TwinOptions>(&options)) return make_twin_step<S>(*twin, block, executor, ledger);
  if (const auto* transfer = std::get_if<TransferOptions>(&options)) {
    if constexpr (std::is_same_v<S, float>)
      return make_transfer_step(*transfer, block, executor, ledger);
    else
      throw ConfigError("gradient.estimator", "a transfer matrix is learnt in float", "double");
  }
  if (const auto* coordinate = std::get_if<CoordinateOptions>(&options)) {
    if (coordinate->one_sided) return std::make_unique<OneSidedStep<S>>(*coordinate, block, executor, ledger);
    return std::make_unique<CoordinateStep<S>>(block, executor, ledger);
  }
  return std::make_unique<AdjointStep<S>>(block, executor, ledger);
}

template std::unique_ptr<StepGradient<float>> make_step_gradient(const EstimatorOptions&, const Block<float>&, const Executor&, Ledger&);
template std::unique_ptr<StepGradient<double>> make_step_gradient(const EstimatorOptions&, const Block<double>&, const Executor&, Ledger&);

}  // namespace ffzero
