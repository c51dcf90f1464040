// Order statistics.
// SPDX-License-Identifier: MIT
#include "ffzero/report/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace ffzero {

double quantile(std::vector<double> values, double p) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return kNoValue;
  std::sort(values.begin(), values.end());
  const double position = p * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double weight = position - static_cast<double>(below);
  return weight == 0.0 ? values[below] : (1.0 - weight) * values[below] + weight * values[above];
}

Quartiles quartiles(const std::vector<double>& values) {
  return {.low = quantile(values, 0.25),
          .median = quantile(values, 0.5),
          .high = quantile(values, 0.75),
          .count = static_cast<int>(std::count_if(values.begin(), values.end(), [](double v) { return !std::isnan(v); }))};
}

}  // namespace ffzero
