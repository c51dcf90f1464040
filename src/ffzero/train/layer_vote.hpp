// How the layers of a run decide together: the rule of its settings, or the one that its validation samples choose. Level 4 (train).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ffzero/train/keys.hpp"
#include "ffzero/vote/vote.hpp"

namespace ffzero {

/// True if the layers of such a run vote: several losses, and classes to vote for. values: resolved
[[nodiscard]] bool has_vote(const Values& values);

/// The class of every sample by `rule`.   layers: one (N, K) a voter, summed over its groups   returns (N)
[[nodiscard]] std::vector<std::int32_t> layer_vote(const Values& values, const std::string& rule, std::span<const Matrix<float>> layers);

/// What vote.rule = "validated" stands for: the one of last, sum and majority with the most right decisions, the first of equal ones.
/// (sum_log_softmax decides as sum does; majority_early leaves the last layer out and is kept for the paper.)
/// layers: as above, of the validation split   labels (N)
[[nodiscard]] std::string validated_rule(const Values& values, std::span<const Matrix<float>> layers, std::span<const std::int32_t> labels);

}  // namespace ffzero
