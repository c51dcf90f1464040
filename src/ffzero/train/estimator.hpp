// The estimator of a block, bound to the block's loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/gradient/information.hpp"
#include "ffzero/objective/block_loss.hpp"

namespace ffzero {

/// Parameters that one estimate is about.
struct EstimatedPart {
  std::int64_t before = 0;        ///< how many estimates were about them before
  std::vector<Index> parameters;  ///< of the block
};

/// Training evaluations that a whole training is to take: if what is learnt of the device passes its gate, and if it does not.
struct GatedEvaluations {
  std::int64_t passed = 0, missed = 0;
};

/// What was learnt of a device misses held-out readings by more than its gate, and the options say that training is to stop there.
class GateError : public CheckError {
 public:
  /// miss: relative error of held-out readings. gate: the largest that the key `gate_key` allows. remedy: what learns more of the device
  GateError(const std::string& block, double miss, double gate, const std::string& gate_key, const std::string& remedy);
  [[nodiscard]] double miss() const noexcept { return miss_; }

 private:
  double miss_;
};

/// What a step reads on average of each layer of the block: samples, and settings of the parameters.
struct StepReadings {
  double rows = 0.0, writes = 0.0;
};

/// Part of the training of a block in which the schedule of the learning rate runs from its beginning to its end.
struct TrainingStage {
  Index first = 0, steps = 0;  ///< of all steps of the training
  double lr = 0.0;             ///< 0: that of the block
};

/// Gradient of one block on one batch after another, by whatever estimator the configuration names.
template <class S>
class StepGradient {
 public:
  virtual ~StepGradient() = default;
  /// Called before cost_of_step and the estimate of step `number` of a training of `epochs` epochs of `steps` steps.
  virtual void begin_step(Index /*number*/, Index /*steps*/, Index /*epochs*/) {}
  /// Where that step belongs to a stage of its own. Empty: the whole training is one.
  [[nodiscard]] virtual std::optional<TrainingStage> stage() const { return std::nullopt; }
  /// gradient (dimension of the block), overwritten. random: the directions of this step. Returns the loss that training logs for free.
  virtual double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& random, std::span<S> gradient) = 0;
  /// Training evaluations that one sample costs in one step, all layers of the block together.
  [[nodiscard]] virtual std::int64_t cost_per_sample() const = 0;
  /// Most training evaluations of step `number` on a batch of `rows` samples, all layers of the block together.
  [[nodiscard]] virtual std::int64_t cost_of_step(Index /*number*/, Index rows) const { return cost_per_sample() * rows; }
  /// Where steps do not read their batches, what they read by plan.
  [[nodiscard]] virtual std::optional<StepReadings> planned_readings() const { return std::nullopt; }
  [[nodiscard]] virtual Information information() const = 0;
  /// The loss that it asks, for probing; set_batch first.
  [[nodiscard]] virtual BlockLoss<S>& loss() = 0;
  [[nodiscard]] const ParameterLayout& layout() { return loss().layout(); }

  /// Pairs of losses that the last estimate lacked because an instrument could not measure them, of `pairs_of_step`.
  [[nodiscard]] virtual Index missing_pairs() const { return 0; }
  /// 1 where an estimate is not made of pairs.
  [[nodiscard]] virtual Index pairs_of_step() const { return 1; }

  /// What the last estimate is about; other parameters stay where they are, with their moments. Empty: all, every time.
  [[nodiscard]] virtual std::span<const EstimatedPart> parts() const { return {}; }

  /// Of all steps of a training of `epochs` epochs over `samples` samples in batches of `batch`, where the estimator has a gate. reads: a
  /// readout learns from readings of whole batches. Empty: there is no gate, or the training has passed it.
  [[nodiscard]] virtual std::optional<GatedEvaluations> gated_evaluations(Index /*samples*/, Index /*batch*/, Index /*epochs*/,
                                                                          bool /*reads*/) const {
    return std::nullopt;
  }
  /// How far what it learnt of the device missed held-out readings, if it has therefore fallen back to estimates from outputs alone; 0: it
  /// has not.
  [[nodiscard]] virtual double fallback() const { return 0.0; }
  /// What a training that has fallen back knew of the device.
  [[nodiscard]] virtual Information fallback_information() const { return Information::opaque; }

  /// True if several ranks (Executor::ranks) share out an estimate; false: each would make all of it.
  [[nodiscard]] virtual bool serves_ranks() const { return false; }

  /// Length of the perturbation, where the estimator has one. @throws ConfigError unless eps > 0
  virtual void set_eps(double /*eps*/) {}
  /// What the estimator remembers from step to step, for checkpoints; empty: nothing.
  [[nodiscard]] virtual std::span<S> memory() { return {}; }
};

}  // namespace ffzero
