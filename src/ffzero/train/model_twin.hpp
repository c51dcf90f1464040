// Training a device by the slopes of a model that its owner gave.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/map/twin_model.hpp"
#include "ffzero/train/estimator.hpp"
#include "ffzero/train/options.hpp"

namespace ffzero {

/// options.along: every step reads the device; else the last options.refine_epochs alone do, and the others train on what the model says.
/// Slopes are the model's, at what was read. options.calibration and the fit are those of chips, and not looked at. block: one device with
/// `twin`, whose own outputs the local loss reads. @throws ConfigError if the block is another one, or the model cannot do what is asked
[[nodiscard]] std::unique_ptr<StepGradient<float>> make_model_twin_step(const TwinOptions& options, const TwinModel<float>& twin,
                                                                        const Block<float>& block, const Executor& executor,
                                                                        Ledger& ledger);

}  // namespace ffzero
