// The one training loop: block after block, epoch after epoch, with what is measured and kept in between.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/train/block_trainer.hpp"
#include "ffzero/train/conclusion.hpp"
#include "ffzero/train/evaluator.hpp"
#include "ffzero/train/session.hpp"
#include "ffzero/train/state.hpp"

namespace ffzero {

/// Where a run stands.
struct Progress {
  std::string layer;
  Index block = 0, blocks = 0, epoch = 0, epochs = 0, step = 0, steps = 0;  ///< epoch and step from 0
  double loss = 0.0;                                                        ///< mean over the epoch so far
  std::int64_t forward_evals = 0;                                           ///< training evaluations so far
  double fraction = 0.0;                                                    ///< of all training evaluations that are planned
};

/// What a caller may watch and steer; every member may be empty.
struct TrainEvents {
  std::function<void(const Progress&)> step_done;
  std::function<void(const EpochRecord&)> epoch_done;
  /// Asked after every step: true finishes cleanly with a checkpoint.
  std::function<bool()> stop_requested;
  /// A line for the user: what looks wrong, and what to do.
  std::function<void(const std::string&)> message;
  /// After an epoch, on interruption and at the end: the state to keep.
  std::function<void(const TrainerState&)> save;
  /// After each save. whole: it holds the state behind all readings of instruments; else the state before some that will be asked for
  /// again.
  std::function<void(bool whole)> saved;
  double save_every_s = 0.0;  ///< seconds from one save to the next that follows an epoch, not negative; 0: after every epoch
};

template <class S>
class Trainer {
 public:
  /// splits outlive the trainer. States hold the network's parameters and state, not its layers: to continue from one, make the same
  /// layers again. executor: with ranks (Executor::ranks), each of them makes the same trainer and calls the same functions; events may be
  /// those of one rank alone. @throws ConfigError if samples, classes, plan and network do not fit each other, if a map cannot serve its
  /// estimator, or if ranks cannot share it out
  Trainer(const TrainPlan& plan, Network<S>&& network, const Splits& splits, std::shared_ptr<const Executor> executor,
          TrainEvents events = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Continues from a state of this plan, before run(). `place` names it in messages. @throws DataError
  void restore(const TrainerState& state, const std::string& place);

  /// Trains what is left and evaluates. Cost: counted in the record's ledger. @throws DivergedError when a loss or a parameter stops
  /// being finite, when a unit of parameters has grown to a million times its first length (NormGuard), or when ranks hold different
  /// parameters: the last saved state is the last good one. @throws DeviceError from a device after saving the state before the step that
  /// failed.
  RunRecord run();

  [[nodiscard]] const Network<S>& network() const noexcept { return session_.network; }
  [[nodiscard]] const Encoder& encoder() const noexcept { return session_.encoder; }
  [[nodiscard]] const Outputs& outputs() const noexcept { return outputs_; }
  [[nodiscard]] const std::vector<EpochRecord>& records() const noexcept { return records_; }
  /// The state to keep: parameters, optimiser, position, ledger, records.
  [[nodiscard]] TrainerState state() const { return state_at(at_); }

 private:
  Outcome run_blocks();
  Outcome train_block(BlockSetup<S>& setup);
  void fit_front(const BlockSetup<S>& setup);
  void apply_fronts(const BlockSetup<S>& setup);
  [[nodiscard]] bool is_unreached(const BlockSetup<S>& setup) const;
  /// True if a block has fewer epochs than it was to have, because its share of the budget was used.
  [[nodiscard]] bool ends_early() const;
  bool after_step(const BlockSetup<S>& setup);
  void finish_epoch(BlockSetup<S>& setup);
  void finish_block(BlockSetup<S>& setup, bool replay);
  [[nodiscard]] RunRecord conclude_run(Outcome outcome);
  void take_arithmetic(const std::vector<std::string>& earlier);
  [[nodiscard]] bool has_recorded(const BlockSetup<S>& setup) const;
  [[nodiscard]] TrainerState state_at(const Position& at) const;
  void save(const Position& at, bool whole);
  /// Does `work`; if a device fails in it, whoever goes on does it again: then what was billed and learnt in it is taken back.
  template <class Work>
  void whole_or_not(Work work);
  /// Of several ranks: whether it was requested from one of them; they also compare their parameters. @throws DivergedError if these differ
  [[nodiscard]] bool stop_requested() const;
  [[nodiscard]] std::optional<GatedEvaluations> gated_evaluations(const BlockSetup<S>& setup) const;
  void tell_gates() const;
  [[nodiscard]] std::int64_t planned_evaluations() const;
  [[nodiscard]] double elapsed() const;

  TrainSession<S> session_;
  TrainEvents events_;
  Evaluator<S> evaluator_;
  BlockTrainer<S> block_;
  Position at_;
  std::vector<MeasuredControl> measured_;  ///< one a block
  std::vector<std::string> arithmetic_;    ///< TrainerState::arithmetic
  std::vector<EpochRecord> records_;
  std::vector<LayerRecord> layers_;
  Outputs outputs_;
  std::string stopped_by_ = "epochs";

  bool trained_ = false;  ///< restored from the end of a run: nothing is left to train
  NpzArchive restored_;   ///< what the next step of a restored run depends on; empty once its block has been gone on with
  std::int64_t planned_ = 0;
  double earlier_s_ = 0.0, evaluation_s_ = 0.0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_save_ = start_;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace ffzero
