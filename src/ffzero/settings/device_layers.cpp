// Devices in settings.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/device_layers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ffzero/base/error.hpp"
#include "ffzero/base/spelling.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;

std::vector<KeyInfo> make_layer_table() {
  using enum KeyType;
  constexpr double kLargest = 1e12;
  const auto always = [](const Values&) { return std::string(); };
  std::vector<KeyInfo> t;
  const auto add = [&](const char* name, KeyType type, json fallback, double minimum, double maximum, const char* doc,
                       std::vector<std::string> choices = {}) {
    t.push_back({name, type, std::move(fallback), std::move(choices), minimum, maximum, false, doc, always});
  };
  add("address", text, "", 0, 0,
      "Where the device is: exec:PROGRAM, tcp:HOST:PORT, unix:PATH, serial:PATH?baud=RATE. Used only if --device repeats it, or with "
      "--trust-devices.");
  add("input_scale", number, 1.0, -kLargest, kLargest, "The device gets input_offset + input_scale x.");
  add("input_offset", number, 0.0, -kLargest, kLargest, "See input_scale.");
  add("output_scale", number, 1.0, -kLargest, kLargest, "The layer gives output_offset + output_scale times the reading.");
  add("output_offset", number, 0.0, -kLargest, kLargest, "See output_scale.");
  add("repeats", integer, 1, 1, 64, "Times that every row is read; the layer gives the mean.");
  add("pipeline", integer, 0, 0, 1024, "Most evaluations under way; 0: as many as the device allows.");
  add("binary", boolean, true, 0, 0, "Binary frames where the device has them; false: text.");
  add("activation", word, "none", 0, 0, "Digital nonlinearity behind the device.", {"none", "relu", "tanh"});
  add("normalise", word, "none", 0, 0, "What is done to the output, after the nonlinearity.", {"none", "length", "centre_length"});
  return t;
}

}  // namespace

const std::vector<KeyInfo>& device_keys() {
  static const std::vector<KeyInfo> table = make_layer_table();
  return table;
}

DeviceLayer device_layer(const std::string& address, const std::string& place) {
  DeviceLayer device;
  for (const KeyInfo& key : device_keys()) device.values[key.name] = key.fallback;
  device.place = place;
  set_device_key(device, "address", address);
  return device;
}

void set_device_key(DeviceLayer& device, const std::string& key, const json& value) {
  const auto& table = device_keys();
  const auto found = std::find_if(table.begin(), table.end(), [&](const KeyInfo& k) { return k.name == key; });
  if (found == table.end()) {
    std::vector<std::string> names;
    for (const KeyInfo& k : table) names.push_back(k.name);
    throw ConfigError(device.place, "unknown key", "\"" + key + "\"", fmt::format("did you mean \"{}\"?", nearest_word(key, names)));
  }
  device.values[key] = checked_value(*found, value, device.place);
  if (key == "address") device.reached_at = device.word("address");
}

void allow_devices(std::vector<DeviceLayer>& devices, const DeviceAccess& access) {
  if (!access.addresses.empty() && access.addresses.size() != devices.size())
    throw UsageError("--device", fmt::format("must be given once for each of the {} devices, in their order", devices.size()),
                     fmt::format("{} times", access.addresses.size()), "see [[model.device]] in the settings");
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!access.addresses.empty()) devices[i].reached_at = access.addresses[i];
    devices[i].allowed = access.trusted || !access.addresses.empty();
  }
}

}  // namespace ffzero
