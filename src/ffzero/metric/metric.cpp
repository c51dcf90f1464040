// Metrics in double.
// SPDX-License-Identifier: MIT
#include "ffzero/metric/metric.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

void require_same_size(const char* place, std::size_t a, std::size_t b) {
  if (a != b) throw ShapeError(place, "as many predictions as targets", std::to_string(a) + " and " + std::to_string(b));
}

double quantile_of_sorted(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<double> sorted_copy(const char* place, std::span<const double> values) {
  if (values.empty()) throw ShapeError(place, "at least one value", "none");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

template <class S>
double r_squared_of(std::span<const S> predictions, std::span<const S> targets) {
  require_same_size("r_squared", predictions.size(), targets.size());
  if (targets.empty()) throw ShapeError("r_squared", "at least one sample", "none");
  double mean = 0.0;
  for (const S y : targets) mean += static_cast<double>(y);
  mean /= static_cast<double>(targets.size());
  double unexplained = 0.0;
  double spread = 0.0;
  for (std::size_t b = 0; b < targets.size(); ++b) {
    const double miss = static_cast<double>(targets[b]) - static_cast<double>(predictions[b]);
    const double deviation = static_cast<double>(targets[b]) - mean;
    unexplained += miss * miss;
    spread += deviation * deviation;
  }
  if (spread == 0.0) return unexplained == 0.0 ? 1.0 : -std::numeric_limits<double>::infinity();
  return 1.0 - unexplained / spread;
}

}  // namespace

double accuracy(std::span<const std::int32_t> predictions, std::span<const std::int32_t> labels) {
  require_same_size("accuracy", predictions.size(), labels.size());
  if (labels.empty()) throw ShapeError("accuracy", "at least one sample", "none");
  const auto hits = std::inner_product(predictions.begin(), predictions.end(), labels.begin(), std::int64_t{0}, std::plus<>(),
                                       [](std::int32_t p, std::int32_t y) { return std::int64_t{p == y}; });
  return static_cast<double>(hits) / static_cast<double>(labels.size());
}

ConfusionMatrix::ConfusionMatrix(Index classes) {
  if (classes < 1) throw ShapeError("ConfusionMatrix", "at least one class", std::to_string(classes));
  counts_.setZero(classes, classes);
}

void ConfusionMatrix::add(std::span<const std::int32_t> predictions, std::span<const std::int32_t> labels) {
  require_same_size("ConfusionMatrix", predictions.size(), labels.size());
  const auto classes = static_cast<std::int32_t>(counts_.rows());
  const auto outside = [classes](std::int32_t k) { return k < 0 || k >= classes; };
  if (std::any_of(predictions.begin(), predictions.end(), outside) || std::any_of(labels.begin(), labels.end(), outside)) {
    throw ShapeError("ConfusionMatrix", "classes must lie in 0 .. " + std::to_string(classes - 1), "one outside");
  }
  for (std::size_t b = 0; b < labels.size(); ++b) ++counts_(labels[b], predictions[b]);
}

double ConfusionMatrix::accuracy() const {
  const std::int64_t all = total();
  return all == 0 ? 0.0 : static_cast<double>(counts_.trace()) / static_cast<double>(all);
}

std::vector<std::optional<double>> recalls_of(const Matrix<std::int64_t>& counts) {
  std::vector<std::optional<double>> recalls;
  for (Index k = 0; k < counts.rows(); ++k) {
    const std::int64_t samples = counts.row(k).sum();
    recalls.push_back(samples > 0 ? std::optional(static_cast<double>(counts(k, k)) / static_cast<double>(samples)) : std::nullopt);
  }
  return recalls;
}

double balanced_accuracy(const Matrix<std::int64_t>& counts) {
  double sum = 0.0, classes = 0.0;
  for (const auto& recall : recalls_of(counts)) {
    if (!recall) continue;
    sum += *recall;
    classes += 1.0;
  }
  return classes > 0.0 ? sum / classes : 0.0;
}

double r_squared(std::span<const float> predictions, std::span<const float> targets) { return r_squared_of(predictions, targets); }

double r_squared(std::span<const double> predictions, std::span<const double> targets) { return r_squared_of(predictions, targets); }

Summary summarise(std::span<const double> values) {
  const std::vector<double> sorted = sorted_copy("summarise", values);
  return {.mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size()),
          .minimum = sorted.front(),
          .lower_quartile = quantile_of_sorted(sorted, 0.25),
          .median = quantile_of_sorted(sorted, 0.5),
          .upper_quartile = quantile_of_sorted(sorted, 0.75),
          .maximum = sorted.back()};
}

double quantile(std::span<const double> values, double q) {
  if (!(q >= 0.0 && q <= 1.0)) throw ShapeError("quantile", "q must lie in [0, 1]", std::to_string(q));
  return quantile_of_sorted(sorted_copy("quantile", values), q);
}

}  // namespace ffzero
