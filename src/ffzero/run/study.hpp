// A study: many runs from a grid over settings and seeds.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace ffzero {

/// One run of a study.
struct PlannedRun {
  std::string name;                                       ///< its folder: "s03-seed1"
  std::string setting;                                    ///< what it has in common with its other seeds: "s03"
  std::vector<std::pair<std::string, std::string>> axes;  ///< what sets the setting apart: ("solver", "ff_dd"), ("update.lr", "0.01")
  std::int64_t seed = 0;
  std::string toml;      ///< its whole configuration, for ffzero train
  bool devices = false;  ///< it needs instruments, which serve one run at a time
};

/// A key that was left out where it does not apply.
struct DroppedKey {
  std::string key, reason;
  std::vector<std::string> where;  ///< titles of the settings
};

struct Study {
  std::string name;
  std::vector<PlannedRun> runs;
  std::vector<DroppedKey> dropped;  ///< one entry a key and reason

  /// "update.lr is dropped in ff_ad: ..", one line an entry.
  [[nodiscard]] std::vector<std::string> notes() const;
};

/// Name of a setting in legends: the values of the axes, with the keys where the value does not say it; dropped ones are left out.
[[nodiscard]] std::string setting_title(const std::vector<std::pair<std::string, std::string>>& axes);

/// Settings of one run as the user said them: dotted keys, weakest first; `cell` is a --solver name or empty.
struct RunSettings {
  std::string cell;
  std::vector<std::pair<std::string, nlohmann::json>> keys;
  std::string layer_tables;        ///< [[layer]] tables as TOML, or empty
  std::string device_tables = {};  ///< [[model.device]] tables, likewise
};

/// TOML of a run in which every key has an effect: keys that do not apply are dropped and named in `dropped` (key and reason).
/// @throws ConfigError for unknown keys, wrong values and impossible combinations.
[[nodiscard]] std::string applicable_toml(const RunSettings& settings, std::vector<std::pair<std::string, std::string>>& dropped);

/// Reads a study:
///   name = ".."            base = { .. } or "file.toml"     settings that all runs share
///   seeds = [0, 1, 2]      cells = ["ff_dd", "bp_ad"]       shorthand for objective.scope and gradient.estimator
///   [grid]                 update.lr = [1e-2, 1e-3]         any key with the list of its values; keys that are lists take lists of lists
/// All combinations are run; settings that come out the same because a key was dropped are run once.
/// overrides: keys and values that take the place of those of base, as after --set
/// @throws ConfigError naming the file, the key and what is wrong; for overrides of what the study lists (seeds, cells, [grid]) too.
[[nodiscard]] Study read_study(const std::filesystem::path& file, const std::vector<std::pair<std::string, std::string>>& overrides = {});
/// The same from text; relative files are looked for in `folder`.
[[nodiscard]] Study parse_study(const std::string& text, const std::string& place, const std::filesystem::path& folder,
                                const std::vector<std::pair<std::string, std::string>>& overrides = {});

/// Appends the runs of one setting, one a seed; used by studies that are not grids.
void add_setting(Study& study, const RunSettings& settings, const std::vector<std::pair<std::string, std::string>>& asked,
                 const std::vector<std::int64_t>& seeds);

}  // namespace ffzero
