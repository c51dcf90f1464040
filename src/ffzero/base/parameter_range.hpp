// Ranges of parameters, inputs and outputs as a device declares them, and the normalised parameters that an optimiser works on.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// `count` neighbouring parameters (or inputs, or outputs) from `first` on that share unit and limits.
struct ParameterRange {
  static constexpr double kUnlimited = std::numeric_limits<double>::infinity();

  Index first = 0;
  Index count = 0;
  std::string unit = {};  ///< foreign text, cleaned
  double min = -kUnlimited;
  double max = kUnlimited;
  double step = 0.0;         ///< resolution: values lie at min + k step; 0: continuous
  double slew = kUnlimited;  ///< fastest change in units per second
  double safe = 0.0;         ///< value in the safe state
  double period = 0.0;       ///< > 0: values that differ by it are the same, for phases; min is then finite and max = min + period
  double noise = 0.0;        ///< outputs: standard deviation of a reading

  [[nodiscard]] bool bounded() const noexcept { return std::isfinite(min) && std::isfinite(max); }
  [[nodiscard]] bool periodic() const noexcept { return period > 0.0; }
  [[nodiscard]] bool contains(double value) const noexcept { return value >= min && value <= max; }  // false for NaN
};

/// Normalised t to the units of the device: bounded ranges map [-1, 1] to [min, max]; periodic ones wrap, one period is 2 wide; others are
/// the identity. The result is rounded to float, and stays inside the range if t does.
[[nodiscard]] inline float to_device_units(const ParameterRange& range, double t) noexcept {
  double value = t;
  if (range.periodic()) {
    const double turns = (t + 1.0) / 2.0;
    value = range.min + range.period * (turns - std::floor(turns));
  } else if (range.bounded()) {
    value = 0.5 * (range.min + range.max) + 0.5 * (range.max - range.min) * t;
    if (std::abs(t) <= 1.0) value = std::clamp(value, range.min, range.max);
  }
  float rounded = static_cast<float>(value);
  // A limit like 0.1 is no float: rounding must not step over it.
  if (value <= range.max && static_cast<double>(rounded) > range.max)
    rounded = std::nextafter(rounded, -std::numeric_limits<float>::infinity());
  if (value >= range.min && static_cast<double>(rounded) < range.min)
    rounded = std::nextafter(rounded, std::numeric_limits<float>::infinity());
  return rounded;
}

/// The inverse, for values inside the range.
[[nodiscard]] inline double to_normalised(const ParameterRange& range, double value) noexcept {
  if (range.periodic()) return 2.0 * (value - range.min) / range.period - 1.0;
  if (range.bounded()) return (value - 0.5 * (range.min + range.max)) / (0.5 * (range.max - range.min));
  return value;
}

/// Smallest change of a normalised parameter that the device can resolve; 0 if it is continuous.
[[nodiscard]] inline double normalised_step(const ParameterRange& range) noexcept {
  if (range.periodic()) return 2.0 * range.step / range.period;
  return range.bounded() ? 2.0 * range.step / (range.max - range.min) : range.step;
}

/// theta moved so far inside its range that theta +- margin is inside too; the middle if the range is too narrow for that. Periodic
/// parameters and numbers that are not finite stay. normalised: theta is on [-1, 1] where there are bounds; else, and for one-sided limits,
/// in the units of the device.
template <class S>
[[nodiscard]] S keep_inside(const ParameterRange& range, S theta, double margin, bool normalised) noexcept {
  const double t = static_cast<double>(theta);
  if (range.periodic() || !std::isfinite(t)) return theta;
  const bool unit = normalised && range.bounded();
  const double low = (unit ? -1.0 : range.min) + margin, high = (unit ? 1.0 : range.max) - margin;
  if (t >= low && t <= high) return theta;
  return static_cast<S>(low > high ? 0.5 * (low + high) : std::clamp(t, low, high));
}

}  // namespace ffzero
