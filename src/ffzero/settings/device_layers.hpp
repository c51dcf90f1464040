// The layers of model.kind = "device": what [[model.device]] says, and which of the addresses may be used.
// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/index.hpp"
#include "ffzero/settings/keys.hpp"

namespace ffzero {

/// What the user allows about devices, beside the settings. An address that stands in a file only is never used: a file from somebody else
/// must not start a program.
struct DeviceAccess {
  std::vector<std::string>
      addresses;           ///< of the devices, in the order of the data flow, in place of those of the file; empty: none is named
  bool trusted = false;    ///< the addresses of the file may be used
  bool stand_ins = false;  ///< connect to nothing: layers of the shapes that the checkpoint remembers, which cannot be evaluated
  std::vector<std::string> recorded = {};  ///< connect to nothing: devices that said this of themselves, whose readings are in a journal
};

/// Shape of a device as a checkpoint remembers it.
struct DeviceShape {
  Index inputs = 0, outputs = 0, parameters = 0;
};

/// One [[model.device]].
struct DeviceLayer {
  std::map<std::string, nlohmann::json, std::less<>> values;  ///< of all device_keys()
  std::string place;                                          ///< in messages
  std::string reached_at;                                     ///< the address that is used
  bool allowed = false;                                       ///< the user named the address, or trusts the file

  [[nodiscard]] const nlohmann::json& at(std::string_view key) const { return values.find(key)->second; }
  [[nodiscard]] std::string word(std::string_view key) const { return at(key).get<std::string>(); }
  [[nodiscard]] double number(std::string_view key) const { return at(key).get<double>(); }
};

/// Keys of a [[model.device]] table, in the order of the manual.
[[nodiscard]] const std::vector<KeyInfo>& device_keys();
/// All defaults and this address.
[[nodiscard]] DeviceLayer device_layer(const std::string& address, const std::string& place);
/// Sets one key. @throws ConfigError for an unknown key, a wrong type or range
void set_device_key(DeviceLayer& device, const std::string& key, const nlohmann::json& value);
/// Addresses of `access` take the place of the file's. @throws UsageError if there are not as many
void allow_devices(std::vector<DeviceLayer>& devices, const DeviceAccess& access);

}  // namespace ffzero
