// Ladders of lengths.
// SPDX-License-Identifier: MIT
#include "ffzero/train/step_control.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ffzero/tensor/aligned_matrix.hpp"
#include "ffzero/train/slopes-inl.hpp"

namespace ffzero {

namespace {

constexpr double kShortest = 1e-5;      // of a perturbation, relative to a unit of parameters
constexpr double kShortestStep = 1e-4;  // of a step, relative to all parameters

// The slope is taken where the fall stands out of the noise of the shortest lengths.
double straight_length(const StepScan& scan) {
  const double fall = scan.change[scan.best];
  if (!(fall < 0.0)) return 0.0;
  std::size_t k = 0;
  while (scan.change[k] > 0.05 * fall) ++k;
  const double slope = scan.change[k] / scan.lr[k];
  double before = 1.0;
  for (++k; k < scan.lr.size(); ++k) {
    const double share = scan.change[k] / (scan.lr[k] * slope);
    if (share < kStraightShare) return scan.lr[k - 1] * std::pow(2.0, (before - kStraightShare) / (before - share));
    before = share;
  }
  return scan.lr.back();
}

}  // namespace

template <class S>
SlopeLadder climb_slopes(const ScalarFunction<S>& f, std::span<const S> theta, Distribution distribution, Index directions,
                         const RandomStream& random, const Executor& executor) {
  AlignedMatrix<S> drawn;
  drawn.resize(directions, f.dimension());
  fill_directions<S>(f.layout(), distribution, random, executor, drawn.view());
  SlopeLadder ladder;
  ladder.slopes.resize(kLadderLengths, directions * f.layout().groups);
  const double scale = unit_length(f.layout(), theta);
  Differences differences;
  for (Index k = 0; k < kLadderLengths; ++k) {
    const double eps = scale * kShortest * std::pow(10.0, static_cast<double>(k) / 2.0);
    f.differences(theta, drawn.view(), eps, differences);
    ladder.eps.push_back(eps);
    ladder.slopes.row(k) = Eigen::Map<const Eigen::RowVectorXd>(differences.delta.data(), differences.delta.size()) / (2.0 * eps);
  }
  double least = std::numeric_limits<double>::infinity();
  for (Index k = 0; k < kLadderLengths; ++k) {
    double squared = 0.0;
    Index neighbours = 0;
    for (const Index other : {k - 1, k + 1}) {
      if (other < 0 || other >= kLadderLengths) continue;
      squared += std::pow(rms(ladder.slopes.row(k) - ladder.slopes.row(other)), 2.0);
      ++neighbours;
    }
    const double size = rms(ladder.slopes.row(k));
    const double mismatch = size > 0.0 ? std::sqrt(squared / static_cast<double>(neighbours)) / size : 0.0;
    ladder.mismatch.push_back(mismatch);
    // A length at the end has one neighbour only and is not judged.
    if (k > 0 && k + 1 < kLadderLengths && mismatch < least) {
      least = mismatch;
      ladder.best = usize(k);
    }
  }
  return ladder;
}

template <class S>
void first_step(const RuleOptions& rule, std::span<const S> gradient, std::span<S> step) {
  if (std::holds_alternative<AdamOptions>(rule)) {
    for (std::size_t i = 0; i < step.size(); ++i) step[i] = static_cast<S>((gradient[i] > S{0}) - (gradient[i] < S{0}));
    return;
  }
  const auto* momentum = std::get_if<MomentumOptions>(&rule);
  const double scale = momentum != nullptr ? 1.0 / (1.0 - momentum->beta) : 1.0;
  as_vector(step) = static_cast<S>(scale) * as_vector(gradient);
}

template <class S>
StepScan scan_steps(StepGradient<S>& gradient, const RuleOptions& rule, std::span<const S> theta, Index batches,
                    const std::function<Batch<S>(Index)>& batch, const RandomStream& random) {
  BlockLoss<S>& loss = gradient.loss();
  const Index parameters = isize(theta.size());
  Matrix<S> steps(batches, parameters);
  Vector<S> estimate(parameters), moved(parameters);
  std::vector<double> start;
  double length = 0.0;
  for (Index i = 0; i < batches; ++i) {
    static_cast<void>(gradient.estimate(batch(i), theta, random.at(static_cast<std::uint64_t>(i)), as_span(estimate)));
    first_step<S>(rule, as_span(std::as_const(estimate)), {steps.row(i).data(), usize(parameters)});
    start.push_back(total_loss<S>(loss, theta));
    length += static_cast<double>(steps.row(i).norm()) / static_cast<double>(batches);
  }
  StepScan scan;
  if (!(length > 0.0)) return scan;
  const double size = std::max(static_cast<double>(as_vector(theta).norm()), 1e-3);
  double least = std::numeric_limits<double>::infinity();
  for (Index k = 0; k < kScanLengths && isize(scan.lr.size()) < isize(scan.best) + 3; ++k) {
    const double lr = kShortestStep * size / length * std::pow(2.0, static_cast<double>(k));
    double change = 0.0;
    for (Index i = 0; i < batches; ++i) {
      loss.set_batch(batch(i));
      moved = as_vector(theta) - static_cast<S>(lr) * steps.row(i).transpose();
      change += (total_loss<S>(loss, as_span(std::as_const(moved))) - start[usize(i)]) / static_cast<double>(batches);
    }
    scan.lr.push_back(lr);
    scan.change.push_back(change);
    if (change < least) {
      least = change;
      scan.best = scan.lr.size() - 1;
    }
  }
  scan.straight = straight_length(scan);
  return scan;
}

bool measures_eps(const BlockOptions& options) {
  const auto* directional = std::get_if<DirectionalOptions>(&options.estimator);
  return directional != nullptr && directional->eps == kMeasured;
}

bool wants_control(const BlockOptions& options) { return measures_eps(options) || options.update.lr == kMeasured; }

template <class S>
std::int64_t control_cost(const StepGradient<S>& gradient, const BlockOptions& options, Index layers, Index rows) {
  std::int64_t cost = 0;
  if (measures_eps(options)) cost += 2 * kControlBatches * kLadderLengths * layers;
  if (options.update.lr == kMeasured) cost += kControlBatches * (gradient.cost_per_sample() + (1 + kScanLengths) * layers);
  return cost * rows;
}

template <class S>
MeasuredControl measure_control(StepGradient<S>& gradient, const BlockOptions& options, std::span<const S> theta,
                                const std::function<Batch<S>(Index)>& batch, const RandomStream& random, const Executor& executor) {
  MeasuredControl control;
  if (measures_eps(options)) {
    gradient.loss().set_batch(batch(0));
    const SlopeLadder ladder = climb_slopes<S>(gradient.loss(), theta, Distribution::rademacher, kControlBatches,
                                               random.at(static_cast<std::uint64_t>(kControlBatches)), executor);
    control.eps = ladder.eps[ladder.best];
    gradient.set_eps(control.eps);
  }
  if (options.update.lr == kMeasured) {
    const StepScan scan = scan_steps<S>(gradient, options.update.rule, theta, kControlBatches, batch, random);
    // Nothing to step along: any rate will do.
    control.lr = scan.straight > 0.0 ? scan.straight : 1e-3;
  }
  // The steps that were tried are no past to remember.
  const std::span<S> memory = gradient.memory();
  std::fill(memory.begin(), memory.end(), S{0});
  return control;
}

#define FFZERO_INSTANTIATE(S)                                                                                                          \
  template SlopeLadder climb_slopes(const ScalarFunction<S>&, std::span<const S>, Distribution, Index, const RandomStream&,            \
                                    const Executor&);                                                                                  \
  template void first_step(const RuleOptions&, std::span<const S>, std::span<S>);                                                      \
  template StepScan scan_steps(StepGradient<S>&, const RuleOptions&, std::span<const S>, Index, const std::function<Batch<S>(Index)>&, \
                               const RandomStream&);                                                                                   \
  template std::int64_t control_cost(const StepGradient<S>&, const BlockOptions&, Index, Index);                                       \
  template MeasuredControl measure_control(StepGradient<S>&, const BlockOptions&, std::span<const S>,                                  \
                                           const std::function<Batch<S>(Index)>&, const RandomStream&, const Executor&);
FFZERO_INSTANTIATE(float)
FFZERO_INSTANTIATE(double)
#undef FFZERO_INSTANTIATE

}  // namespace ffzero
