// A run's settings: presets, files, overrides, resolution of "auto", and the resolved file.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/index.hpp"
#include "ffzero/settings/device_layers.hpp"
#include "ffzero/settings/keys.hpp"
#include "ffzero/settings/resolved.hpp"
#include "ffzero/train/plan.hpp"

namespace ffzero {

/// Where settings come from, weakest first: defaults, preset, file, overrides.
struct ConfigSources {
  std::optional<std::filesystem::path> file;                   ///< TOML
  std::string text = {};                                       ///< TOML in place of a file
  std::vector<std::pair<std::string, std::string>> overrides;  ///< dotted key, TOML value (bare words are texts): --set and flags
  DeviceAccess devices = {};                                   ///< --device: they become the model where the file has none; --trust-devices
};

class Config {
 public:
  /// @throws ConfigError with source, key, requirement, value found and remedy; DataError if the file cannot be read.
  [[nodiscard]] static Config load(const ConfigSources& sources);
  /// The same from TOML text; `place` names it in messages.
  [[nodiscard]] static Config parse(const std::string& toml, const std::string& place, const ConfigSources& more = {});

  /// Replaces every "auto", checks combinations, and that every key that the user said has an effect. Call once, after the data are known.
  void resolve(const DataFacts& facts);

  [[nodiscard]] const Values& values() const noexcept { return values_; }
  /// The run's values with the [[layer]] table of that layer over them, resolved.
  [[nodiscard]] Values layer_values(Index layer) const;
  [[nodiscard]] Index layer_count() const;  ///< trained layers of the network

  /// Complete and canonical: all keys in use with their values, but for model.imperfect.* where nothing is; reading it gives the same run.
  [[nodiscard]] std::string to_toml() const;
  /// ff_dd | ff_ad | bp_dd | bp_ad, ff_activity, ff_coordinate, grouped_dd, ..: what reports call the cell.
  [[nodiscard]] std::string solver() const;

  /// What the training loop reads of a resolved configuration, for a network of `layers` layers: the one translation from keys to options.
  [[nodiscard]] TrainPlan plan(Index layers) const;
  /// How the layers decide; none: end to end or in regression.
  [[nodiscard]] std::optional<VoteOptions> vote() const;

  /// Of model.kind = "device", in the order of the data flow.
  [[nodiscard]] const std::vector<DeviceLayer>& devices() const noexcept { return devices_; }
  /// Layers of these devices that connect to nothing, instead; empty: none.
  [[nodiscard]] const std::vector<DeviceShape>& stand_ins() const noexcept { return stand_ins_; }
  /// Or what these devices said of themselves, where their readings come from a journal; empty: they are reached.
  [[nodiscard]] const std::vector<std::string>& recorded() const noexcept { return recorded_; }
  /// Position of the first device among the layers.
  [[nodiscard]] Index first_device() const { return isize(values_.at("model.layers_before").size()); }
  /// One line for each key or word that has another name now.
  [[nodiscard]] const std::vector<std::string>& notices() const noexcept { return notices_; }
  /// Says where the devices of these settings are reached, or that they may be reached at all; the settings themselves stay as they are.
  /// shapes: of the devices, for access.stand_ins. @throws UsageError if the number of addresses is another one
  void allow(const DeviceAccess& access, const std::vector<DeviceShape>& shapes = {});

  /// Sets a key before resolve(), as the user would.
  void set(const std::string& key, const nlohmann::json& value, const std::string& place);

 private:
  struct LayerTable {
    Index layer;
    std::vector<std::pair<std::string, nlohmann::json>> values;
    std::string place;
  };
  /// What the user or a file says: with a notice where the name is an old one.
  void say(const std::string& key, const nlohmann::json& value, const std::string& place);
  void take_devices(const DeviceAccess& access, const std::string& place);
  void apply_preset();
  void fit_projection_pool(const Shape& sample);
  void fit_outputs(Index outputs);
  void fit_narrow_layers(const DataFacts& facts);
  [[nodiscard]] Index smallest_projected_map(const Shape& input) const;
  void resolve_values(Values& v, const DataFacts& facts) const;
  void check_baseline(const DataFacts& facts) const;
  void check_combinations(const DataFacts& facts) const;
  void check_used(const Values& v, const std::vector<std::string>& said) const;

  Values values_;
  std::vector<LayerTable> layers_;
  std::vector<DeviceLayer> devices_;
  std::vector<DeviceShape> stand_ins_;
  std::vector<std::string> recorded_, notices_;
  DataFacts facts_;
  bool resolved_ = false;
};

/// The value behind "key=": TOML if `text` parses as such. Otherwise what else has one meaning for that key (.06 or 5. for a number, True
/// for a boolean, 10,20 for a list of integers), or a bare word (names need no quotes on a command line).
[[nodiscard]] nlohmann::json override_value(const std::string& key, const std::string& text);

/// Objective and estimator of a --solver name. @throws ConfigError naming the valid names.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> solver_overrides(const std::string& solver);

}  // namespace ffzero
