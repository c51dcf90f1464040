// A whole training as plain data: which layers are trained together, with what, and what is recorded of it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/encode/encoder.hpp"
#include "ffzero/encode/feature_scale.hpp"
#include "ffzero/train/options.hpp"

namespace ffzero {

/// Samples that an evaluation takes at once, unless inference uses the statistics of the batch itself.
inline constexpr Index kEvaluationRows = 1024;

/// Layers [first, last) and how they are trained.
struct BlockPlan {
  Index first = 0, last = 1;
  BlockOptions options;
  Index evaluation_rows = kEvaluationRows;  ///< samples that an evaluation takes at once, >= 1
};

/// What a run is called in records and reports.
struct RunNames {
  std::string solver;  ///< ff_dd, bp_ad, ..
  std::string dataset;
  std::string preset;
  std::string estimator;  ///< that of most layers
  Index epochs = 0;       ///< those of most blocks
};

/// How TrainPlan::forward_evals is shared out among the blocks that are trained.
enum class BudgetSplit {
  none,  ///< in the order of training: the first blocks take what they need
  even   ///< equal shares; what a block leaves over goes to those after it
};

/// TrainPlan::cache_mib unless it is said: what a machine of 16 GiB has to spare.
inline constexpr Index kDefaultCacheMib = 6144;

/// What the training loop reads, and nothing else. Made from a configuration (Config::plan) or from options (make_plan).
struct TrainPlan {
  std::vector<BlockPlan> blocks;    ///< in the order of the data flow, without gaps
  bool end_to_end = false;          ///< one block, whose last layer is read by the head of the whole network
  std::optional<VoteOptions> vote;  ///< none: one block, or regression
  /// Where one layer decides (VoteRule::last, regression): the best one by validation, or by the train set, in place of the last.
  bool best_layer = false;
  std::uint64_t seed = 0;          ///< of the order of samples, directions, dropout
  std::int64_t forward_evals = 0;  ///< stop before the training evaluations pass this number; 0: no limit
  BudgetSplit budget_split = BudgetSplit::none;
  double device_seconds = 0.0;  ///< stop before the time spent waiting for instruments passes this number; 0: no limit
  /// Steps in a row that may pass without any reading of an instrument, which then changes nothing; 0: a failed reading ends the run.
  Index most_skipped = 0;
  Index steadiness_rows = 0;   ///< readings by which noise and drift of instruments are judged after each epoch; 0: not at all
  double input_dropout = 0.0;  ///< share of the network's inputs that is dropped in training, in [0, 1)
  /// Most memory for the outputs of trained layers, of each split by itself, in MiB, >= 0. Outputs that do not fit are computed again (by
  /// an instrument: read again) whenever they are wanted, and billed.
  Index cache_mib = kDefaultCacheMib;
  EncoderOptions encoder;
  ScaleKind scale = ScaleKind::none;  ///< of the features of tables, fitted on the train set without labels
  LogOptions log;
  RunNames names;
  /// What a checkpoint keeps of this plan, and what a resumed run must say again: the resolved configuration, or a text of the caller.
  std::string description;
  /// What a description that an earlier version wrote would be in this one; empty: descriptions do not change.
  std::function<std::string(const std::string&)> rewrite;
  bool described_by_config = false;  ///< true: `description` is TOML that builds the network too

  /// True if best_layer holds and has a meaning: several blocks, one of which decides.
  [[nodiscard]] bool chooses_layer() const {
    return best_layer && !end_to_end && (!vote || (!vote->validated && vote->rule == VoteRule::last));
  }
  /// Most training evaluations, all layers together, that may be made when block number `block` ends; 0: no limit.
  [[nodiscard]] std::int64_t limit_after(std::size_t block) const;
  /// layers: of the network. @throws ConfigError naming the field that is wrong.
  void validate(Index layers) const;
};

/// Everything that a user of the library says about a training.
struct TrainOptions {
  BlockOptions block = {};                      ///< of every block
  std::map<Index, BlockOptions> block_of = {};  ///< in place of `block` for the block that begins with this layer
  Scope scope = Scope::local;
  Index block_layers = 2;  ///< of Scope::grouped, >= 1
  VoteOptions vote = {};
  bool best_layer = false;  ///< as TrainPlan::best_layer
  std::uint64_t seed = 0;
  std::int64_t forward_evals = 0;  ///< as TrainPlan::forward_evals
  BudgetSplit budget_split = BudgetSplit::none;
  EncoderOptions encoder = {};
  ScaleKind scale = ScaleKind::none;   ///< as TrainPlan::scale
  Index cache_mib = kDefaultCacheMib;  ///< as TrainPlan::cache_mib
  LogOptions log = {};

  /// @throws ConfigError naming the field that is wrong.
  void validate() const;
};

/// The plan for a network of `layers` layers on a data set of this name and task. @throws ConfigError naming the field that is wrong.
[[nodiscard]] TrainPlan make_plan(const TrainOptions& options, Index layers, const std::string& dataset, bool regression);

/// ff_dd | ff_ad | bp_dd | bp_ad, ff_activity, ff_coordinate, grouped_dd, ..
[[nodiscard]] std::string solver_name(Scope scope, const std::string& estimator);

}  // namespace ffzero
