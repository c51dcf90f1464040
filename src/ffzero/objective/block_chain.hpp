// The evaluation of one block on one shard of a batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "ffzero/map/linear_map.hpp"
#include "ffzero/objective/batch.hpp"
#include "ffzero/objective/layer_engine.hpp"

namespace ffzero {

/// mask, overwritten: 0 with probability `share`, else 1/(1 - share); entry i depends on (random, first + i) alone.
template <class S>
void dropout_mask(const RandomStream& random, double share, std::span<S> mask, Index first = 0);

/// Buffers of one shard, kept between steps.
template <class S>
struct ChainWorkspace {
  std::vector<Matrix<S>> outputs;  ///< of every step
  Matrix<S> scores, gs;
  Matrix<double> losses;
  std::vector<Matrix<S>> gradients;
};

/// The layers of a block, flattened: map, passed-on maps, dropout, ..., last map, tail. Evaluates shards of a batch; knows no loss.
template <class S>
class BlockChain {
 public:
  explicit BlockChain(const Block<S>& block);

  [[nodiscard]] const std::vector<LayerStep<S>>& steps() const noexcept { return steps_; }
  /// True if rows may be evaluated apart from one another and side by side.
  [[nodiscard]] bool independent_rows() const noexcept { return independent_rows_; }
  /// The same for what follows the last map with parameters.
  [[nodiscard]] bool independent_tail() const noexcept { return independent_tail_; }
  [[nodiscard]] Index output_size() const noexcept { return steps_.back().outputs; }
  /// Position of the last map with parameters: what follows is the tail.
  [[nodiscard]] std::size_t last_map() const noexcept { return last_map_; }

  /// Draws the dropout masks of a step.
  void draw_masks(const Batch<S>& batch);
  /// What the pieces of a batch share, before `forward` or `stacked`: x is the whole batch, directions are those of `stacked` or have no
  /// rows. All stay valid until the last of these calls.
  void prepare(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x) const;
  /// LinearMap::forward_stacked of the first map, for rows [first_row, first_row + z.rows()); null if pieces have nothing in common.
  [[nodiscard]] const StackedProduct<S>* stacked() const noexcept { return first_product_.get(); }
  /// Head input (rows, output size) of rows [first_row, first_row + x.rows()) of the batch; the result lives in `work`.
  const Matrix<S>& forward(std::span<const S> theta, const ConstMatrixRef<S>& x, Index first_row, ChainWorkspace<S>& work) const;
  /// Runs the tail alone: from the last map's output to the head input.
  void run_tail(const ConstMatrixRef<S>& z, std::vector<Matrix<S>>& buffers, const Matrix<S>*& result) const;

  [[nodiscard]] const Matrix<S>& mask(Index i) const { return masks_[usize(i)]; }

 private:
  std::vector<LayerStep<S>> steps_;
  std::vector<double> dropout_;
  std::vector<Matrix<S>> masks_;
  std::unique_ptr<StackedProduct<S>> first_product_;  // of the first map, if it shares work
  std::size_t last_map_ = 0;
  bool independent_rows_ = true, independent_tail_ = true;
};

extern template class BlockChain<float>;
extern template class BlockChain<double>;

}  // namespace ffzero
