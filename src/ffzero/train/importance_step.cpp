// Importance sampling: an estimate from the samples of a batch whose losses have most to say.
// SPDX-License-Identifier: MIT
#include "ffzero/train/importance_step.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>

#include "ffzero/objective/one_sided_loss.hpp"

namespace ffzero {

namespace {

/// Of the chances, the share that is the same for all samples: no weight is more than its inverse times what it is without importance.
constexpr double kAlike = 0.1;
/// Part of the stream of directions that no estimator uses.
constexpr std::uint32_t kDraw = 0xFFFA;

template <class S>
class ImportanceStep final : public StepGradient<S> {
 public:
  ImportanceStep(Index samples, Index batch, std::unique_ptr<StepGradient<S>> estimate, const Block<S>& block, const Executor& executor,
                 Ledger& ledger)
      : samples_(samples),
        batch_(batch),
        layers_(isize(block.layers.size())),
        mean_(block.reduction == Reduction::mean),
        estimate_(std::move(estimate)),
        loss_(block, executor, ledger) {}
  void begin_step(Index number, Index steps, Index epochs) override { estimate_->begin_step(number, steps, epochs); }
  [[nodiscard]] std::optional<TrainingStage> stage() const override { return estimate_->stage(); }
  double estimate(const Batch<S>& batch, std::span<const S> theta, const RandomStream& random, std::span<S> gradient) override {
    lost_ = false;
    if (batch.x.rows() <= samples_) return estimate_->estimate(batch, theta, random, gradient);
    loss_.set_batch(batch);
    const SampleSlopes slopes = loss_.sample_slopes(theta);
    const std::vector<double> chances = inclusion_chances(slopes.lengths, samples_);
    std::array<double, 1> at{};
    random.of(kDraw).fill_uniform(at);
    take(batch, chances, draw_samples(chances, at[0]));
    lost_ = std::all_of(slopes.lengths.begin(), slopes.lengths.end(), [](double length) { return length < 0.0; });
    // Slopes that are not finite are never drawn either: there the loss says that training has diverged.
    if (x_.rows() == 0) return lost_ ? std::numeric_limits<double>::quiet_NaN() : slopes.loss;
    const Targets targets{.labels = labels_, .values = values_, .weights = weights_, .outputs = batch.targets.outputs};
    static_cast<void>(estimate_->estimate({.x = x_, .targets = targets, .dropout = batch.dropout}, theta, random, gradient));
    return slopes.loss;
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override {
    return layers_ + divide_up(estimate_->cost_per_sample() * samples_, batch_);
  }
  [[nodiscard]] std::int64_t cost_of_step(Index number, Index rows) const override {
    return rows <= samples_ ? estimate_->cost_of_step(number, rows) : layers_ * rows + estimate_->cost_of_step(number, samples_);
  }
  [[nodiscard]] std::optional<StepReadings> planned_readings() const override {
    const double each = static_cast<double>(estimate_->cost_per_sample()) / static_cast<double>(layers_);
    return StepReadings{.rows = static_cast<double>(batch_) + each * static_cast<double>(samples_), .writes = 1.0 + each};
  }
  [[nodiscard]] Information information() const override { return estimate_->information(); }
  [[nodiscard]] BlockLoss<S>& loss() override { return estimate_->loss(); }
  [[nodiscard]] Index missing_pairs() const override { return lost_ ? pairs_of_step() : estimate_->missing_pairs(); }
  [[nodiscard]] Index pairs_of_step() const override { return estimate_->pairs_of_step(); }
  [[nodiscard]] std::span<const EstimatedPart> parts() const override { return estimate_->parts(); }
  void set_eps(double eps) override { estimate_->set_eps(eps); }
  [[nodiscard]] std::span<S> memory() override { return estimate_->memory(); }

 private:
  void take(const Batch<S>& batch, std::span<const double> chances, const std::vector<Index>& drawn) {
    const Targets& all = batch.targets;
    const Index count = isize(drawn.size()), outputs = all.outputs;
    // A mean over the batch stays one: the estimate divides by the samples that it gets.
    const double share = mean_ ? static_cast<double>(count) / static_cast<double>(batch.x.rows()) : 1.0;
    x_.resize(count, batch.x.cols());
    labels_.clear();
    values_.clear();
    weights_.clear();
    for (Index i = 0; i < count; ++i) {
      const std::size_t b = usize(drawn[usize(i)]);
      x_.row(i) = batch.x.row(isize(b));
      if (!all.labels.empty()) labels_.push_back(all.labels[b]);
      if (!all.values.empty())
        values_.insert(values_.end(), all.values.begin() + isize(b) * outputs, all.values.begin() + (isize(b) + 1) * outputs);
      weights_.push_back(share / chances[b] * (all.weights.empty() ? 1.0 : all.weights[b]));
    }
  }

  Index samples_, batch_, layers_;
  bool mean_, lost_ = false;  // lost: no sample of the batch was read
  std::unique_ptr<StepGradient<S>> estimate_;
  OneSidedBlockLoss<S> loss_;
  Matrix<S> x_;
  std::vector<std::int32_t> labels_;
  std::vector<double> values_, weights_;
};

}  // namespace

std::vector<double> inclusion_chances(std::span<const double> lengths, Index samples) {
  const auto there = [&](std::size_t b) { return lengths[b] >= 0.0; };
  double total = 0.0;
  Index count = 0;
  for (std::size_t b = 0; b < lengths.size(); ++b)
    if (there(b)) {
      total += lengths[b];
      ++count;
    }
  std::vector<double> chances(lengths.size(), 0.0);
  const double alike = (total > 0.0 ? kAlike : 1.0) / static_cast<double>(std::max<Index>(1, count));
  std::vector<double> weights(lengths.size(), 0.0);
  for (std::size_t b = 0; b < lengths.size(); ++b)
    if (there(b)) weights[b] = alike + (total > 0.0 ? (1.0 - kAlike) * lengths[b] / total : 0.0);
  // Whoever would be drawn more than once is drawn for sure, and the others share what is left.
  for (Index left = std::min(samples, count), sure = 0;;) {
    double open = 0.0;
    for (std::size_t b = 0; b < weights.size(); ++b)
      if (chances[b] < 1.0) open += weights[b];
    Index more = 0;
    for (std::size_t b = 0; b < weights.size(); ++b)
      if (chances[b] < 1.0 && weights[b] > 0.0) {
        chances[b] = std::min(1.0, static_cast<double>(left) * weights[b] / open);
        if (chances[b] >= 1.0) ++more;
      }
    sure += more;
    left = std::min(samples, count) - sure;
    if (more == 0 || left == 0) return chances;
  }
}

std::vector<Index> draw_samples(std::span<const double> chances, double at) {
  std::vector<Index> drawn;
  double sum = 0.0;
  for (std::size_t b = 0; b < chances.size(); ++b) {
    sum += chances[b];
    if (sum <= at) continue;
    drawn.push_back(isize(b));
    at += 1.0;
  }
  return drawn;
}

template <class S>
std::unique_ptr<StepGradient<S>> make_importance_step(Index samples, Index batch, std::unique_ptr<StepGradient<S>> estimate,
                                                      const Block<S>& block, const Executor& executor, Ledger& ledger) {
  return std::make_unique<ImportanceStep<S>>(samples, batch, std::move(estimate), block, executor, ledger);
}

template std::unique_ptr<StepGradient<float>> make_importance_step(Index, Index, std::unique_ptr<StepGradient<float>>, const Block<float>&,
                                                                   const Executor&, Ledger&);
template std::unique_ptr<StepGradient<double>> make_importance_step(Index, Index, std::unique_ptr<StepGradient<double>>,
                                                                    const Block<double>&, const Executor&, Ledger&);

}  // namespace ffzero
