// The check of the first step.
// SPDX-License-Identifier: MIT
#include "ffzero/train/self_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>
#include <variant>

#include "ffzero/base/error.hpp"
#include "ffzero/gradient/directions.hpp"
#include "ffzero/map/addressed.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "ffzero/tensor/aligned_matrix.hpp"
#include "ffzero/train/slopes-inl.hpp"

namespace ffzero {

namespace {

constexpr Index kCheckedRows = 64, kCheckedDirections = 4;
constexpr std::array<double, 3> kLengths{1e-4, 1e-3, 1e-2};  // of the perturbation, relative to a unit of parameters

template <class S>
Matrix<double> promised_slopes(const ParameterLayout& layout, std::span<const S> gradient, const ConstMatrixRef<S>& directions) {
  Matrix<double> slopes = Matrix<double>::Zero(directions.rows(), layout.groups);
  for (const Unit& unit : layout.units)
    for (const Segment& s : unit.segments)
      slopes.col(unit.group) += directions.middleCols(s.begin, s.size).template cast<double>() *
                                as_vector(gradient).segment(s.begin, s.size).template cast<double>();
  return slopes;
}

// Slopes at one length.
struct Rung {
  Matrix<double> slopes;  // (m, groups)
  double bend = 0.0;      // rms difference of the slopes on the two sides, of a group
  bool resolved = true;   // no difference was lost in rounding
};

// Smooth there, and the same as at the next length: these slopes are what they seem.
bool is_trusted(const Rung& a, const Rung& b, double promised) {
  const auto smooth = [&](const Rung& r) { return r.resolved && r.bend <= 0.3 * std::max(rms(r.slopes), promised); };
  return smooth(a) && smooth(b) && rms(a.slopes - b.slopes) <= 0.1 * rms(a.slopes);
}

}  // namespace

template <class S>
SlopeCheck check_slopes(const ScalarFunction<S>& f, std::span<const S> theta, std::span<const S> gradient, const RandomStream& random,
                        const Executor& executor) {
  const ParameterLayout& layout = f.layout();
  AlignedMatrix<S> drawn;
  drawn.resize(kCheckedDirections, f.dimension());
  fill_directions<S>(layout, Distribution::rademacher, random, executor, drawn.view());
  const Matrix<double> promised = promised_slopes<S>(layout, gradient, drawn.view());
  const double base = total_loss<S>(f, theta), scale = unit_length(layout, theta);
  std::vector<Rung> rungs;
  Differences differences;
  for (const double length : kLengths) {
    const double eps = length * scale;
    Rung rung{.slopes = Matrix<double>(kCheckedDirections, layout.groups)};
    double squared = 0.0;
    for (Index j = 0; j < kCheckedDirections; ++j) {
      f.differences(theta, drawn.view().middleRows(j, 1), eps, differences);
      rung.slopes.row(j) = differences.delta.row(0) / (2.0 * eps);
      squared += std::pow(2.0 * (differences.mean_loss - base) / eps, 2.0);
      for (Index g = 0; g < layout.groups; ++g)
        if (differences.delta(0, g) == 0.0 && promised(j, g) != 0.0) rung.resolved = false;
    }
    rung.bend = std::sqrt(squared / static_cast<double>(kCheckedDirections * layout.groups));
    rungs.push_back(std::move(rung));
  }
  SlopeCheck check{.promised = rms(promised)};
  const auto misses = [&](const Rung& r) { return rms(r.slopes - promised) > 0.5 * std::max(rms(r.slopes), check.promised); };
  const bool agrees =
      std::any_of(rungs.begin(), rungs.end(), [&](const Rung& r) { return rms(r.slopes - promised) <= 0.25 * check.promised; });
  const Rung& best = *std::min_element(rungs.begin(), rungs.end(), [](const Rung& a, const Rung& b) { return a.bend < b.bend; });
  check.measured = rms(best.slopes);
  check.miss = rms(best.slopes - promised);
  for (std::size_t k = 0; k + 1 < rungs.size(); ++k)
    if (!agrees && is_trusted(rungs[k], rungs[k + 1], check.promised) && misses(rungs[k]) && misses(rungs[k + 1])) check.contradicts = true;
  return check;
}

template <class S>
OutputCheck check_output_gradient(const ActivityOptions<S>& options, const Loss<S>& loss, const ConstMatrixRef<S>& z,
                                  const Targets& targets, const RandomStream& random) {
  const auto& head = options.head;
  const Index groups = head.groups(), d = head.input_size() / groups, rows = z.rows();
  Matrix<S> scores(rows, groups * head.classes()), gs(rows, groups * head.classes()), exact(rows, z.cols()), estimate(1, z.cols());
  head.scores(z, scores);
  loss.gradient(scores, head.classes(), targets, gs);
  head.pullback(z, gs, exact);
  const bool along_all = options.perturbation.space == ActivitySpace::prototypes;
  const double dimension =
      static_cast<double>(options.perturbation.space == ActivitySpace::full ? d : std::max<Index>(1, head.classes() - 1));
  const auto length_of = [&](const auto& m, Index b, Index g) { return m.row(b).segment(g * d, d).template cast<double>().norm(); };
  // The change of the loss when an output turns: what has no unit. Samples whose loss is flat say nothing.
  Matrix<double> turning(rows, groups);
  for (Index b = 0; b < rows; ++b)
    for (Index g = 0; g < groups; ++g) turning(b, g) = length_of(exact, b, g) * length_of(z, b, g);
  const double least = std::max(1e-9, 1e-4 * turning.maxCoeff());
  OutputCheck check;
  for (Index b = 0; b < rows; ++b) {
    double shortest = 0.0;
    for (Index g = 0; g < groups; ++g)
      if (const double length = length_of(z, b, g); length > 0.0 && (shortest == 0.0 || length < shortest)) shortest = length;
    if (!(shortest > 0.0) || !std::isfinite(shortest)) continue;
    ActivityOptions<S> own{.head = head, .loss = options.loss, .perturbation = options.perturbation};
    own.perturbation.directions = 1;
    own.perturbation.eps = 1e-6 * shortest;
    activity_output_gradient<S>(own, z.middleRows(b, 1), targets.rows(b, 1), random, b, estimate);
    for (Index g = 0; g < groups; ++g) {
      if (!(turning(b, g) > least)) continue;
      const double size = length_of(exact, b, g), found = length_of(estimate, 0, g);
      const double dot =
          estimate.row(0).segment(g * d, d).template cast<double>().dot(exact.row(b).segment(g * d, d).template cast<double>());
      // One random direction: estimate = dimension <gradient, u> u. Nearly across the gradient its slope is all rounding.
      if (!along_all && found < 0.1 * size * std::sqrt(dimension)) continue;
      const double length = along_all ? found / size : dimension * dot / (found * found);
      const double cosine = along_all ? (found > 0.0 ? dot / (found * size) : 0.0) : 1.0;
      ++check.judged;
      check.cosine += cosine;
      check.length += length;
      if (!(cosine > 0.9 && length > 0.7 && length < 1.4)) ++check.wrong;
    }
  }
  if (check.judged > 0) {
    check.cosine /= static_cast<double>(check.judged);
    check.length /= static_cast<double>(check.judged);
  }
  return check;
}

namespace {

[[noreturn]] void report_contradiction(const std::string& layer, const std::string& requirement, const std::string& found) {
  throw DefectError(layer + ", first step", requirement, found,
                    "a map of your own: check its pullback; else a defect of ffzero: please report this line and the run's config.toml");
}

// What the head reads of the first rows, as training sees them.
template <class S>
Matrix<S> head_input(const BlockSetup<S>& setup, const Batch<S>& batch, std::span<const S> theta) {
  BlockChain<S> chain(setup.block);
  chain.draw_masks(batch);
  chain.prepare(theta, Matrix<S>(0, isize(theta.size())), batch.x);
  ChainWorkspace<S> work;
  return chain.forward(theta, batch.x, 0, work);
}

template <class S>
void check_activity(const BlockSetup<S>& setup, ActivitySpace space, const Batch<S>& batch, std::span<const S> theta,
                    const RandomStream& random) {
  const OutputCheck check =
      check_output_gradient<S>({.head = *setup.block.head, .loss = *setup.block.exact_loss, .perturbation = {.space = space}},
                               *setup.block.loss, head_input<S>(setup, batch, theta), batch.targets, random);
  if (check.contradicts())
    report_contradiction(
        setup.name, "perturbed activations must give the exact gradient",
        fmt::format("{} of {} wrong, mean cosine {:.3g}, length {:.3g} times", check.wrong, check.judged, check.cosine, check.length));
}

}  // namespace

namespace {

// Where readings have noise, drift or steps, differences promise nothing.
template <class S>
bool answers_smoothly(const Block<S>& block) {
  const auto smooth = [](const ForwardMap<S>* map) {
    const auto* addressed = dynamic_cast<const AddressedReadings*>(map);
    return addressed == nullptr || addressed->smooth();
  };
  return std::all_of(block.layers.begin(), block.layers.end(),
                     [&](const Layer<S>* layer) { return smooth(layer->map.get()) && smooth(layer->readout.get()); });
}

}  // namespace

template <class S>
void check_first_step(const BlockSetup<S>& setup, const Batch<S>& batch, std::span<const S> theta, const RandomStream& random,
                      const Executor& executor, Ledger& ledger) {
  if (!has_adjoint(setup.block) || setup.block.parameter_count() == 0 || !answers_smoothly(setup.block)) return;
  const Index rows = std::min<Index>(kCheckedRows, batch.x.rows());
  const Batch<S> first{.x = batch.x.topRows(rows), .targets = batch.targets.rows(0, rows), .dropout = batch.dropout};
  Ledger own(ledger.layers());
  AdjointBlockLoss<S> loss(setup.block, executor, own);
  loss.set_batch(first);
  Vector<S> gradient(isize(theta.size()));
  static_cast<void>(loss.value_and_gradient(theta, as_span(gradient)));
  // What is not finite is told by the step itself.
  if (gradient.allFinite()) {
    if (const auto* activity = std::get_if<ActivityPerturbation>(&setup.options.estimator); activity != nullptr) {
      check_activity<S>(setup, activity->space, first, theta, random);
      own.bill(setup.first, setup.last, &Evaluations::training,
               rows * activity_cost(ActivityPerturbation{}, *setup.block.head, setup.block.loss->joint()));
    }
    const SlopeCheck check = check_slopes<S>(loss, theta, as_span(std::as_const(gradient)), random, executor);
    if (check.contradicts)
      report_contradiction(
          setup.name, "the loss must change as its exact gradient promises",
          fmt::format("slopes of {:.3g} where {:.3g} is promised, {:.3g} apart", check.measured, check.promised, check.miss));
  }
  for (Index i = setup.first; i < setup.last; ++i) {
    ledger.bill(i, i + 1, &Evaluations::logging, own.layer(i).training);
    ledger.bill(i, i + 1, &Evaluations::checks, own.layer(i).pullbacks);
  }
}

std::string first_epoch_warning(const FirstEpoch& e) {
  const double spread = e.regression ? 0.0 : std::sqrt(e.chance * (1.0 - e.chance) / static_cast<double>(std::max<Index>(1, e.samples)));
  const bool at_chance = e.value <= e.chance + 2.0 * spread, fallen = !(e.mean_loss > 0.99 * e.first_loss);
  if (!at_chance || fallen) return {};
  return fmt::format(
      "{} is at chance after its first epoch ({} {:.3f}) and its loss has not fallen ({:.4g}, at first {:.4g}): `ffzero probe` on this run "
      "says what its estimates are worth; the likeliest keys are update.lr and {}",
      e.layer, e.regression ? "R^2" : "accuracy", e.value, e.mean_loss, e.first_loss,
      e.estimator == "directional" ? "gradient.directions"
      : e.estimator == "activity"  ? "gradient.eps"
                                   : "model.normalise");
}

template SlopeCheck check_slopes(const ScalarFunction<float>&, std::span<const float>, std::span<const float>, const RandomStream&,
                                 const Executor&);
template SlopeCheck check_slopes(const ScalarFunction<double>&, std::span<const double>, std::span<const double>, const RandomStream&,
                                 const Executor&);
template OutputCheck check_output_gradient(const ActivityOptions<float>&, const Loss<float>&, const ConstMatrixRef<float>&, const Targets&,
                                           const RandomStream&);
template OutputCheck check_output_gradient(const ActivityOptions<double>&, const Loss<double>&, const ConstMatrixRef<double>&,
                                           const Targets&, const RandomStream&);
template void check_first_step(const BlockSetup<float>&, const Batch<float>&, std::span<const float>, const RandomStream&, const Executor&,
                               Ledger&);
template void check_first_step(const BlockSetup<double>&, const Batch<double>&, std::span<const double>, const RandomStream&,
                               const Executor&, Ledger&);

}  // namespace ffzero
