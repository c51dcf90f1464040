// Steps of slow parameters.
// SPDX-License-Identifier: MIT
#include "ffzero/device/slew.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ffzero {

namespace {

constexpr double kShortestTick_s = 0.01;

}  // namespace

SlewPath::SlewPath(std::vector<ParameterRange> limits, double set_ms)
    : limits_(std::move(limits)), tick_s_(std::max(kShortestTick_s, set_ms / 1000.0)) {
  for (const ParameterRange& range : limits_) slow_ = slow_ || std::isfinite(range.slew);
}

void SlewPath::start(std::vector<float> values, Microseconds now) {
  applied_ = std::move(values);
  applied_at_ = now;
}

void SlewPath::approach(std::span<const float> theta, Clock& clock, const std::function<void(std::span<const float>)>& apply) {
  if (!slow_) return;
  const auto way = [&](std::size_t i) { return static_cast<double>(theta[i]) - static_cast<double>(applied_[i]); };
  double steps = 1.0;
  for (std::size_t i = 0; i < theta.size(); ++i) steps = std::max(steps, std::ceil(std::abs(way(i)) / (limits_[i].slew * tick_s_)));
  const Microseconds wait = of_ms(tick_s_ * 1000.0);
  std::vector<float> between(theta.size());
  for (double k = 1.0; k <= steps; ++k) {
    if (const auto due = applied_at_ + wait; clock.now() < due) clock.sleep(due - clock.now());
    if (k < steps) {
      for (std::size_t i = 0; i < theta.size(); ++i) between[i] = static_cast<float>(applied_[i] + way(i) * (k / steps));
      apply(between);
    }
    applied_at_ = clock.now();
  }
  applied_.assign(theta.begin(), theta.end());
}

}  // namespace ffzero
