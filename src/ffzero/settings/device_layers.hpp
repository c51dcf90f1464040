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
  Index replicas = 1;      ///< so many of the addresses in a row are one layer, where no file says what the layers are; >= 1
  Index groups = 1;        ///< the same, each a group of the layer's outputs; one of the two is 1
  bool one_each = false;   ///< a layer with replicas may be reached at one address alone: what is trained runs on one device as well
  bool trusted = false;    ///< the addresses of the file may be used
  bool stand_ins = false;  ///< connect to nothing: layers of the shapes that the checkpoint remembers, which cannot be evaluated
  std::vector<std::string> recorded = {};  ///< connect to nothing: devices that said this of themselves, whose readings are in a journal
  std::vector<Index> without = {};         ///< numbers of devices that the run does without
};

/// Shape of a device as a checkpoint remembers it.
struct DeviceShape {
  Index inputs = 0, outputs = 0, parameters = 0;
};

/// Where one of the devices of a layer is.
struct DevicePlace {
  std::string address;    ///< that is used
  bool left_out = false;  ///< the run does without it
};

/// One [[model.device]].
struct DeviceLayer {
  std::map<std::string, nlohmann::json, std::less<>> values;  ///< of all device_keys()
  std::string place;                                          ///< in messages
  std::vector<DevicePlace> reached_at = {{}};                 ///< the device and its replicas, or the groups beside it
  Index first_number = 0;                                     ///< of the first of them, among all devices: 0, 1, .. in this order
  bool allowed = false;                                       ///< the user named the address, or trusts the file

  /// Each device is a group of the layer's outputs, so that none may be missing.
  [[nodiscard]] bool grouped() const { return !at("groups").empty(); }
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
/// Layers of access.replicas or access.groups devices each. @throws UsageError if they do not come out even, or an address is empty
[[nodiscard]] std::vector<DeviceLayer> device_layers(const DeviceAccess& access);
/// Numbers the devices; addresses of `access` take the place of the file's. @throws UsageError if there are not as many, or a device that
/// is to be left out does not exist or is the last of its layer
void allow_devices(std::vector<DeviceLayer>& devices, const DeviceAccess& access);
/// What those that are allowed are reached at becomes what the settings say.
void keep_addresses(std::vector<DeviceLayer>& devices);
/// Devices of all layers, replicas and groups included.
[[nodiscard]] Index device_count(const std::vector<DeviceLayer>& devices);

}  // namespace ffzero
