// Votes of a run.
// SPDX-License-Identifier: MIT
#include "ffzero/train/layer_vote.hpp"

#include "ffzero/metric/metric.hpp"

namespace ffzero {

std::vector<std::int32_t> layer_vote(const VoteOptions& options, VoteRule rule, std::span<const Matrix<float>> layers) {
  return vote<float>(rule, layers, options.temperature);
}

Index best_layer(std::span<const double> train, std::span<const double> validation) {
  const Index last = isize(train.size()) - 1;
  const auto ahead = [&](std::span<const double> values, double margin) {
    Index best = last;
    for (Index i = last - 1; i >= 0; --i)
      if (values[usize(i)] > values[usize(best)] + (best == last ? margin : 0.0)) best = i;
    return best;
  };
  return validation.empty() ? ahead(train, kClearlyBetter) : ahead(validation, 0.0);
}

VoteRule validated_rule(const VoteOptions& options, std::span<const Matrix<float>> layers, std::span<const std::int32_t> labels) {
  VoteRule best = VoteRule::last;
  double most = -1.0;
  for (const VoteRule rule : {VoteRule::last, VoteRule::sum, VoteRule::majority}) {
    const double right = accuracy(layer_vote(options, rule, layers), labels);
    if (right <= most) continue;
    most = right;
    best = rule;
  }
  return best;
}

}  // namespace ffzero
