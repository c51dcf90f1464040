// Training a chip by the slopes of a model with errors that is fitted to its readings, bound to a block's loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/train/estimator.hpp"
#include "ffzero/train/options.hpp"

namespace ffzero {

/// A calibrated twin that misses held-out readings by more than options.gate is left: training goes on with outputs alone
/// (StepGradient::fallback), or stops (GateError), as options.fallback says. block, executor, ledger outlive the result. @throws
/// ConfigError if the block is not one chip whose powers the local loss reads
[[nodiscard]] std::unique_ptr<StepGradient<float>> make_chip_twin_step(const TwinOptions& options, const Block<float>& block,
                                                                       const Executor& executor, Ledger& ledger);

}  // namespace ffzero
