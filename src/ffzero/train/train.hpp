// Training in one call, for networks of the library's caller.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/train/trainer.hpp"

namespace ffzero {

/// What a training has measured, and what a Predictor is made from.
struct TrainResult {
  RunRecord record;
  TrainerState state;
};

/// Trains `network` in place on splits.train and measures it on splits.test, logging as options.log says.
/// Cost: counted in the record's ledger. When training is interrupted by an exception (a device that fails, a loss that diverges) the
/// network keeps the parameters that it had reached; with TrainEvents::save nothing is lost. executor: threads that work at once; null: one
/// for every core.
/// @throws ConfigError naming the field or the layer that does not fit, before the first evaluation; DivergedError; whatever a map throws
template <class S>
TrainResult train(const TrainOptions& options, Network<S>& network, const Splits& splits, TrainEvents events = {},
                  std::shared_ptr<const Executor> executor = nullptr);

/// Binds options to a network without data and without an evaluation. @throws ConfigError as train() would, but for what only data can tell
template <class S>
void require_trainable(const TrainOptions& options, const Network<S>& network);

}  // namespace ffzero
