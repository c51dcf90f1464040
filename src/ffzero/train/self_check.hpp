// What an estimator is held against at the first step of a block: the exact gradient, where there is one.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/error.hpp"
#include "ffzero/base/executor.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/objective/activity.hpp"
#include "ffzero/train/block_setup.hpp"

namespace ffzero {

/// A contradiction that only a defect can explain: exit code 70.
using DefectError = ErrorOf<ErrorKind::defect>;

/// Slopes of a loss along random directions, measured by differences, against those that a gradient promises.
struct SlopeCheck {
  double promised = 0.0;  ///< rms over directions and groups of <g, d_j>
  double measured = 0.0;  ///< rms of the slopes at the length that they depend on least
  double miss = 0.0;      ///< rms of measured - promised there
  /// The slopes are the same at two lengths, a factor of ten apart, and on both sides of theta, so neither rounding nor curvature nor a
  /// kink can explain that they miss what is promised by more than half of it.
  bool contradicts = false;
};

/// f: of one batch.   gradient (dimension): exact, of the sum of the groups' losses. Lengths: 1e-4, 1e-3 and 1e-2 of a unit of parameters.
/// Cost: 25 forward evaluations of the batch.
template <class S>
[[nodiscard]] SlopeCheck check_slopes(const ScalarFunction<S>& f, std::span<const S> theta, std::span<const S> gradient,
                                      const RandomStream& random, const Executor& executor);

/// Estimates of output gradients against exact ones, sample by sample and group by group.
struct OutputCheck {
  Index judged = 0, wrong = 0;        ///< pairs of a sample and a group whose loss has a slope; those where cosine or length are far from 1
  double cosine = 0.0, length = 0.0;  ///< mean over the judged
  [[nodiscard]] bool contradicts() const noexcept { return 2 * wrong > judged; }
};

/// space: of the estimator that is checked. z (B, d): what the head reads. Along the prototypes the estimate is the gradient; random
/// directions u are checked by their slope, <gradient, u>. The perturbation is a millionth of each output. Cost: read-outs alone.
template <class S>
[[nodiscard]] OutputCheck check_output_gradient(const ActivityOptions<S>& options, const Loss<S>& loss, const ConstMatrixRef<S>& z,
                                                const Targets& targets, const RandomStream& random);

/// Compares the estimator of a block with the exact gradient on the first samples of a batch (at most 64). Nothing is done where a map has
/// no adjoint. Neither theta nor the estimator is touched: training goes on bit for bit as without the check. Evaluations are billed to
/// `ledger` as logging, pullbacks as checks. @throws DefectError if they contradict one another
template <class S>
void check_first_step(const BlockSetup<S>& setup, const Batch<S>& batch, std::span<const S> theta, const RandomStream& random,
                      const Executor& executor, Ledger& ledger);

/// The warning after a layer's first epoch, or nothing: it decides no better than chance, and its loss has not fallen.
/// first_loss: of the first step; mean_loss: of the epoch; chance: accuracy of always naming the commonest class, 0 in regression (R^2);
/// samples: that `value` was measured on.
struct FirstEpoch {
  std::string layer, estimator;
  double first_loss = 0.0, mean_loss = 0.0, value = 0.0, chance = 0.0;
  Index samples = 0;
  bool regression = false;
};
[[nodiscard]] std::string first_epoch_warning(const FirstEpoch& epoch);

}  // namespace ffzero
