// A block of a configured network, ready to be trained or probed. Dependency level 4 (train).
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ffzero/train/network.hpp"
#include "ffzero/train/step_gradient.hpp"

namespace ffzero {

template <class S>
struct BlockSetup {
  Index first = 0, last = 0;  ///< layers [first, last)
  Block<S> block;
  std::unique_ptr<Loss<S>> loss;
  std::unique_ptr<Loss<double>> exact_loss;
  std::unique_ptr<StepGradient<S>> gradient;
  Values values;
  std::string name;  ///< that of its last layer; "all" end to end
  // Looked up once, because a step may take less time than finding a key by its name.
  Index epochs = 0, batch = 1, steps = 0;  ///< steps of an epoch
  double lr = 0.0;                         ///< 0: to be measured
  double input_dropout = 0.0;
  bool hold_norm = false;
};

/// The blocks that the objective's scope cuts `network` into, in order, to be trained on `samples` samples. config: resolved. Everything
/// given outlives the result.
/// @throws ConfigError if a map cannot serve its estimator, or a front end stands inside a block.
template <class S>
[[nodiscard]] std::vector<BlockSetup<S>> make_block_setups(const Config& config, const Network<S>& network, Index samples,
                                                           const Executor& executor, Ledger& ledger);

}  // namespace ffzero
