// What a block is trained with, as plain structs: defaults stand in the structs, validate() names the field that is wrong.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "ffzero/base/registry.hpp"
#include "ffzero/gradient/directional.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/map/mesh/chip_twin.hpp"
#include "ffzero/objective/activity.hpp"
#include "ffzero/objective/layer.hpp"
#include "ffzero/update/rule.hpp"
#include "ffzero/update/schedule.hpp"
#include "ffzero/vote/vote.hpp"

namespace ffzero {

/// In place of an eps or a learning rate: found by measurement at the start of a block (train/step_control.hpp).
inline constexpr double kMeasured = 0.0;

/// How the layers of a network are cut into blocks, each trained as one function.
enum class Scope {
  local,       ///< every layer by itself, with a loss of its own
  end_to_end,  ///< all layers together, one loss on the last layer's raw outputs
  grouped,     ///< every `TrainOptions::block_layers` layers together
};
/// Spelling of the key `objective.scope`.
[[nodiscard]] std::string to_string(Scope scope);

/// Single parameters.
struct CoordinateOptions {
  /// False: the gradient of the powers of one interferometer mesh, phase by phase, from shifted readings; two a phase and sample. True: any
  /// map, some parameters of every group in each step, in turn: one reading of the batch, and one more for each of them, moved by `step`.
  bool one_sided = false;
  Index parameters = 32;  ///< one-sided: of each group in a step, >= 1
  double step = 0.02;     ///< one-sided: in the unit of the parameters, > 0
};
/// What follows when what was learnt of a device misses held-out readings by more than its gate.
enum class Fallback {
  outputs,  ///< training goes on with outputs alone, one parameter at a time
  stop,     ///< a GateError; the state before the step stands
};
/// A chip is read, its twin gives the slopes  [docs/imperfect.md, Twins].
struct TwinOptions {
  /// After start_epochs on the twin without errors. True: the chip is read at every step and the twin is fitted along. False: the twin is
  /// calibrated (unless nothing of it is free), and the network trained on it; on the chip in the last refine_epochs, the twin fitted
  /// along.
  bool along = false;
  CalibrationOptions calibration = {};
  Index start_epochs = 0;   ///< >= 0
  Index refine_epochs = 2;  ///< >= 0
  double fit_lr = 1e-3;     ///< of the twin while it is fitted along, > 0
  /// Learning rates of the epochs on the calibrated twin and of those that read the chip; the schedule begins again with them. >= 0; 0:
  /// they go on with the rate and the schedule before them.
  double calibrated_lr = 0.0, chip_lr = 0.0;
  std::string file = {};  ///< a calibration to begin with, in place of readings; empty: none
  double gate = 1.0;      ///< largest relative error of held-out readings that a calibrated twin may have, > 0
  /// Fallback::stop needs a twin that is calibrated: not `along`, and something of it free.
  Fallback fallback = Fallback::outputs;
};
/// A device that is linear in its field and read by powers: its transfer matrix and what single parameters do to it are learnt from
/// readings, and differentiated  [docs/transfer.md].
struct TransferOptions {
  Index parameters = 64;  ///< measured together, then moved by `steps` steps of training, >= 1
  Index readings = 16;    ///< for each of them, >= 8, and 5 more than are held out
  Index held_out = 3;     ///< of these, to judge what was fitted, >= 1
  Index base = 32;    ///< for all of them, by which the matrix is corrected, >= readings; what is moved is held against `readings` of them
  Index steps = 5;    ///< >= 1
  double step = 0.5;  ///< that a parameter is moved by for its readings, > 0
  double gate =
      0.5;  ///< largest relative error of held-out readings with which a parameter is moved, and with which the matrix is used, > 0
  Fallback fallback = Fallback::outputs;  ///< of a matrix that misses the gate
};
/// Exact derivatives: refused for maps that can only be evaluated.
struct AdjointOptions {};
/// An estimator of estimators() (train/step_gradient.hpp), by name. Networks of float alone.
struct NamedEstimator {
  std::string name;
  NamedNumbers numbers = {};  ///< in place of its defaults
};
/// Where the gradient comes from. An eps of kMeasured is for DirectionalOptions alone.
using EstimatorOptions =
    std::variant<DirectionalOptions, ActivityPerturbation, CoordinateOptions, TwinOptions, TransferOptions, AdjointOptions, NamedEstimator>;
/// Spelling of the key `gradient.estimator`.
[[nodiscard]] std::string estimator_name(const EstimatorOptions& options);

/// From a gradient to the next parameters.
struct UpdateOptions {
  RuleOptions rule = SgdOptions{};
  double lr = 1e-2;               ///< learning rate, > 0, or kMeasured
  ScheduleOptions schedule = {};  ///< of the learning rate, over the training of the block
  bool hold_norm = false;  ///< scale each unit of parameters back to its first length after every step: for losses that ignore the scale
};

/// How one block is trained.
struct BlockOptions {
  LossOptions loss = CrossEntropyOptions{};
  Reduction reduction = Reduction::mean;  ///< over the batch; a learning rate means something only with it
  bool one_loss = false;  ///< directional: read one loss for all groups of the layer, as from a device that returns one number
  EstimatorOptions estimator = DirectionalOptions{};
  Index importance_samples = 0;  ///< importance sampling: samples of each batch that the estimate is made of, below batch_size; 0: all
  UpdateOptions update = {};
  Index epochs = 20;       ///< passes over the train set, >= 0
  Index batch_size = 256;  ///< samples in a step, >= 1; the last batch of an epoch may be shorter

  /// @throws ConfigError "<place>: BlockOptions::<field>: ..." for a value out of range.
  void validate(std::string_view place) const;
};

/// How the layers of a classifier decide together.
struct VoteOptions {
  VoteRule rule = VoteRule::last;
  bool validated = false;     ///< the one of last, sum and majority that decides best on the validation samples, in place of `rule`
  double temperature = 0.05;  ///< > 0; of VoteRule::sum_log_softmax
  /// Spelling of the key `vote.rule`.
  [[nodiscard]] std::string name() const { return validated ? "validated" : to_string(rule); }
};

/// What is evaluated beside the training; billed as logging.
struct LogOptions {
  Index train_samples = 5000;  ///< first train samples in the train metric of each epoch, >= 0; 0: none until the block ends
  bool test = true;            ///< the test set after every epoch; else at the end of each block
};

}  // namespace ffzero
