// Trains the runs of a study side by side.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ffzero/run/study.hpp"
#include "ffzero/settings/device_layers.hpp"
#include "ffzero/settings/plugin.hpp"

namespace ffzero {

enum class RunStatus { waiting, running, finished, diverged, failed, interrupted };
[[nodiscard]] std::string to_string(RunStatus status);

/// Where a run of a study stands.
struct RunState {
  RunStatus status = RunStatus::waiting;
  bool resumed = false;   ///< goes on from a checkpoint
  bool earlier = false;   ///< was finished before this call
  double fraction = 0.0;  ///< of the training evaluations
  std::string line;       ///< a few words: layer, epoch, last test value, or the error
};

/// Every count-th run of a study, from number `index` on: what one machine, or one task of a cluster, takes. 1 of 1: the whole study.
struct StudyPart {
  std::size_t index = 1, count = 1;  ///< 1 <= index <= count
  [[nodiscard]] bool has(std::size_t run) const noexcept { return run % count == index - 1; }
};
/// "2/8". @throws UsageError
[[nodiscard]] StudyPart parse_study_part(const std::string& text);

struct SweepRequest {
  std::filesystem::path out;         ///< folder of the study; an existing one is gone on with
  std::filesystem::path cache_dir;   ///< where data sets are looked for if dataset.dir is empty
  int jobs = 0;                      ///< runs at once, one core each; 0: one a core. With devices always 1: each serves one host
  DeviceAccess devices = {};         ///< of every run
  std::vector<Plugin> plugins = {};  ///< that are loaded: every run records them
  StudyPart part = {};               ///< parts may share `out`, or have one each
};

/// Called from the threads of the runs, one at a time; every member may be empty.
struct SweepEvents {
  std::function<void(std::size_t run, const RunState& state)> changed;
  std::function<bool()> stop_requested;
};

struct SweepResult {
  std::vector<RunState> states;  ///< one a run of the study
  bool interrupted = false;
};

/// Trains what is not finished yet: <out>/runs/<name> each, started from the settings kept in <out>/configs/<name>.toml, or gone on with
/// from its checkpoint. A run that diverged counts as done: it would again. @throws UsageError if `out` holds another study, ConfigError
/// before any run starts, OutputError. What fails in a run is its state.
/// Runs of other parts stay `waiting`.
[[nodiscard]] SweepResult run_study(const Study& study, const SweepRequest& request, const SweepEvents& events = {});

/// Copies the finished runs of a study from the folders of its parts to `out`, which may be one of them; what it has already stays.
/// @throws UsageError if a folder holds another study, DataError if a run is finished nowhere, OutputError
void merge_study(const Study& study, const std::vector<std::filesystem::path>& parts, const std::filesystem::path& out);

}  // namespace ffzero
