// Votes of a run.
// SPDX-License-Identifier: MIT
#include "ffzero/train/layer_vote.hpp"

#include "ffzero/metric/metric.hpp"

namespace ffzero {

bool has_vote(const Values& v) { return !v.is("objective.scope", "end_to_end") && !v.is("dataset.task", "regression"); }

std::vector<std::int32_t> layer_vote(const Values& v, const std::string& rule, std::span<const Matrix<float>> layers) {
  return vote<float>(parse_vote_rule(rule), layers, v.number("objective.temperature"));
}

std::string validated_rule(const Values& v, std::span<const Matrix<float>> layers, std::span<const std::int32_t> labels) {
  std::string best;
  double most = -1.0;
  for (const VoteRule rule : {VoteRule::last, VoteRule::sum, VoteRule::majority}) {
    const std::string name = to_string(rule);
    const double right = accuracy(layer_vote(v, name, layers), labels);
    if (right <= most) continue;
    most = right;
    best = name;
  }
  return best;
}

}  // namespace ffzero
