// From the scores of every layer to one class per sample.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// How the layers decide together  [docs/photonic.md, Votes]. Layers are numbered from 0 in the order of the data flow.
enum class VoteRule {
  majority,         ///< most votes; tie: larger sum of layer numbers among the voters; tie again: lowest class
  majority_early,   ///< all layers but the last vote; ties: the tied class with the last layer's largest score, then the lowest
  sum,              ///< largest sum of the layers' scores
  sum_log_softmax,  ///< largest sum of log softmax(scores / temperature): the layers as independent experts. At one temperature for
                    ///< all layers the same class as `sum`, because the normalisation is the same for all classes
  last,             ///< the last layer alone
};

/// Spelling of the key `vote.rule`, and back. @throws ConfigError naming the valid spellings.
[[nodiscard]] std::string to_string(VoteRule rule);
[[nodiscard]] VoteRule parse_vote_rule(std::string_view name);

/// One layer's opinion: the sum over groups of its scores.   scores (N, G * K)   returns (N, K)
template <class S>
[[nodiscard]] Matrix<S> class_scores(const ConstMatrixRef<S>& scores, Index classes);

/// Position of the largest entry of each row, the first of equal ones.   scores (N, K)   returns (N)
template <class S>
[[nodiscard]] std::vector<std::int32_t> predict(const ConstMatrixRef<S>& scores);

/// The vote of all `layers` (each (N, K)), at least one; a prefix of the layers gives the vote after its last one. returns (N)
/// temperature > 0: only sum_log_softmax looks at it. Sums in double. @throws ShapeError if the sizes of the layers differ.
template <class S>
[[nodiscard]] std::vector<std::int32_t> vote(VoteRule rule, std::span<const Matrix<S>> layers, double temperature = 1.0);

/// VoteRule::majority on predictions alone.   predictions: one vector (N) per layer, entries 0 .. K - 1   returns (N)
[[nodiscard]] std::vector<std::int32_t> majority_vote(std::span<const std::vector<std::int32_t>> predictions, Index classes);
/// VoteRule::majority_early.   early: predictions (N) of all layers but the last, may be none   last_scores (N, K)   returns (N)
template <class S>
[[nodiscard]] std::vector<std::int32_t> majority_early_vote(std::span<const std::vector<std::int32_t>> early,
                                                            const ConstMatrixRef<S>& last_scores);

}  // namespace ffzero
