// Runs a study side by side, and puts its results into tables and figures.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ffzero/report/gnuplot.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/run_figures.hpp"
#include "ffzero/report/statistics.hpp"
#include "ffzero/report/study.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/settings/device_layers.hpp"

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

struct SweepRequest {
  std::filesystem::path out;        ///< folder of the study; an existing one is gone on with
  std::filesystem::path cache_dir;  ///< where data sets are looked for if dataset.dir is empty
  int jobs = 0;                     ///< runs at once, one core each; 0: one a core. With devices always 1: each serves one host
  DeviceAccess devices = {};        ///< of every run
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
[[nodiscard]] SweepResult run_study(const Study& study, const SweepRequest& request, const SweepEvents& events = {});

/// The seeds of one setting together.
struct SettingResult {
  std::string setting;
  std::vector<std::pair<std::string, std::string>> axes;
  std::vector<std::int64_t> seeds;  ///< of finished and diverged runs
  std::string metric, information;
  Quartiles test, train;                   ///< final values; a diverged run counts with the last value before
  double forward_evals = 0.0;              ///< of training, median
  int diverged = 0, missing = 0;           ///< runs without a result
  std::vector<std::vector<double>> curve;  ///< rows: median evaluations, low quartile, median, high quartile of the test metric; an empty
                                           ///< row between layers
};
[[nodiscard]] std::vector<SettingResult> collect(const Study& study, const std::filesystem::path& out);

/// One row a setting, quartiles over seeds. Says nothing that depends on the machine's speed, so that a study that was interrupted gives
/// the same table as one that was not.
[[nodiscard]] Table study_table(const std::vector<SettingResult>& results);
[[nodiscard]] nlohmann::ordered_json study_json(const Study& study, const std::vector<SettingResult>& results,
                                                const std::filesystem::path& out);

/// Median curves with bands of the quartiles over evaluations, and final values.
[[nodiscard]] FigureGroup study_figures(const std::vector<SettingResult>& results);

/// Writes table.md, table.csv, table.json, figures/ and report.html into `out`. Returns notices about what is missing.
std::vector<std::string> write_study_report(const Study& study, const std::filesystem::path& out, const GnuplotOptions& gnuplot = {});

}  // namespace ffzero
