// Where a run stands, as plain data: what it is gone on with from, and what a trained network is used by.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/base/ledger.hpp"
#include "ffzero/dataset/dataset.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/plan.hpp"
#include "ffzero/train/record.hpp"

namespace ffzero {

/// How samples enter a trained network, and how its layers decide. A voter is what was trained as one: a layer (local), a few layers
/// (grouped), the network (end to end).
struct PredictionPlan {
  EncoderOptions encoder;
  ScaleKind scale = ScaleKind::none;
  std::vector<Index> last_layers;           ///< of each voter, in the order of the data flow
  bool end_to_end = false;                  ///< one voter, whose last layer is read by the head of the whole network
  std::optional<VoteOptions> vote;          ///< none: one voter, or regression
  Index evaluation_rows = kEvaluationRows;  ///< samples that an evaluation takes at once, >= 1
};
[[nodiscard]] PredictionPlan prediction_plan(const TrainPlan& plan);

/// Everything that a training has reached. A value: copies share nothing with the trainer. ffzero/checkpoint writes it to a file and reads
/// it back.
struct TrainerState {
  std::string description;           ///< TrainPlan::description
  bool described_by_config = false;  ///< TrainPlan::described_by_config: if not, only the caller can make the layers again
  PredictionPlan prediction;         ///< a file of a run that a configuration describes leaves it out: Config::plan says it

  std::size_t block = 0;       ///< that is being trained; the number of blocks at the end
  Index epoch = 0, step = 0;   ///< finished ones of this block, of this epoch
  double loss_sum = 0.0;       ///< over the steps of this epoch
  Index lossless = 0;          ///< steps of this epoch that had no loss, because no reading came back
  Index skipped_of_block = 0;  ///< the same of this block
  bool finished = false;       ///< nothing is left to train
  double elapsed_s = 0.0, evaluation_s = 0.0;
  /// What computed it, from the beginning on (arithmetic_description): more than one where a run went on on another machine or by another
  /// build, whose last bits may differ. Empty: not known.
  std::vector<std::string> arithmetic;

  Ledger ledger;
  std::vector<EpochRecord> records;
  std::vector<MeasuredControl> measured;      ///< one a block
  std::vector<InstrumentRecord> instruments;  ///< names of layers are not kept
  Skipped skipped;

  Index train_size = 0;
  Index classes = 0;   ///< K of the heads; the number of targets in regression
  DatasetInfo data;    ///< of the train set; its name is not kept
  bool bytes = false;  ///< samples are pixels 0 .. 255

  std::optional<VoteRule> vote_rule;  ///< that the validation samples chose, when they were asked
  std::optional<std::size_t>
      deciding_voter;  ///< that TrainPlan::best_layer chose, or the last one that the budget reached, when training was over

  /// Parameters, prototypes, statistics and components of the network by name (Network::save), the scale of the features, moments of the
  /// optimiser ("optimizer.moments", "optimizer.schedule", "readout.moments"), memory of the estimator ("gradient.memory"), readings of a
  /// readout that is still to be fitted ("readout.reads").
  NpzArchive arrays;
};

}  // namespace ffzero
