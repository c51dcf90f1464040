// Numbers that stand for several seeds.
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>
#include <vector>

namespace ffzero {

/// Stands for a number that was not measured.
inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

/// Quantile with linear interpolation between order statistics (position p (n - 1)): p = 0.5 is the usual median. NaN are left out;
/// without any number the result is NaN.  p in [0, 1]
[[nodiscard]] double quantile(std::vector<double> values, double p);

struct Quartiles {
  double low = 0.0, median = 0.0, high = 0.0;
  int count = 0;  ///< numbers that went in
};
[[nodiscard]] Quartiles quartiles(const std::vector<double>& values);

}  // namespace ffzero
