// One parameter at a time, from one side.
// SPDX-License-Identifier: MIT
#include "ffzero/train/outputs_alone.hpp"

#include <algorithm>

namespace ffzero {

ParameterTurns::ParameterTurns(const ParameterLayout& layout, Index at_a_time) : at_a_time_(at_a_time) {
  for (const Unit& unit : layout.units)
    for (const Segment& s : unit.segments)
      for (Index i = s.begin; i < s.begin + s.size; ++i) members_.push_back(i);
  count_ = std::max<Index>(1, divide_up(isize(members_.size()), at_a_time_));
}

std::span<const Index> ParameterTurns::of(Index turn) const {
  const Index first = turn % count_ * at_a_time_;
  return {members_.data() + first, usize(std::min(at_a_time_, isize(members_.size()) - first))};
}

OutputsAlone::OutputsAlone(const ParameterTurns& turns, Index most_rows, double step, const Block<float>& block, const Executor& executor,
                           Ledger& ledger)
    : turns_(turns), loss_(block, executor, ledger), most_rows_(most_rows), step_(step) {}

double OutputsAlone::estimate(const Batch<float>& batch, const TwinBlockLoss<float>& loss, std::span<const float> theta, Index turn,
                              std::span<float> gradient) {
  if (batch.reads != nullptr) {
    Matrix<float> all;
    loss.read(theta, all);
  }
  const Index rows = std::min(most_rows_, batch.x.rows());
  loss_.set_batch({.x = batch.x.topRows(rows), .targets = batch.targets.rows(0, rows), .dropout = batch.dropout, .reads = nullptr});
  std::vector<std::vector<Index>> moves;
  for (const Index i : turns_.of(turn)) moves.push_back({i});
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  return loss_.slopes(theta, moves, step_, gradient).loss;
}

std::int64_t OutputsAlone::cost(Index turn, Index rows, bool whole) const {
  return (1 + isize(turns_.of(turn).size())) * std::min(most_rows_, rows) + (whole ? rows : 0);
}

std::int64_t OutputsAlone::cost_from(Index first, Index samples, Index batch, Index epochs, bool whole) const {
  const Index steps = divide_up(samples, batch);
  std::int64_t sum = 0;
  for (Index number = first; number < epochs * steps; ++number)
    sum += cost(number, std::min(batch, samples - number % steps * batch), whole);
  return sum;
}

}  // namespace ffzero
