// Constant, cosine, step and plateau schedules with a linear warm-up.
// SPDX-License-Identifier: MIT
#include "ffzero/update/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

constexpr std::array<std::pair<ScheduleKind, const char*>, 4> kNames{{{ScheduleKind::constant, "constant"},
                                                                      {ScheduleKind::cosine, "cosine"},
                                                                      {ScheduleKind::step, "step"},
                                                                      {ScheduleKind::plateau, "plateau"}}};

void require(bool holds, const char* key, const char* requirement, double value) {
  if (!holds) throw ConfigError(std::string("update.schedule: ") + key, requirement, std::to_string(value));
}

}  // namespace

std::string to_string(ScheduleKind kind) {
  for (const auto& [k, name] : kNames) {
    if (k == kind) return name;
  }
  throw ShapeError("to_string(ScheduleKind)", "a named schedule", std::to_string(static_cast<int>(kind)));
}

ScheduleKind parse_schedule_kind(std::string_view name) {
  for (const auto& [kind, spelling] : kNames) {
    if (name == spelling) return kind;
  }
  throw ConfigError("update.schedule", "one of constant, cosine, step, plateau", name);
}

Schedule::Schedule(const ScheduleOptions& options) : options_(options), best_(std::numeric_limits<double>::infinity()) {
  require(options.warmup_steps >= 0, "warmup_steps", "must not be negative", static_cast<double>(options.warmup_steps));
  require(options.minimum >= 0.0 && options.minimum <= 1.0, "minimum", "must lie in [0, 1]", options.minimum);
  require(options.drop_factor > 0.0 && options.drop_factor < 1.0, "drop_factor", "must lie in (0, 1)", options.drop_factor);
  require(options.drops >= 1, "drops", "must be at least 1", options.drops);
  require(options.patience >= 1, "patience", "must be at least 1", options.patience);
  require(options.improvement >= 0.0, "improvement", "must not be negative", options.improvement);
}

double Schedule::factor(std::int64_t step, std::int64_t total_steps) const {
  const std::int64_t warmup = options_.warmup_steps;
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double length = static_cast<double>(total_steps - warmup);
  const double progress = length > 0.0 ? std::min(1.0, static_cast<double>(step - warmup) / length) : 0.0;
  double value = 1.0;
  switch (options_.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::cosine:
      value = options_.minimum + (1.0 - options_.minimum) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
      break;
    case ScheduleKind::step:
      value = std::pow(options_.drop_factor, std::min<double>(options_.drops, std::floor(progress * (options_.drops + 1))));
      break;
    case ScheduleKind::plateau:
      value = std::pow(options_.drop_factor, dropped_);
      break;
  }
  return std::max(value, options_.minimum);
}

void Schedule::observe(double epoch_loss) {
  if (options_.kind != ScheduleKind::plateau) return;
  const bool better = std::isinf(best_) ? std::isfinite(epoch_loss) : epoch_loss < best_ - options_.improvement * std::abs(best_);
  if (better) {
    best_ = epoch_loss;
    waited_ = 0;
  } else if (++waited_ >= options_.patience) {
    ++dropped_;
    waited_ = 0;
  }
}

void Schedule::set_state(const State& state) noexcept {
  best_ = state[0];
  waited_ = static_cast<int>(state[1]);
  dropped_ = static_cast<int>(state[2]);
}

}  // namespace ffzero
