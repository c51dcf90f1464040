// The loss of a block with its exact gradient.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/objective/activity.hpp"
#include "ffzero/objective/block_loss.hpp"

namespace ffzero {

/// The map as one with an adjoint. layer: its number, for the message. @throws ConfigError naming the layer and the remedy if it is
/// forward-only.
template <class S>
[[nodiscard]] const AdjointMap<S>& require_adjoint(const ForwardMap<S>& map, Index layer);

/// True if the exact gradient of this block can be had: every map of it has an adjoint.
template <class S>
[[nodiscard]] bool has_adjoint(const Block<S>& block);

template <class S>
class AdjointBlockLoss final : public BlockLoss<S>, public DifferentiableFunction<S> {
 public:
  /// @throws ConfigError naming the layer and the remedy if a map of the block is forward-only.
  AdjointBlockLoss(const Block<S>& block, const Executor& executor, Ledger& ledger);

  /// Cost: one evaluation of the batch and one pullback per layer. Parameters of no unit get gradient 0.
  double value_and_gradient(std::span<const S> theta, std::span<S> gradient) const override;

  /// Perturbs the head's input sample by sample; the layer's known structure (linear in a known input, masks of the tail) carries the
  /// estimate to the parameters. Cost: activity_cost() N: N evaluations + 2 m N read-outs, m = K in the space
  /// of the prototypes  [docs/notation.md, Prototypes and losses]. Ranks share out the read-outs, the only numbers that are measured; each
  /// evaluates and pulls back the whole batch.
  double activity_gradient(std::span<const S> theta, const ActivityPerturbation& perturbation, const RandomStream& random,
                           std::span<S> gradient) const;

 private:
  using Shard = typename BlockLoss<S>::Shard;
  /// gradient += those of the second and all later shards.
  void add_shard_gradients(std::span<S> gradient) const;
  /// gradient empty: of the inputs alone, see add_pieces.
  void backward(std::span<const S> theta, Shard& shard, std::span<S> gradient) const;
  /// gradient += those of the parameters, piece by piece for the whole batch; after `backward` of all shards.
  void add_pieces(std::span<S> gradient) const;
  void clear_fixed_parameters(std::span<S> gradient) const;
  /// measure(shard, z, targets) of every shard, then gathered(), then output_gradient(shard, z, targets, gz) of every shard. Without
  /// `gathered` (null) each shard does all of it at once.
  template <class Measure, class Gathered, class OutputGradient>
  double run(std::span<const S> theta, std::span<S> gradient, Measure measure, Gathered gathered, OutputGradient output_gradient) const;

  std::vector<const AdjointMap<S>*> adjoints_;  // one per step of the chain; null: dropout
  mutable std::vector<Vector<S>> shard_gradients_;
  mutable std::vector<ActivityReading<S>> readings_;  // of several ranks: one a shard
  mutable std::vector<double> slopes_;                // (B, slopes of a sample)
  /// Where every map of the block can give its gradient in pieces: all of them. Empty: shards have gradients of their own.
  struct Piece {
    std::size_t step;
    Index piece;
  };
  std::vector<Piece> pieces_;
  mutable Matrix<S> first_slopes_;  // dL/dy of the first map, of the whole batch
};

extern template class AdjointBlockLoss<float>;
extern template class AdjointBlockLoss<double>;

}  // namespace ffzero
