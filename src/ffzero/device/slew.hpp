// Parameters with a slew limit are brought to their place in steps.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ffzero/base/parameter_range.hpp"
#include "ffzero/device/clock.hpp"

namespace ffzero {

/// Knows where the parameters of a device are, and in which steps they may go on. Everybody who writes parameters goes through it.
class SlewPath {
 public:
  SlewPath() = default;
  /// limits: one for each parameter, in the units of the device. set_ms: time between two steps, at least 10 ms
  SlewPath(std::vector<ParameterRange> limits, double set_ms);

  /// Whether any parameter has a slew limit; without one no step is ever needed.
  [[nodiscard]] bool slow() const noexcept { return slow_; }
  /// The parameters are at `values` since `now`.
  void start(std::vector<float> values, Microseconds now);
  /// The last step has been made by `now`: the next one counts from there.
  void arrived(Microseconds now) noexcept { applied_at_ = now; }
  /// Comes so near to theta that the last step, which is left to the caller, keeps the limits: waits, calls `apply` with the parameters
  /// between, and so on; returns when the last step may be made. theta (parameters). What apply throws passes through: start again then
  void approach(std::span<const float> theta, Clock& clock, const std::function<void(std::span<const float>)>& apply);

 private:
  std::vector<ParameterRange> limits_;
  double tick_s_ = 0.0;
  bool slow_ = false;
  std::vector<float> applied_;
  Microseconds applied_at_{0};
};

}  // namespace ffzero
