// Step sizes from measurements: the length of a perturbation, the length of a step.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <vector>

#include "ffzero/gradient/directions.hpp"
#include "ffzero/train/record.hpp"
#include "ffzero/train/step_gradient.hpp"

namespace ffzero {

/// Slopes along a few directions, measured with perturbations of different lengths. Short ones drown in rounding and read-out noise, long
/// ones leave the straight part of the loss: the slopes change least from one length to the next where both are small.
struct SlopeLadder {
  std::vector<double> eps;       ///< ascending, by factors of sqrt(10)
  Matrix<double> slopes;         ///< (lengths, directions x groups): (L+ - L-) / (2 eps)
  std::vector<double> mismatch;  ///< rms change of a slope to its neighbours on the ladder, relative to the rms slope there
  std::size_t best = 0;          ///< length of least mismatch
};

/// f at theta on its batch; `directions` of them, drawn from `random`. Lengths: 1e-5 .. 1 times the rms norm of theta's units.
/// Cost: 2 directions for each of kLadderLengths lengths.
template <class S>
[[nodiscard]] SlopeLadder climb_slopes(const ScalarFunction<S>& f, std::span<const S> theta, Distribution distribution, Index directions,
                                       const RandomStream& random, const Executor& executor);
inline constexpr Index kLadderLengths = 11;

/// What the loss of a batch does along the step that training would take on it.
struct StepScan {
  std::vector<double> lr;      ///< ascending, by factors of 2
  std::vector<double> change;  ///< mean over the batches of L(theta - lr u) - L(theta)
  std::size_t best = 0;        ///< of least change
  double straight = 0.0;       ///< where the loss falls by kStraightShare of what its slope promises; 0: nowhere to step
};

/// The first step of a rule at lr = 1: the gradient for sgd, over 1 - momentum for momentum, its signs for adam.
template <class S>
void first_step(const RuleOptions& rule, std::span<const S> gradient, std::span<S> step);

/// For each of `batches` batches one estimate u = first_step and the loss at theta - lr u, lr from steps of 1e-4 |theta| on, until the
/// loss has risen for two lengths (kScanLengths at most). batch(i): the i-th one, valid until the next call.
/// Cost a batch: the estimate, and one evaluation a length.
template <class S>
[[nodiscard]] StepScan scan_steps(StepGradient<S>& gradient, const RuleOptions& rule, std::span<const S> theta, Index batches,
                                  const std::function<Batch<S>(Index)>& batch, const RandomStream& random);
inline constexpr Index kScanLengths = 20;

/// True if the eps of a directional estimator is to be measured.
[[nodiscard]] bool measures_eps(const BlockOptions& options);
/// True if an eps or a learning rate is to be measured.
[[nodiscard]] bool wants_control(const BlockOptions& options);
/// Most training evaluations that measure_control bills, if the batches have `rows` samples.
template <class S>
[[nodiscard]] std::int64_t control_cost(const StepGradient<S>& gradient, const BlockOptions& options, Index layers, Index rows);
/// Measures what `options` ask for on kControlBatches batches; sets the estimator's eps. eps: the ladder's best. lr: the scan's `straight`,
/// half of the best step on a parabola; the loss of a batch along its own step often stays flat far beyond the bottom.
template <class S>
[[nodiscard]] MeasuredControl measure_control(StepGradient<S>& gradient, const BlockOptions& options, std::span<const S> theta,
                                              const std::function<Batch<S>(Index)>& batch, const RandomStream& random,
                                              const Executor& executor);
inline constexpr Index kControlBatches = 8;
inline constexpr double kStraightShare = 0.75;

}  // namespace ffzero
