// Live progress on standard error: one rewritten line on a terminal, plain lines elsewhere.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "ffzero/train/record.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero::app {

class ProgressDisplay {
 public:
  explicit ProgressDisplay(bool quiet);
  void step(const Progress& progress);
  void epoch(const EpochRecord& record, const std::string& metric);
  void message(const std::string& line);
  void finish();

 private:
  void clear_line();

  bool quiet_, terminal_, line_open_ = false;
  std::chrono::steady_clock::time_point start_, last_{};
  double first_fraction_ = -1.0;
};

/// Columns of the terminal behind standard error; 100 if there is none.
[[nodiscard]] std::size_t terminal_width();
/// 1234567 -> "1.23 M".
[[nodiscard]] std::string short_count(std::int64_t n);
/// Seconds as "41 s", "3 min 20 s", "2 h 5 min".
[[nodiscard]] std::string short_time(double seconds);

}  // namespace ffzero::app
