// How the layers of a run decide together: the rule of its settings, or the one that its validation samples choose.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ffzero/train/options.hpp"

namespace ffzero {

/// The class of every sample by `rule`.   layers: one (N, K) a voter, summed over its groups   returns (N)
[[nodiscard]] std::vector<std::int32_t> layer_vote(const VoteOptions& options, VoteRule rule, std::span<const Matrix<float>> layers);

/// The layer that decides for TrainPlan::best_layer: the one that is best on the validation samples, the last of equal ones. Without such
/// samples (validation empty) the last one, unless the best of the earlier ones is ahead of it by kClearlyBetter on the train set.
/// train, validation: accuracy or R^2, one a layer, at least one of train
inline constexpr double kClearlyBetter = 0.01;
[[nodiscard]] Index best_layer(std::span<const double> train, std::span<const double> validation);

/// What vote.rule = "validated" stands for: the one of last, sum and majority with the most right decisions, the first of equal ones.
/// (sum_log_softmax decides as sum does; majority_early leaves the last layer out and is kept for the paper.)
/// layers: as above, of the validation split   labels (N)
[[nodiscard]] VoteRule validated_rule(const VoteOptions& options, std::span<const Matrix<float>> layers,
                                      std::span<const std::int32_t> labels);

}  // namespace ffzero
