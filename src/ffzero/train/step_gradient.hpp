// The estimator that options name, for a block.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ffzero/base/executor.hpp"
#include "ffzero/train/estimator.hpp"
#include "ffzero/train/options.hpp"

namespace ffzero {

/// An estimator bound to a block; all references outlive the result. numbers: all that its entry names
using EstimatorFactory = std::function<std::unique_ptr<StepGradient<float>>(const NamedNumbers& numbers, const Block<float>& block,
                                                                            const Executor& executor, Ledger& ledger)>;
/// What the key gradient.estimator chooses from: directional, activity, coordinate, twin, transfer, adjoint, and whatever was added. Those
/// built in have their settings in options and keys of their own, beside these numbers.
[[nodiscard]] Registry<EstimatorFactory>& estimators();

/// Binds before any data are read. block, executor, ledger outlive the result. @throws ConfigError if a map of the block cannot serve the
/// estimator, naming the layer and the remedy.
template <class S>
[[nodiscard]] std::unique_ptr<StepGradient<S>> make_step_gradient(const EstimatorOptions& options, const Block<S>& block,
                                                                  const Executor& executor, Ledger& ledger);

}  // namespace ffzero
