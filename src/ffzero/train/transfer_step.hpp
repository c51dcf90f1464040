// The estimator that learns a device's transfer matrix from readings, bound to a block's loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/train/estimator.hpp"
#include "ffzero/train/options.hpp"

namespace ffzero {

/// block, executor, ledger outlive the result. @throws ConfigError if the block is not one map of fields that is read by powers
[[nodiscard]] std::unique_ptr<StepGradient<float>> make_transfer_step(const TransferOptions& options, const Block<float>& block,
                                                                      const Executor& executor, Ledger& ledger);

}  // namespace ffzero
