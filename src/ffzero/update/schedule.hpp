// How the learning rate changes while a block is trained.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ffzero {

enum class ScheduleKind {
  constant,  ///< 1
  cosine,    ///< from 1 down to `minimum` along half a cosine
  step,      ///< times `drop_factor` after each of `drops` + 1 equal parts of the training
  plateau,   ///< times `drop_factor` whenever the loss of an epoch has not improved for `patience` epochs
};

/// Spelling of the key `update.schedule`, and back. @throws ConfigError naming the valid spellings.
[[nodiscard]] std::string to_string(ScheduleKind kind);
[[nodiscard]] ScheduleKind parse_schedule_kind(std::string_view name);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::constant;
  std::int64_t warmup_steps = 0;  ///< the factor rises linearly over these steps, 1/w, 2/w, .., 1; then the kind takes over
  double minimum = 0.0;           ///< no factor after the warm-up lies below it; in [0, 1]
  double drop_factor = 0.1;       ///< in (0, 1); kinds step and plateau
  int drops = 2;                  ///< >= 1; kind step
  int patience = 3;               ///< >= 1; kind plateau
  double improvement = 1e-3;      ///< >= 0: a loss counts as better if below the best by this fraction of its size; kind plateau
};

/// Factors for the learning rate. All but plateau depend on the position alone; what plateau remembers is in state().
class Schedule {
 public:
  /// @throws ConfigError for values out of range.
  explicit Schedule(const ScheduleOptions& options = {});

  /// Factor, 0 <= factor <= 1, of step number `step` (from 0) of `total_steps`. total_steps = 0: length unknown, cosine and step stay
  /// at their start. Steps at or behind the end get the last value.
  [[nodiscard]] double factor(std::int64_t step, std::int64_t total_steps) const;
  /// Tells the mean training loss of a finished epoch. Only plateau listens; a loss that is not finite counts as no improvement.
  void observe(double epoch_loss);

  /// {best loss, epochs without improvement, drops so far}: with the options, everything that a checkpoint needs.
  using State = std::array<double, 3>;
  [[nodiscard]] State state() const noexcept { return {best_, static_cast<double>(waited_), static_cast<double>(dropped_)}; }
  void set_state(const State& state) noexcept;

  [[nodiscard]] const ScheduleOptions& options() const noexcept { return options_; }

 private:
  ScheduleOptions options_;
  double best_;
  int waited_ = 0;
  int dropped_ = 0;
};

}  // namespace ffzero
