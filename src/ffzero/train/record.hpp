// What a run records about itself.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ffzero/base/device_receipt.hpp"
#include "ffzero/base/ledger.hpp"
#include "ffzero/gradient/information.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Step sizes that were measured at the start of a block; 0: not measured. And what was found out about its estimator.
struct MeasuredControl {
  double eps = 0.0, lr = 0.0;
  std::int64_t forward_evals = 0;  ///< that it took: part of the training account
  double fallback = 0.0;           ///< StepGradient::fallback
  friend bool operator==(const MeasuredControl&, const MeasuredControl&) = default;
};

/// A metric of one split: fraction of correct predictions or R^2, and the mean loss of a sample.
struct Measure {
  double value = 0.0;
  double loss = 0.0;
  friend bool operator==(const Measure&, const Measure&) = default;
};

/// One epoch of a block: a line of metrics.jsonl.
struct EpochRecord {
  std::string layer;
  Index layer_index = 0;
  Index epoch = 0;             ///< from 1
  double training_loss = 0.0;  ///< mean over the epoch's steps of (L+ + L-)/2 or L: free
  std::optional<Measure> train, test, validation;
  std::int64_t forward_evals = 0;  ///< training evaluations so far
  double wall_s = 0.0;
};

struct LayerRecord {
  std::string name;
  Index parameters = 0;
  Information information = Information::none;
  Measure train, test;
  std::optional<Measure> validation;
  MeasuredControl measured;  ///< what the step control found; zeros: nothing was asked of it
};

struct VoteRecord {
  std::string rule;
  double train = 0.0, test = 0.0;
  std::optional<double> validation;
};

/// One look at how steadily an instrument reads: a fixed input at the parameters that training began with.
struct Steadiness {
  Index layer = 0, epoch = 0;  ///< when: after this epoch of this layer; epoch 0: before it
  double noise = 0.0;          ///< standard deviation of a reading, rms over the outputs
  double drift = 0.0;          ///< change of the mean reading since the first look, rms over the outputs
  friend bool operator==(const Steadiness&, const Steadiness&) = default;
};

/// What training went on without, because instruments did not give it.
struct Skipped {
  std::int64_t steps = 0;       ///< without an update
  std::int64_t directions = 0;  ///< left out of the other steps
  friend bool operator==(const Skipped&, const Skipped&) = default;
};

/// An instrument in a run, and what it was really asked to do, over all sessions of the run.
struct InstrumentRecord {
  static constexpr Index kAlone = -1;

  Index layer = 0;
  Index number = kAlone;          ///< among the devices of the run, where several share the layer
  std::string name;               ///< of the layer
  std::string address, identity;  ///< foreign texts, cleaned
  Index inputs = 0, outputs = 0, parameters = 0;
  double declared_noise = 0.0;
  DeviceReceipt receipt;
  std::vector<double> reference;  ///< (outputs) mean of the first look; empty: nobody has looked
  std::vector<Steadiness> looks;
  std::int64_t unasked = 0;  ///< rows among the dropped ones for which it was not asked, because it had failed (ReplicatedMap)
  Index lost_calls = 0;      ///< ReplicatedMap::Attendance::lost
  std::optional<std::int64_t> without_since;  ///< the run does without it since so many evaluations had been billed to training
};

/// Everything that summary.json says about learning.
struct RunRecord {
  std::string solver, dataset, preset, estimator, metric;
  Information information = Information::none;  ///< the strongest that a layer used
  std::uint64_t seed = 0;
  Index epochs = 0;
  std::vector<LayerRecord> layers;
  std::optional<VoteRecord> vote;
  Measure final_train, final_test;
  std::optional<Measure> final_validation;
  std::string deciding_layer;          ///< of vote.layer = "best", or the last one that the budget reached; empty: nothing was chosen
  std::vector<std::string> unreached;  ///< layers of which the budget left nothing for a step; they are not in `layers`
  std::string stopped_by;              ///< epochs | budget | interrupt
  Ledger ledger;
  double load_s = 0.0, training_s = 0.0, evaluation_s = 0.0, total_s = 0.0;
  std::vector<InstrumentRecord> devices;
  Skipped skipped;
  std::vector<std::string> front_ends;  ///< "pca", "trained readout": named beside the information
};

}  // namespace ffzero
