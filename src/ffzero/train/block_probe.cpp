// Probing a block.
// SPDX-License-Identifier: MIT
#include "ffzero/train/block_probe.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/gradient/directional.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"

namespace ffzero {

namespace {

constexpr Index kReads = 4;

template <class S>
double cosine(const Vector<S>& a, const Vector<S>& b) {
  const double lengths = a.template cast<double>().norm() * b.template cast<double>().norm();
  return lengths > 0.0 ? a.template cast<double>().dot(b.template cast<double>()) / lengths : 0.0;
}

// Of a group: parameters, and the share of the squared gradient that lies in it.
struct GroupShare {
  double parameters = 0.0, energy = 0.0;
};

template <class S>
std::vector<GroupShare> group_shares(const ParameterLayout& layout, const Vector<S>& gradient) {
  std::vector<GroupShare> shares(usize(layout.groups));
  for (const Unit& unit : layout.units)
    for (const Segment& s : unit.segments) {
      shares[usize(unit.group)].parameters += static_cast<double>(s.size);
      shares[usize(unit.group)].energy +=
          gradient.size() == 0 ? 1.0 : gradient.segment(s.begin, s.size).template cast<double>().squaredNorm();
    }
  return shares;
}

// |estimate|^2 of m directions among P parameters is (P + m - 1) / m times |gradient|^2 in the mean, P / m if they are orthogonal.
template <class S>
double expected_cosine(const EstimatorOptions& options, const ParameterLayout& layout, const Vector<S>& gradient) {
  const auto* directional = std::get_if<DirectionalOptions>(&options);
  const auto* coordinate = std::get_if<CoordinateOptions>(&options);
  const bool one_sided = coordinate != nullptr && coordinate->one_sided;
  if (directional == nullptr && !one_sided) return 1.0;
  const double m = static_cast<double>(one_sided ? coordinate->parameters : directional->directions);
  const bool orthogonal = one_sided || directional->distribution == Distribution::hadamard ||
                          directional->distribution == Distribution::coordinate ||
                          (m > 1.0 && directional->aggregation == Aggregation::aligned);
  double gradient_squared = 0.0, estimate_squared = 0.0;
  for (const GroupShare& share : group_shares(layout, gradient)) {
    const double p = share.parameters;
    gradient_squared += share.energy;
    estimate_squared += share.energy * std::max(1.0, (orthogonal ? p : p + m - 1.0) / m);
  }
  return estimate_squared > 0.0 ? std::sqrt(gradient_squared / estimate_squared) : 0.0;
}

template <class S>
AngleProbe probe_angle(BlockSetup<S>& setup, const Vector<S>& gradient, const Vector<S>& other, std::span<const S> theta,
                       const std::function<Batch<S>(Index)>& batch, Index draws, const RandomStream& random) {
  AngleProbe angle;
  angle.coherence = cosine(gradient, other);
  Vector<S> estimate(gradient.size());
  double squares = 0.0;
  const double n = static_cast<double>(draws), length = static_cast<double>(gradient.norm());
  for (Index i = 0; i < draws; ++i) {
    static_cast<void>(setup.gradient->estimate(batch(0), theta, random.at(static_cast<std::uint64_t>(i)), as_span(estimate)));
    const double c = cosine(estimate, gradient);
    angle.cosine += c / n;
    squares += c * c;
    if (length > 0.0) angle.length += static_cast<double>(estimate.norm()) / length / n;
  }
  angle.spread = std::sqrt(std::max(0.0, (squares - n * angle.cosine * angle.cosine) / (n - 1.0)));
  return angle;
}

// The same differences, read several times.
template <class S>
void probe_noise(const ScalarFunction<S>& f, std::span<const S> theta, double eps, Index draws, const RandomStream& random,
                 const Executor& executor, BlockProbe& probe) {
  AlignedMatrix<S> directions;
  directions.resize(draws, f.dimension());
  fill_directions<S>(f.layout(), Distribution::rademacher, random, executor, directions.view());
  std::vector<Matrix<double>> reads;
  Differences differences;
  for (Index r = 0; r < kReads; ++r) {
    f.differences(theta, directions.view(), eps, differences);
    reads.push_back(differences.delta);
  }
  Matrix<double> mean = reads[0];
  for (std::size_t r = 1; r < reads.size(); ++r) mean += reads[r];
  mean /= static_cast<double>(kReads);
  const double count = static_cast<double>(mean.size());
  double deviation = 0.0;
  for (const auto& read : reads) deviation += (read - mean).squaredNorm();
  probe.signal = std::sqrt(mean.squaredNorm() / count);
  probe.noise = std::sqrt(deviation / (count * static_cast<double>(kReads - 1)));
}

template <class S>
void probe_along(BlockSetup<S>& setup, std::span<const S> theta, const std::function<Batch<S>(Index)>& batch, const RandomStream& random,
                 BlockProbe& probe) {
  const Index parameters = isize(theta.size());
  Vector<S> gradient(parameters), step(parameters), moved(parameters);
  static_cast<void>(setup.gradient->estimate(batch(0), theta, random, as_span(gradient)));
  first_step<S>(setup.options.update.rule, as_span(std::as_const(gradient)), as_span(step));
  const double norm = static_cast<double>(step.norm()), size = static_cast<double>(as_vector(theta).norm());
  const ScalarFunction<S>& f = setup.gradient->loss();
  probe.loss = total_loss<S>(f, theta);
  if (!(norm > 0.0)) return;
  for (const double share : {1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0}) {
    LossAlong at{.distance = share * std::max(size, 1e-3)};
    const S scale = static_cast<S>(at.distance / norm);
    moved = as_vector(theta) + scale * step;
    at.backward = total_loss<S>(f, as_span(std::as_const(moved))) - probe.loss;
    moved = as_vector(theta) - scale * step;
    at.forward = total_loss<S>(f, as_span(std::as_const(moved))) - probe.loss;
    const double bend = (at.backward + at.forward) / (at.distance * at.distance);
    if (probe.curvature == 0.0 && std::abs(at.backward + at.forward) > 1e-5 * std::abs(probe.loss)) probe.curvature = bend;
    probe.along.push_back(at);
  }
}

}  // namespace

template <class S>
BlockProbe probe_block(BlockSetup<S>& setup, std::span<const S> theta, const std::function<Batch<S>(Index)>& batch, Index draws,
                       const RandomStream& random, const Executor& executor, Ledger& ledger) {
  const Evaluations before = ledger.total();
  BlockProbe probe;
  StepGradient<S>& estimator = *setup.gradient;
  BlockLoss<S>& loss = estimator.loss();
  const auto part = [&](std::uint64_t i) { return random.at(i << 20); };

  loss.set_batch(batch(0));
  probe.ladder = climb_slopes<S>(loss, theta, Distribution::rademacher, kControlBatches, part(1), executor);
  probe.eps = probe.ladder.eps[probe.ladder.best];
  if (measures_eps(setup.options)) estimator.set_eps(probe.eps);
  const auto* directional = std::get_if<DirectionalOptions>(&setup.options.estimator);
  const bool has_eps = directional != nullptr && !measures_eps(setup.options);
  probe_noise<S>(loss, theta, has_eps ? directional->eps : probe.eps, draws, part(2), executor, probe);

  Vector<S> gradient;
  if (has_adjoint(setup.block)) {
    AdjointBlockLoss<S> exact(setup.block, executor, ledger);
    gradient.resize(isize(theta.size()));
    Vector<S> other(gradient.size());
    exact.set_batch(batch(1));
    static_cast<void>(exact.value_and_gradient(theta, as_span(other)));
    exact.set_batch(batch(0));
    static_cast<void>(exact.value_and_gradient(theta, as_span(gradient)));
    probe.angle = probe_angle<S>(setup, gradient, other, theta, batch, draws, random);
  }
  probe.expected_cosine = expected_cosine<S>(setup.options.estimator, estimator.layout(), gradient);
  probe_along<S>(setup, theta, batch, part(3), probe);
  probe.scan = scan_steps<S>(estimator, setup.options.update.rule, theta, kControlBatches, batch, random);
  probe.lr = probe.scan.straight;

  const std::span<S> memory = estimator.memory();
  std::fill(memory.begin(), memory.end(), S{0});
  const Evaluations after = ledger.total();
  probe.forward_evals = after.training - before.training;
  probe.pullbacks = after.pullbacks - before.pullbacks;
  return probe;
}

template BlockProbe probe_block(BlockSetup<float>&, std::span<const float>, const std::function<Batch<float>(Index)>&, Index,
                                const RandomStream&, const Executor&, Ledger&);
template BlockProbe probe_block(BlockSetup<double>&, std::span<const double>, const std::function<Batch<double>(Index)>&, Index,
                                const RandomStream&, const Executor&, Ledger&);

}  // namespace ffzero
