// What an estimator can and cannot see of a block: angles, noise, lengths.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ffzero/train/block_setup.hpp"
#include "ffzero/train/step_control.hpp"

namespace ffzero {

/// Estimates of one batch's gradient against the exact one.
struct AngleProbe {
  double cosine = 0.0, spread = 0.0;  ///< mean and standard deviation over the draws
  double length = 0.0;                ///< mean of |estimate| / |gradient|
  double coherence = 0.0;             ///< cosine between the exact gradients of two batches
};

/// The loss along the unit step that training would take.
struct LossAlong {
  double distance = 0.0, backward = 0.0, forward = 0.0;  ///< L(theta + t u) - L and L(theta - t u) - L: uphill and downhill
};

struct BlockProbe {
  double loss = 0.0;
  std::optional<AngleProbe> angle;  ///< none: a map of the block has no adjoint
  double expected_cosine = 0.0;     ///< of m random directions among P parameters: sqrt(m / (P + m - 1)), orthogonal ones sqrt(m / P)
  double signal = 0.0;              ///< rms of L+ - L- over the directions, at the run's eps
  double noise = 0.0;               ///< rms deviation when the same differences are read again
  SlopeLadder ladder;
  std::vector<LossAlong> along;
  double curvature = 0.0;  ///< second derivative along u, from the shortest distance whose loss changes by more than rounding
  StepScan scan;
  double eps = 0.0, lr = 0.0;  ///< suggested; 0: nothing to suggest
  std::int64_t forward_evals = 0, pullbacks = 0;
};

/// Probes `setup` at theta (its parameters) on the batches that `batch` gives (i-th one, valid until the next call; kControlBatches of
/// them), with `draws` >= 2 estimates. The ledger of the setup is billed; forward_evals says how much.
template <class S>
[[nodiscard]] BlockProbe probe_block(BlockSetup<S>& setup, std::span<const S> theta, const std::function<Batch<S>(Index)>& batch,
                                     Index draws, const RandomStream& random, const Executor& executor, Ledger& ledger);

}  // namespace ffzero
