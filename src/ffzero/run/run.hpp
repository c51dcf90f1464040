// One run from configuration to run folder.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/settings/build_network.hpp"
#include "ffzero/settings/config.hpp"
#include "ffzero/settings/plugin.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero {

struct RunRequest {
  ConfigSources sources;                        ///< of a new run
  std::optional<std::filesystem::path> resume;  ///< or the folder of a run to go on with
  /// With which a run goes on that its gate stopped, dotted key and TOML value: gradient.fallback, and of gradient.twin.* and
  /// gradient.transfer.* all but order, fit and file.
  std::vector<std::pair<std::string, std::string>> changes = {};
  std::optional<std::filesystem::path> replay;  ///< or the folder of a run to repeat from its journal, without its devices
  std::filesystem::path out;                    ///< folder to create; empty: nothing is written
  bool numbered = false;                        ///< where `out` is taken, out-2, out-3, ... is created
  std::optional<int> threads;                   ///< instead of those of the settings; 0: one a core
  std::filesystem::path cache_dir;              ///< where data sets are looked for if dataset.dir is empty
  DeviceAccess devices = {};                    ///< where the devices of the run are, or that its file may say so
  std::shared_ptr<const NpzArchive> arrays;     ///< samples in place of those that the settings name: the arrays of npz_dataset
  DeviceMaps<float> maps = {};                  ///< layers in place of devices that have addresses: one for each of `devices`
  std::vector<Plugin> plugins = {};             ///< that are loaded: the run records them
  std::shared_ptr<Exchange> ranks;              ///< that train this run together; null: this process alone
};

struct RunEvents {
  /// Once, when the folder is this run's to write into: created, or gone on with. A run that is refused never says so.
  std::function<void(const std::filesystem::path& folder)> folder_ready;
  std::function<void(const Progress&)> step_done;
  std::function<void(const EpochRecord&, const std::string& metric)> epoch_done;
  std::function<bool()> stop_requested;
  std::function<void(const std::string& line)> message;  ///< one line of log
  /// When summary.json is written, with the folder still locked; earlier: it was there before, and nothing has been trained.
  std::function<void(const std::filesystem::path& folder, bool earlier)> finished;
};

struct RunResult {
  nlohmann::ordered_json summary;  ///< summary.json; null if interrupted, and in all ranks but the first
  std::filesystem::path folder;
  bool interrupted = false;
};

/// Loads the data, trains, and writes config.toml, metrics.jsonl, checkpoint.npz (before the first step and after every epoch),
/// evaluation.npz and summary.json, in this order. A run that is refused leaves no folder behind and writes into none. Resuming a finished
/// run trains nothing and returns its summary. A folder whose run was stopped before its first checkpoint starts over. The folder is locked
/// (FolderLock) while the run lasts.
/// Of several ranks each calls this with the same request; rank 0 alone writes, and the others need no events but stop_requested, which any
/// of them may answer with true. They compare what must be alike before the first step (run/ranks.hpp). A rank that throws has told the
/// others, which throw a RankError.
/// @throws UsageError for a folder that exists or that another process holds, ConfigError, DataError, DivergedError, OutputError.
[[nodiscard]] RunResult run_training(const RunRequest& request, const RunEvents& events = {});

/// A run with its settings, from a run folder or a checkpoint file in one. @throws DataError, ConfigError, and UsageError if it was made
/// with a plugin that is not loaded
struct LoadedRun {
  Config config;
  TrainerState state;
  std::string place;
};
/// devices: of a run with devices; @throws UsageError if it has not as many
[[nodiscard]] LoadedRun load_run(const std::filesystem::path& run, const DeviceAccess& devices = {});
/// The same with other settings of what its network stands on, which change no shape: "model.imperfect.gain", "model.mesh.chip.coupler".
/// sets: dotted key, TOML value
[[nodiscard]] LoadedRun load_run_on(const std::filesystem::path& run, const std::vector<std::pair<std::string, std::string>>& sets,
                                    const DeviceAccess& devices = {});
/// The same from memory; `place` stands for the file in messages. Safe for any arrays whatsoever.
[[nodiscard]] LoadedRun load_run(NpzArchive checkpoint, const std::string& place, const DeviceAccess& devices = {});

/// Data of a run; dataset.dir empty: `cache_dir`; dataset.name = "memory": `arrays`.
[[nodiscard]] Splits load_splits(const Config& config, const std::filesystem::path& cache_dir,
                                 std::shared_ptr<const NpzArchive> arrays = nullptr);

/// Host name free description of the machine: processor, cores, BLAS, compiler.
[[nodiscard]] nlohmann::ordered_json machine_description(int threads);
/// Version of the library.
[[nodiscard]] std::string version();
/// Largest resident size of this process so far.
[[nodiscard]] std::int64_t peak_rss_bytes();

}  // namespace ffzero
