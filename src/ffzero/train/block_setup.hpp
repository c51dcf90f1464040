// A block of a network, ready to be trained or probed.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ffzero/train/network.hpp"
#include "ffzero/train/plan.hpp"
#include "ffzero/train/step_gradient.hpp"

namespace ffzero {

template <class S>
struct BlockSetup {
  Index first = 0, last = 0;  ///< layers [first, last)
  Block<S> block;
  std::unique_ptr<Loss<S>> loss;
  std::unique_ptr<Loss<double>> exact_loss;
  std::unique_ptr<StepGradient<S>> gradient;
  BlockOptions options;
  std::string name;  ///< that of its last layer; "all" end to end
  Index steps = 0;   ///< of an epoch
  Index evaluation_rows = kEvaluationRows;
  double lr = 0.0;  ///< 0: to be measured
  double input_dropout = 0.0;
};

/// The blocks of `plan`, in order, to be trained on `samples` samples. Everything given outlives the result.
/// @throws ConfigError if a map cannot serve its estimator, or a front end stands inside a block.
template <class S>
[[nodiscard]] std::vector<BlockSetup<S>> make_block_setups(const TrainPlan& plan, const Network<S>& network, Index samples,
                                                           const Executor& executor, Ledger& ledger);

}  // namespace ffzero
