// What is measured beside the training of a block: metrics of the splits, statistics of maps, the outputs that the next block starts from.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "ffzero/train/record.hpp"
#include "ffzero/train/session.hpp"

namespace ffzero {

/// What a block says about the samples of a split.
struct SplitScores {
  Matrix<float> scores;  ///< (N, K), summed over groups (classification) or averaged (regression)
  double loss = 0.0;     ///< mean of a sample
};

/// x, gathered from `source`, through the whole block: out is that of its last layer, head included. x is used up.
template <class S>
void infer_block(const Network<S>& network, const BlockSetup<S>& setup, const SampleSource<S>& source, Wanted wanted, Matrix<S>& x,
                 LayerOutput<S>& out);

template <class S>
class Evaluator {
 public:
  explicit Evaluator(TrainSession<S>& session) : session_(session) {}

  /// Statistics that inference uses, of the parameters as they are now. Cost: one evaluation a train sample of each layer up to the last
  /// one that has any, billed as logging.
  void calibrate(BlockSetup<S>& setup);
  /// The metrics of one epoch, as the plan asks for them. Billed as logging.
  void measure_epoch(const BlockSetup<S>& setup, EpochRecord& record) const;
  /// The warning after a block's first epoch, or nothing. first_loss: of its first step.
  [[nodiscard]] std::string warning(const BlockSetup<S>& setup, const EpochRecord& record, double first_loss) const;
  /// All splits through a trained block, once: its metrics, its scores, and its outputs, from which the next block starts. Billed as
  /// propagation for the train set where another block follows, else as logging; replay: all of it as `replayed`.
  void pass(const BlockSetup<S>& setup, bool replay, LayerRecord& record);

  /// Of the blocks that were passed.
  [[nodiscard]] const std::vector<SplitScores>& train_scores() const noexcept { return train_scores_; }
  [[nodiscard]] const std::vector<SplitScores>& validation_scores() const noexcept { return validation_scores_; }
  [[nodiscard]] const std::vector<SplitScores>& test_scores() const noexcept { return test_scores_; }

 private:
  SplitScores evaluate(const BlockSetup<S>& setup, const SampleSource<S>& source, Index samples, Matrix<S>* passed_on) const;
  Measure log(const BlockSetup<S>& setup, const SampleSource<S>& source, const Dataset& data, Index samples) const;
  Measure pass_split(const BlockSetup<S>& setup, SampleSource<S>& source, const Dataset& data, std::int64_t Evaluations::*account,
                     std::vector<SplitScores>& kept);

  TrainSession<S>& session_;
  std::vector<SplitScores> train_scores_, validation_scores_, test_scores_;
};

extern template class Evaluator<float>;
extern template class Evaluator<double>;

}  // namespace ffzero
