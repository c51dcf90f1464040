// The steps of one block: gather a batch, estimate a gradient, update the parameters.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ffzero/train/norm_guard.hpp"
#include "ffzero/train/readout_trainer.hpp"
#include "ffzero/train/session.hpp"
#include "ffzero/train/state.hpp"
#include "ffzero/update/rule.hpp"
#include "ffzero/update/schedule.hpp"

namespace ffzero {

/// How the training of a block ended. share: its part of the budget is used, what is left belongs to the blocks after it.
enum class Outcome { done, share, budget, interrupted };

/// Where a training stands: a step of an epoch of a block, each from 0.
struct Position {
  std::size_t block = 0;
  Index epoch = 0, step = 0;
  double loss_sum = 0.0;  ///< over the steps of this epoch
  Index lossless = 0;     ///< steps of this epoch that had none
  Index skipped = 0;      ///< the same of this block: its optimiser has made as many fewer steps
  [[nodiscard]] bool at_start() const noexcept { return epoch == 0 && step == 0; }
  void next_epoch() {
    ++epoch;
    step = lossless = 0;
    loss_sum = 0.0;
  }
  void next_block() {
    ++block;
    epoch = step = lossless = skipped = 0;
    loss_sum = 0.0;
  }
};

/// Arrays of a state that only the next step depends on: BlockTrainer::save writes them.
inline constexpr std::array<const char*, 5> kStepArrays{"optimizer.moments", "optimizer.schedule", "gradient.memory", "readout.moments",
                                                        "readout.reads"};

template <class S>
class BlockTrainer {
 public:
  explicit BlockTrainer(TrainSession<S>& session);

  /// Before the first step of a block, or before it is gone on with.
  void start(BlockSetup<S>& setup);
  /// Moments, memory and step sizes of the block that was started, at this position of it. @throws DataError if they are of another size
  void restore(const Position& at, const NpzArchive& arrays, const MeasuredControl& measured);
  /// Step sizes that the block asks to be measured. False if the budget does not reach for it.
  [[nodiscard]] bool measure(MeasuredControl& measured);
  /// The steps that are left of an epoch, from at.step on. after_step: called after each, true stops there.
  /// @throws DivergedError, DeviceError: then neither the parameters nor the account have the step that failed.
  Outcome train_epoch(Position& at, const std::function<bool()>& after_step);
  /// At the end of an epoch of this mean loss. @throws DivergedError
  void finish_epoch(const Position& at, double mean_loss);
  /// The block is trained: its readout is fitted, its moments are forgotten.
  void finish();
  void fit_readout() { readout_.fit(*setup_); }

  /// To take back the end of an epoch that was come to in vain.
  [[nodiscard]] const Schedule& schedule() const noexcept { return schedule_; }
  void take_back(const Schedule& schedule) { schedule_ = schedule; }

  /// The loss of the block's first step; 0: it was another session's.
  [[nodiscard]] double first_loss() const noexcept { return first_loss_; }
  /// Adds moments, memory and readings to a state. reads: those of the readout too.
  void save(TrainerState& state, bool reads) const;
  /// Takes over the readings of a state that stands at `at`. @throws DataError naming `place` if they do not fit, or if what restore()
  /// needs is missing
  void take_reads(const NpzArchive& arrays, const Position& at, const std::string& place);

 private:
  /// One step and its share of the epoch, where the plan lets a failed reading pass.
  void take_step(Position& at, std::span<const std::uint32_t> rows);
  /// The loss; nothing if no reading came back: then nothing has changed.
  void take_back_step();
  std::optional<double> step(const Position& at, std::span<const std::uint32_t> rows);
  void update(std::span<S> theta, double lr);
  /// A step of the rule that leaves all other parameters, and their moments, as they are.
  void update_part(const EstimatedPart& part, std::span<S> theta, double lr);
  [[nodiscard]] Batch<S> gather(std::span<const std::uint32_t> rows, Index epoch, Index step);
  void drop_inputs(Index step, Matrix<S>& x) const;
  void keep_inside();
  /// True if this many evaluations more would pass what the block may use.
  [[nodiscard]] bool passes_limit(std::int64_t evaluations) const {
    return limit_ > 0 && session_.ledger.total().training + evaluations > limit_;
  }
  [[nodiscard]] std::span<S> theta() { return session_.network.theta(setup_->first, setup_->last); }
  void require_sound(const Position& at);
  [[noreturn]] void diverged(const Position& at, const std::string& requirement, const std::string& value) const;

  TrainSession<S>& session_;
  BlockSetup<S>* setup_ = nullptr;  ///< null: between two blocks
  ReadoutTrainer<S> readout_;
  std::unique_ptr<UpdateRule<S>> rule_;
  Schedule schedule_;
  NormGuard<S> norms_;
  std::vector<Segment> fixed_;  ///< parameters that belong to no unit: weight decay must not reach them
  std::int64_t limit_ = 0;      ///< TrainPlan::limit_after of the block
  double eps_ = 0.0;            ///< of the perturbations of a step, where limits of instruments are kept
  double first_loss_ = 0.0;
  double longest_step_s_ = 0.0;  ///< that a step waited for the instruments
  Index skipped_in_a_row_ = 0;
  Ledger before_;  ///< of a step; kept, so that a copy into it takes no memory
  Vector<S> gradient_;
  Matrix<S> batch_x_;
  std::vector<std::int32_t> batch_labels_;
  std::vector<double> batch_values_, batch_weights_;
};

extern template class BlockTrainer<float>;
extern template class BlockTrainer<double>;

}  // namespace ffzero
