// The digital readout of a block: fitted on the readings that training takes, or learning along with the block.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>

#include "ffzero/train/readout_head.hpp"
#include "ffzero/train/session.hpp"
#include "ffzero/update/rule.hpp"

namespace ffzero {

/// Costs no forward evaluation of its own: it looks at what the evaluations of training read, unless a block was not trained at all.
template <class S>
class ReadoutTrainer {
 public:
  explicit ReadoutTrainer(TrainSession<S>& session) : session_(session) {}

  /// Before the first step of a block, or before it is gone on with.
  void start(const BlockSetup<S>& setup);
  /// Where a step leaves its readings; null if nobody wants them.
  [[nodiscard]] Reads<S>* step_reads() noexcept { return wanted_ ? &step_reads_ : nullptr; }
  /// What a step has read: kept for the samples `rows`, and one step of the readout that learns along. factor: of the learning rate.
  void step(const BlockSetup<S>& setup, std::span<const std::uint32_t> rows, const Targets& targets, double factor);
  /// Fits the readout of a trained block, if it is to have one; from one more reading of the train set (billed as propagation) if training
  /// has not read any.
  void fit(const BlockSetup<S>& setup);

  /// The block is trained: what only its next step depends on is forgotten.
  void finish() { rule_.reset(); }

  [[nodiscard]] bool learns() const noexcept { return rule_ != nullptr; }
  /// Moments of the readout that learns along; empty without one.
  [[nodiscard]] std::span<const S> moments() const;
  /// @throws DataError if there are not as many as this one has
  void restore_moments(std::span<const S> moments, Index steps);
  /// (N, d) what the head last read of each train sample; rows of 0: nothing yet. Empty: none wanted.
  [[nodiscard]] const Matrix<S>& reads() const noexcept { return reads_; }
  void restore_reads(Matrix<S> reads) { reads_ = std::move(reads); }

 private:
  void learn(const BlockSetup<S>& setup, const Targets& targets, double lr);
  void read_train_set(const BlockSetup<S>& setup);

  TrainSession<S>& session_;
  ReadoutHead<S>* learning_ = nullptr;  ///< the head of the current block, if it learns along
  bool fits_ = false, wanted_ = false;
  std::unique_ptr<UpdateRule<S>> rule_;
  Reads<S> step_reads_;
  Matrix<S> reads_;
};

extern template class ReadoutTrainer<float>;
extern template class ReadoutTrainer<double>;

}  // namespace ffzero
