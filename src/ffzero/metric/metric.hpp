// Accuracy, confusion matrix, R^2 and summaries over several runs.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Fraction of equal entries.   predictions (N)   labels (N), N >= 1   @throws ShapeError if the sizes differ or are 0.
[[nodiscard]] double accuracy(std::span<const std::int32_t> predictions, std::span<const std::int32_t> labels);

/// Counts of (true class, predicted class) over any number of batches.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(Index classes);
  /// @throws ShapeError if the sizes differ or an entry lies outside 0 .. K - 1.
  void add(std::span<const std::int32_t> predictions, std::span<const std::int32_t> labels);
  void reset() { counts_.setZero(); }

  /// (K, K): row = true class, column = predicted class.
  [[nodiscard]] const Matrix<std::int64_t>& counts() const noexcept { return counts_; }
  [[nodiscard]] std::int64_t total() const { return counts_.sum(); }
  /// Trace over total; 0 before anything was added.
  [[nodiscard]] double accuracy() const;

 private:
  Matrix<std::int64_t> counts_;
};

/// Of each class, the share of its samples that were taken for it; nothing for a class without samples.
/// counts (K, K): row = true class, column = decision
[[nodiscard]] std::vector<std::optional<double>> recalls_of(const Matrix<std::int64_t>& counts);
/// Mean of the recalls of the classes that have samples: accuracy as if all classes had as many. 0 without samples.
[[nodiscard]] double balanced_accuracy(const Matrix<std::int64_t>& counts);

/// 1 - sum (y - p)^2 / sum (y - mean y)^2 the same on the original scale of the targets and on any other
/// affine one.   predictions (N) and targets (N), N >= 1.
/// Targets that are all equal have no spread to explain: 1 if every prediction is exact, else minus infinity. @throws ShapeError
[[nodiscard]] double r_squared(std::span<const float> predictions, std::span<const float> targets);
[[nodiscard]] double r_squared(std::span<const double> predictions, std::span<const double> targets);

/// What several runs with different seeds gave. Quantiles interpolate linearly between order statistics.
struct Summary {
  double mean = 0.0;
  double minimum = 0.0;
  double lower_quartile = 0.0;
  double median = 0.0;
  double upper_quartile = 0.0;
  double maximum = 0.0;
};

/// values (n), n >= 1, any order. @throws ShapeError if there are none.
[[nodiscard]] Summary summarise(std::span<const double> values);
/// The value below which the fraction q of `values` lies, 0 <= q <= 1. @throws ShapeError
[[nodiscard]] double quantile(std::span<const double> values, double q);

}  // namespace ffzero
