// Where nothing is known of a device but its outputs: one parameter at a time, from one side.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ffzero/objective/one_sided_loss.hpp"
#include "ffzero/objective/twin_block_loss.hpp"
#include "ffzero/train/estimator.hpp"

namespace ffzero {

/// The parameters of a block, some at a time, turn after turn.
class ParameterTurns {
 public:
  /// at_a_time >= 1
  ParameterTurns(const ParameterLayout& layout, Index at_a_time);
  /// All that the layout covers, in the order of their turns.
  [[nodiscard]] const std::vector<Index>& all() const noexcept { return members_; }
  /// Those whose turn it is.  turn >= 0
  [[nodiscard]] std::span<const Index> of(Index turn) const;
  /// Turns until all were there once, >= 1.
  [[nodiscard]] Index count() const noexcept { return count_; }

 private:
  std::vector<Index> members_;
  Index at_a_time_, count_;
};

/// What an estimator goes on with whose model of a device misses held-out readings. Slopes of a few samples in the parameters of one turn.
class OutputsAlone {
 public:
  /// turns, block, executor, ledger outlive it   most_rows: samples that are read, >= 1   step: that a parameter is moved by, > 0
  OutputsAlone(const ParameterTurns& turns, Index most_rows, double step, const Block<float>& block, const Executor& executor,
               Ledger& ledger);

  /// gradient (dimension), overwritten: 0 but for the parameters of this turn. loss: of the same block; a readout that learns from readings
  /// wants all samples, and they are read with it. Returns the loss of the samples at theta. Cost: `cost` evaluations, billed as training.
  double estimate(const Batch<float>& batch, const TwinBlockLoss<float>& loss, std::span<const float> theta, Index turn,
                  std::span<float> gradient);
  /// Of a turn with a batch of `rows`.  whole: a readout learns from readings of whole batches
  [[nodiscard]] std::int64_t cost(Index turn, Index rows, bool whole) const;
  /// Of the steps from number `first` on, of a training of `epochs` epochs over `samples` samples in batches of `batch`.
  [[nodiscard]] std::int64_t cost_from(Index first, Index samples, Index batch, Index epochs, bool whole) const;

 private:
  const ParameterTurns& turns_;
  OneSidedBlockLoss<float> loss_;
  Index most_rows_;
  double step_;
};

}  // namespace ffzero
