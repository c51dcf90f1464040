// Display of a study.
// SPDX-License-Identifier: MIT
#include "study_display.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "output.hpp"
#include "progress.hpp"

namespace ffzero::app {

StudyDisplay::StudyDisplay(const Study& study, bool quiet)
    : study_(study), quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1), states_(study.runs.size()) {}

std::string StudyDisplay::line(std::size_t run) const {
  const PlannedRun& planned = study_.runs[run];
  const RunState& state = states_[run];
  return fmt::format("{:<12} {:<40} seed {:<3} {:<11} {:3.0f} %  {}", planned.name, setting_title(planned.axes), planned.seed,
                     to_string(state.status) + (state.resumed && state.status == RunStatus::running ? "*" : ""), 100.0 * state.fraction,
                     state.line);
}

void StudyDisplay::erase() {
  for (; drawn_ > 0; --drawn_) note("\x1b[1A\x1b[2K");
}

void StudyDisplay::draw() {
  erase();
  const std::size_t width = terminal_width() - 1;
  for (std::size_t i = 0; i < states_.size(); ++i)
    if (states_[i].status == RunStatus::running) {
      note("{}\n", line(i).substr(0, width));
      ++drawn_;
    }
  const auto count = [&](RunStatus status) {
    return std::count_if(states_.begin(), states_.end(), [&](const RunState& s) { return s.status == status; });
  };
  note("{} of {} runs done\n", count(RunStatus::finished) + count(RunStatus::diverged), states_.size());
  ++drawn_;
}

void StudyDisplay::changed(std::size_t run, const RunState& state) {
  const bool turned = states_[run].status != state.status;
  states_[run] = state;
  if (quiet_) return;
  if (turned && (!terminal_ || state.status != RunStatus::running)) {
    erase();
    note("{}\n", line(run));
  }
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (!turned && now - last_ < std::chrono::milliseconds(150)) return;
  last_ = now;
  draw();
}

void StudyDisplay::finish() {
  if (terminal_ && !quiet_) erase();
}

StudyRunResult run_with_display(const Study& study, const SweepRequest& request, bool quiet, const std::string& go_on) {
  if (!quiet)
    for (const auto& line : study.notes()) note("{}\n", line);
  StudyDisplay display(study, quiet);
  catch_interrupts();
  StudyRunResult result;
  result.sweep = run_study(study, request,
                           {.changed = [&](std::size_t run, const RunState& state) { display.changed(run, state); },
                            .stop_requested = [] { return interrupted(); }});
  display.finish();
  const auto& states = result.sweep.states;
  if (result.sweep.interrupted) {
    note("interrupted and saved; go on with: {}\n", go_on);
    result.code = kInterrupted;
  } else if (std::any_of(states.begin(), states.end(), [](const RunState& s) { return s.status == RunStatus::failed; })) {
    result.code = static_cast<int>(ErrorKind::check);
    // Why is no progress: it is said even when nothing else is.
    if (quiet)
      for (std::size_t i = 0; i < states.size(); ++i)
        if (states[i].status == RunStatus::failed) note("{} failed: {}\n", study.runs[i].name, states[i].line);
  }
  return result;
}

}  // namespace ffzero::app
