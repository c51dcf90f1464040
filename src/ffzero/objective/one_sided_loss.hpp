// Slopes of a block's loss from outputs: in single parameters, read at one side, and of each sample in its own outputs.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "ffzero/objective/block_loss.hpp"

namespace ffzero {

/// What came of single parameters that were moved to one side.
struct OneSidedSlopes {
  double loss = 0.0;       ///< of the batch, at the reading that the others are held against
  std::vector<bool> came;  ///< false for a reading without samples: the slopes of its parameters are 0 and say nothing
  [[nodiscard]] Index missing() const { return static_cast<Index>(std::count(came.begin(), came.end(), false)); }
};

/// What came of a reading of a batch.
struct SampleSlopes {
  double loss = 0.0;            ///< of the batch
  std::vector<double> lengths;  ///< (B) |dL/dz| of each sample, unreduced; negative for one without a reading
};

/// The slope in a parameter is sum q (z(theta + step) - z(theta)) / step: z is what the head reads, and q = dL/dz follows from z(theta),
/// which was read. The error is of the order of the step. A parameter of a group moves the outputs of its group alone, so the slopes of the
/// group's own outputs, q_g, tell the groups of one reading apart.
template <class S>
class OneSidedBlockLoss final : public BlockLoss<S> {
 public:
  OneSidedBlockLoss(const Block<S>& block, const Executor& executor, Ledger& ledger);

  /// moves: for each reading the parameters that it moves, at most one of every group   step > 0
  /// gradient (dimension): the entries of these parameters are overwritten, others are left alone. Differences and sums in double.
  /// Cost: 1 + moves evaluations of the batch for every layer of the block, billed as training.
  OneSidedSlopes slopes(std::span<const S> theta, std::span<const std::vector<Index>> moves, double step, std::span<S> gradient) const;

  /// How much the loss of each sample depends on its outputs at theta. Cost: 1 evaluation of the batch for every layer of the block, billed
  /// as training.
  [[nodiscard]] SampleSlopes sample_slopes(std::span<const S> theta) const;

 private:
  /// Whether an instrument may leave samples out: what a readout learns from are all readings, and where a row's loss depends on the others
  /// one that is missing spoils them all.
  [[nodiscard]] bool may_miss() const {
    return this->many_ != nullptr && this->batch_->reads == nullptr && this->chain_.independent_tail();
  }
  /// What the head reads of the whole batch at each of `thetas`, one after the other; rows of NaN where an instrument has no answer.
  [[nodiscard]] std::vector<Matrix<S>> read(const std::vector<Vector<S>>& thetas, bool may_miss) const;
  /// Rows of NaN become 0 where they may be missing; returns for each row whether it is there.
  [[nodiscard]] std::vector<bool> take_out_missing(Matrix<S>& z) const;
  /// q: for each of its matrices dL_g/dz of a group of parameters, or with one of all groups together; unreduced. Returns the losses of the
  /// samples.
  Vector<double> output_slopes(const Matrix<S>& z, std::vector<Matrix<S>>& q) const;

  std::vector<Index> group_of_;  // of every parameter
};

extern template class OneSidedBlockLoss<float>;
extern template class OneSidedBlockLoss<double>;

}  // namespace ffzero
