// One line a run, live. Shared by sweep and reproduce.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "ffzero/run/sweep.hpp"

namespace ffzero::app {

/// On a terminal a block with a line for each run at work, rewritten; elsewhere a line whenever a run starts or ends.
class StudyDisplay {
 public:
  StudyDisplay(const Study& study, bool quiet);
  /// Called by run_study, one call at a time.
  void changed(std::size_t run, const RunState& state);
  void finish();

 private:
  void draw();
  void erase();
  [[nodiscard]] std::string line(std::size_t run) const;

  const Study& study_;
  bool quiet_, terminal_;
  std::vector<RunState> states_;
  int drawn_ = 0;
  std::chrono::steady_clock::time_point last_{};
};

/// Trains the study with live progress; Ctrl-C saves. Returns the exit code: done, interrupted, or output error if runs failed.
struct StudyRunResult {
  SweepResult sweep;
  int code = 0;
};
[[nodiscard]] StudyRunResult run_with_display(const Study& study, const SweepRequest& request, bool quiet, const std::string& go_on);

}  // namespace ffzero::app
