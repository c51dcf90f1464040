// How the layers of a plan decide.
// SPDX-License-Identifier: MIT
#include "ffzero/train/state.hpp"

#include <algorithm>

namespace ffzero {

PredictionPlan prediction_plan(const TrainPlan& plan) {
  PredictionPlan prediction{.encoder = plan.encoder,
                            .scale = plan.scale,
                            .last_layers = {},
                            .end_to_end = plan.end_to_end,
                            .vote = plan.vote,
                            .evaluation_rows = kEvaluationRows};
  for (const BlockPlan& block : plan.blocks) {
    prediction.last_layers.push_back(block.last - 1);
    prediction.evaluation_rows = std::min(prediction.evaluation_rows, block.evaluation_rows);
  }
  return prediction;
}

}  // namespace ffzero
