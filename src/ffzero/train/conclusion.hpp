// What a training comes to: the layer or the vote that decides, final values, outputs for reports.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "ffzero/train/evaluator.hpp"
#include "ffzero/train/record.hpp"

namespace ffzero {

/// Final outputs of a run, for reports.
struct Outputs {
  std::vector<Matrix<float>> test_scores;              ///< one (N_test, K) a layer; regression: K targets
  std::vector<std::vector<std::int32_t>> predictions;  ///< one (N_test) a layer, classification only
  std::vector<std::int32_t> vote;                      ///< (N_test), classification with local losses only
  std::size_t deciding = 0;                            ///< the layer that decides where one does: the last, or that of vote.layer = "best"
  VoteRule vote_rule = VoteRule::last;                 ///< that the layers decide by
};

/// Completes the record of a run whose layers are `layers` and were passed by `evaluator`. Names, seed, account and times are the caller's.
template <class S>
[[nodiscard]] Outputs conclude(const TrainSession<S>& session, const Evaluator<S>& evaluator, const std::vector<LayerRecord>& layers,
                               RunRecord& record);

}  // namespace ffzero
