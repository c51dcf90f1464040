// The one training loop: for every block, epoch after epoch: batch, estimate, update.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/dataset/load.hpp"
#include "ffzero/encode/encoder.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/block_setup.hpp"
#include "ffzero/train/network.hpp"
#include "ffzero/train/plan.hpp"
#include "ffzero/train/readout_head.hpp"
#include "ffzero/train/record.hpp"
#include "ffzero/train/source.hpp"
#include "ffzero/train/step_control.hpp"
#include "ffzero/update/rule.hpp"
#include "ffzero/update/schedule.hpp"

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
  std::function<void(const NpzArchive&)> save;
  double save_every_s = 0.0;  ///< seconds from one save to the next that follows an epoch, not negative; 0: after every epoch
};

/// Final outputs of a run, for reports.
struct Outputs {
  std::vector<Matrix<float>> test_scores;              ///< one (N_test, K) a layer; regression: K targets
  std::vector<std::vector<std::int32_t>> predictions;  ///< one (N_test) a layer, classification only
  std::vector<std::int32_t> vote;                      ///< (N_test), classification with local losses only
  std::size_t deciding = 0;                            ///< the layer that decides where one does: the last, or that of vote.layer = "best"
};

template <class S>
class Trainer {
 public:
  /// splits outlive the trainer. Checkpoints hold the network's parameters and state, not its layers: to continue from one, make the same
  /// layers again. @throws ConfigError if samples, classes, plan and network do not fit each other, or a map cannot serve its estimator
  Trainer(const TrainPlan& plan, Network<S>&& network, const Splits& splits, std::shared_ptr<const Executor> executor,
          TrainEvents events = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Continues from a checkpoint of this plan. `place` names it in messages. @throws DataError
  void restore(const NpzArchive& checkpoint, const std::string& place);

  /// Trains what is left and evaluates. Cost: counted in the record's ledger. @throws DivergedError when a loss or a parameter stops
  /// being finite, or when a unit of parameters has grown to a million times its first length (losses that do not see the length of the
  /// parameters stay finite, but a step has become smaller than rounding): the last saved state is the last good one. @throws DeviceError
  /// from a device after saving the state before the step that failed.
  RunRecord run();

  [[nodiscard]] const Network<S>& network() const noexcept { return network_; }
  [[nodiscard]] const Encoder& encoder() const noexcept { return encoder_; }
  [[nodiscard]] const Outputs& outputs() const noexcept { return outputs_; }
  [[nodiscard]] const std::vector<EpochRecord>& records() const noexcept { return records_; }
  /// The state to keep: parameters, optimiser, position, ledger, records.
  [[nodiscard]] NpzArchive checkpoint() const;

 private:
  struct SplitScores {
    Matrix<float> scores;  ///< (N, K), summed over groups (classification) or averaged (regression)
    double loss = 0.0;     ///< mean of a sample
  };
  enum class Outcome { done, budget, interrupted };

  Outcome train_block(std::size_t b);
  Outcome train_epoch(BlockSetup<S>& setup);
  double train_step(BlockSetup<S>& setup, std::span<const std::uint32_t> rows);
  void start_block(BlockSetup<S>& setup);
  /// False if the budget does not reach for what is to be measured.
  bool measure_block(BlockSetup<S>& setup);
  Batch<S> gather_batch(const BlockSetup<S>& setup, std::span<const std::uint32_t> rows);
  void finish_epoch(BlockSetup<S>& setup);
  void save_between_epochs(const BlockSetup<S>& setup);
  void warn_of_chance(const BlockSetup<S>& setup, const EpochRecord& record) const;
  void finish_block(BlockSetup<S>& setup, bool replay);
  void apply_fronts();
  /// x, gathered from `source`, through layers [first, last): what they pass on.
  void infer_layers(Index first, Index last, const SampleSource<S>& source, Matrix<S>& x, LayerOutput<S>& out) const;
  /// x through the whole block: out is that of its last layer, head included. x is used up.
  void infer_block(const BlockSetup<S>& setup, const SampleSource<S>& source, Wanted wanted, Matrix<S>& x, LayerOutput<S>& out) const;
  void calibrate(BlockSetup<S>& setup);
  /// Keeps the mean reading of each of these samples in the step.
  void keep_step_reads(std::span<const std::uint32_t> rows);
  /// The readout that learns along with this block; null if there is none.
  [[nodiscard]] ReadoutHead<S>* learning_readout(const BlockSetup<S>& setup) const;
  /// One step of it on the mean readings of this training step.
  void step_readout(const BlockSetup<S>& setup, ReadoutHead<S>& readout, const Targets& targets, double lr);
  /// True between two epochs of a block if the second is sure to read every sample anew: a checkpoint may leave the readings out.
  [[nodiscard]] bool reads_will_be_replaced() const;
  /// One reading of every train sample, billed as propagation.
  void read_train_set(const BlockSetup<S>& setup);
  /// From the readings that training took; after no training at all, from one more.
  void fit_block_readout(BlockSetup<S>& setup);
  void drop_inputs(const BlockSetup<S>& setup, Matrix<S>& x) const;
  void find_initial_norms(const BlockSetup<S>& setup);
  /// The instrument behind a layer; null if there is none.
  [[nodiscard]] const Instrument<S>* instrument(Index layer) const;
  /// What the readings of layers [0, last) are for from now on: they get addresses of their own.
  enum class Purpose : std::uint8_t { step, log, pass, front, control, look };
  void address_readings(Index last, Purpose purpose, std::uint64_t step) const;
  /// Limited parameters of a block move inside, so far that the perturbations of a step stay inside.
  void keep_inside(const BlockSetup<S>& setup);
  /// Noise and drift of the instruments of a block.
  void look_at_instruments(const BlockSetup<S>& setup, Index epoch);
  [[nodiscard]] DeviceReceipt receipt_of(const InstrumentRecord& record) const;
  [[nodiscard]] double device_seconds() const;
  /// Their records with what they were asked to do until now.
  [[nodiscard]] std::vector<InstrumentRecord> instrument_records() const;
  void run_blocks(Outcome& outcome);
  void hold_norms(const BlockSetup<S>& setup, std::span<S> theta) const;
  [[noreturn]] void diverged(const BlockSetup<S>& setup, const std::string& requirement, const std::string& value) const;
  void require_sound_parameters(const BlockSetup<S>& setup) const;
  [[nodiscard]] bool has_recorded(const BlockSetup<S>& setup) const;
  SplitScores evaluate(const BlockSetup<S>& setup, const SampleSource<S>& source, Index samples, Matrix<S>* passed_on);
  Measure measure(const SplitScores& scores, const Dataset& data) const;
  void bill(Index first, Index last, std::int64_t Evaluations::*account, Index samples);
  void finish_run(RunRecord& record);
  [[nodiscard]] std::size_t deciding_layer() const;
  [[nodiscard]] std::int64_t planned_evaluations() const;
  [[nodiscard]] double elapsed() const;
  void save();

  TrainPlan plan_;
  const Splits& splits_;
  std::shared_ptr<const Executor> executor_;
  TrainEvents events_;
  Encoder encoder_;
  Network<S> network_;
  Ledger ledger_;
  std::vector<BlockSetup<S>> blocks_;
  std::optional<SampleSource<S>> train_, validation_, test_;

  // Position and everything that the current block's next step depends on.
  std::size_t block_ = 0;
  Index epoch_ = 0, step_ = 0;
  double loss_sum_ = 0.0, first_loss_ = 0.0;  // of the epoch so far; of the block's first step, 0: not seen
  std::unique_ptr<UpdateRule<S>> rule_, readout_rule_;
  std::vector<MeasuredControl> measured_;  // one a block
  Schedule schedule_;
  bool restored_ = false;
  bool stands_ = false;  // a checkpoint of what is here now can be gone on with
  Vector<S> restored_moments_, restored_memory_, restored_readout_moments_;
  Schedule::State restored_schedule_{};
  std::int64_t planned_ = 0;
  Matrix<S> reads_;  ///< (N, d) what the head last read of each train sample, for the readout; 0: nothing yet; empty: none wanted

  std::vector<InstrumentRecord> instruments_;  ///< receipts: of earlier sessions
  double longest_step_s_ = 0.0;                ///< that a step waited for the instruments
  std::vector<EpochRecord> records_;
  std::vector<LayerRecord> layer_records_;
  std::vector<SplitScores> train_scores_, validation_scores_, test_scores_;
  Outputs outputs_;
  std::string stopped_by_ = "epochs";
  bool trained_ = false;                 ///< restored from the end of a run: nothing is left to train
  VoteRule vote_rule_ = VoteRule::last;  ///< that the layers decided by in the end
  double earlier_s_ = 0.0, evaluation_s_ = 0.0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_save_ = start_;
  Vector<S> gradient_;
  Matrix<S> batch_x_;
  Reads<S> step_reads_;
  std::vector<std::int32_t> batch_labels_;
  std::vector<double> batch_values_, batch_weights_;
  std::vector<double> initial_norms_;  ///< of the units of the current block
  std::vector<Segment> fixed_;
};

extern template class Trainer<float>;
extern template class Trainer<double>;

}  // namespace ffzero
