// The loss of a block on a batch as a function of its parameters: forward evaluations only.
// Here, and nowhere else, training evaluations are counted, and shared out to ranks.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "ffzero/base/executor.hpp"
#include "ffzero/base/ledger.hpp"
#include "ffzero/gradient/function.hpp"
#include "ffzero/map/linear_map.hpp"
#include "ffzero/map/many_readings.hpp"
#include "ffzero/map/paired_map.hpp"
#include "ffzero/objective/block_chain.hpp"
#include "ffzero/objective/pair_scorer.hpp"

namespace ffzero {

/// Of several ranks (Executor::ranks) each computes a contiguous part of the pieces of a step, by the number of the piece; what a piece
/// gives is gathered and added in the order of the numbers: the same bits for any number of ranks. A piece is a direction on a shard of the
/// batch, on all of it where rows depend on one another, or an evaluation of a shard. Every rank is billed for the whole batch.
template <class S>
class BlockLoss : public ScalarFunction<S> {
 public:
  /// block, executor and ledger outlive the object. ledger: one account per layer of the network.
  BlockLoss(const Block<S>& block, const Executor& executor, Ledger& ledger);

  /// The batch that all following calls are about; its views must stay valid. Cost: none.
  void set_batch(const Batch<S>& batch);

  /// False if some map of the block answers each time anew (an instrument, noise, drift): ranks would see different answers.
  [[nodiscard]] bool serves_ranks() const;

  [[nodiscard]] const ParameterLayout& layout() const override { return layout_; }
  [[nodiscard]] Index dimension() const override { return dimension_; }
  void values(std::span<const S> theta, std::span<double> losses) const override;
  void differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const override;
  [[nodiscard]] bool serves_hadamard(Index m) const override;
  void hadamard_differences(std::span<const S> theta, std::span<const S> signs, Index m, double eps, Differences& out) const override;

 protected:
  [[nodiscard]] Index batch_size() const { return batch_->x.rows(); }
  [[nodiscard]] double reduction_scale() const {
    return block_.reduction == Reduction::mean ? 1.0 / static_cast<double>(batch_size()) : 1.0;
  }
  [[nodiscard]] Index loss_groups() const noexcept { return block_.loss->joint() ? 1 : block_.head->groups(); }
  void bill_training(Index evaluations_per_sample) const;

  struct Shard {
    Index first = 0, rows = 0;
    ChainWorkspace<S> work;
    Matrix<S> z, p, plus, minus;
    std::vector<Matrix<S>> tail_buffers;
    typename PairScorer<S>::Workspace pair;
    Matrix<double> plus_losses, minus_losses;
    std::vector<double> sums;
  };

  /// Adds a reading of the shard's samples to the batch's reads, if they are wanted.
  void keep_reads(const ConstMatrixRef<S>& z, const Shard& shard) const;
  void count_reads(Index evaluations) const;
  /// losses (rows of the shard, loss groups), of what the head reads; the scores are left in shard.work.
  void score_side(const ConstMatrixRef<S>& z, Shard& shard, Matrix<double>& losses) const;

  Block<S> block_;
  const Executor& executor_;
  Ledger& ledger_;
  BlockChain<S> chain_;
  ParameterLayout layout_;
  Index dimension_;
  std::optional<Batch<S>> batch_;
  // Buffers: kept between steps, no allocation in a step. sides_: of the samples that a PairedMap has evaluated already.
  mutable std::vector<Shard> shards_, sides_;
  const ManyReadings<S>* many_ = nullptr;  // set if the block is one map that takes a batch whole and readings together

 private:
  /// Losses of a shard at both sides of a direction, in cells_.
  struct PairSums {
    double* delta;  // (loss groups): difference of the sides
    double* sum;    // of both, all groups
  };
  [[nodiscard]] PairSums pair_sums(Index number) const;
  /// Adds the differences of the shards to those of `out`.  number(i, j): of shard i and direction j
  template <class Number>
  void add_pair_sums(Index shards, Number number, Differences& out) const;
  /// stack(shard, first, z, p): z and z'(d_j) of the shard's rows from direction `first` on, as StackedProduct::rows gives them; directions
  /// apart: of as many as there is room for, else of all.
  template <class Stack>
  void linear_differences(Index m, double eps, bool directions_apart, Stack stack, Differences& out) const;
  void chained_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const;
  void paired_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const;
  void many_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const;
  void joint_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const;
  /// losses (count, groups of the parameters or 1), overwritten: at the parameters theta(e) of each evaluation e.
  template <class Theta>
  void evaluate(Index count, Theta theta, Matrix<double>& losses) const;
  static void cut(Index rows, bool independent, std::vector<Shard>& shards);

  const LinearMap<S>* linear_ = nullptr;  // set if the block is one map that is affine in its parameters
  const PairedMap<S>* paired_ = nullptr;
  PairScorer<S> pair_scorer_;
  mutable std::vector<double> cells_;  // what the pieces of a step give, in the order of their numbers
};

extern template class BlockLoss<float>;
extern template class BlockLoss<double>;

}  // namespace ffzero
