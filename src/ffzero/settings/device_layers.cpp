// Devices in settings.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/device_layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "ffzero/base/error.hpp"
#include "ffzero/base/spelling.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;

std::vector<KeyInfo> make_layer_table() {
  using enum KeyType;
  constexpr double kLargest = 1e12, kMostOthers = 31;
  const auto always = [](const Values&) { return std::string(); };
  std::vector<KeyInfo> t;
  const auto add = [&](const char* name, KeyType type, json fallback, double minimum, double maximum, const char* doc,
                       std::vector<std::string> choices = {}) {
    t.push_back({name, type, std::move(fallback), std::move(choices), minimum, maximum, false, doc, always});
  };
  add("address", text, "", 0, 0,
      "Where the device is: exec:PROGRAM, tcp:HOST:PORT, unix:PATH, serial:PATH?baud=RATE. Used only if --device repeats it, or with "
      "--trust-devices.");
  add("replicas", texts, json::array(), 0, kMostOthers,
      "Addresses of more devices of the same size, which hold the same parameters: the samples of a batch are shared out over all of them "
      "([scaling.md](scaling.md)).");
  add("groups", texts, json::array(), 0, kMostOthers,
      "Addresses of more devices with as many inputs and outputs, which look at the same inputs: each is a group of the layer's outputs "
      "with parameters and a loss of its own ([scaling.md](scaling.md)).");
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

void take_addresses(std::vector<DeviceLayer>& devices, const DeviceAccess& access) {
  if (access.addresses.empty()) return;
  const std::size_t given = access.addresses.size(), all = usize(device_count(devices));
  // What was trained on replicas runs on one device; groups are all needed.
  std::size_t least = 0;
  for (const DeviceLayer& device : devices) least += device.grouped() ? device.reached_at.size() : 1;
  if (given != all && !(access.one_each && given == least))
    throw UsageError("--device", fmt::format("must be given once for each of the {} devices, in their order", all),
                     fmt::format("{} times", given),
                     all == devices.size() ? "see [[model.device]] in the settings"
                                           : "see [[model.device]] in the settings; one that is gone is left out by --without-device");
  std::size_t next = 0;
  for (DeviceLayer& device : devices) {
    if (given != all && !device.grouped()) device.reached_at.resize(1);
    for (DevicePlace& place : device.reached_at) place.address = access.addresses[next++];
  }
}

void leave_out(std::vector<DeviceLayer>& devices, const std::vector<Index>& without) {
  for (DeviceLayer& device : devices)
    for (DevicePlace& place : device.reached_at) place.left_out = false;
  const Index count = device_count(devices);
  if (count == 0 && !without.empty()) throw UsageError("--without-device", "leaves out one of several devices", "no devices", "drop it");
  for (const Index number : without) {
    if (number < 0 || number >= count)
      throw UsageError("--without-device", fmt::format("must be the number of a device, 0 .. {}", count - 1), std::to_string(number),
                       "devices are numbered in the order of [[model.device]] and its replicas");
    const auto layer = std::find_if(devices.rbegin(), devices.rend(), [&](const DeviceLayer& d) { return d.first_number <= number; });
    auto& places = layer->reached_at;
    if (layer->grouped())
      throw UsageError("--without-device", "leaves out one of several that can stand in for it", "a group of its layer's outputs",
                       "mend it, then resume");
    places[usize(number - layer->first_number)].left_out = true;
    if (std::all_of(places.begin(), places.end(), [](const DevicePlace& place) { return place.left_out; }))
      throw UsageError("--without-device", "must leave a device to the layer", std::to_string(number),
                       places.size() == 1 ? "its layer has no other" : "its layer would have none; give others, or the same with --device");
  }
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
  if (key != "address" && key != "replicas" && key != "groups") return;
  if (device.grouped() && !device.at("replicas").empty())
    throw ConfigError(device.place + ": groups", "devices of a layer hold the same parameters or are groups of it", "replicas as well",
                      "use one of the two");
  device.reached_at = {{.address = device.word("address")}};
  const std::string others = device.grouped() ? "groups" : "replicas";
  for (const json& address : device.at(others)) device.reached_at.push_back({.address = address.get<std::string>()});
  if (key == others)
    for (std::size_t i = 1; i < device.reached_at.size(); ++i)
      if (device.reached_at[i].address.empty()) throw ConfigError(device.place + ": " + others, "must be addresses", "\"\"", "drop it");
}

std::vector<DeviceLayer> device_layers(const DeviceAccess& access) {
  const char* const flag = access.groups != 1 ? "--groups" : "--replicas";
  const Index each = access.groups != 1 ? access.groups : access.replicas;
  const auto& addresses = access.addresses;
  if (each < 1 || addresses.size() % usize(each) != 0)
    throw UsageError(flag, "must divide the number of --device", fmt::format("{} of {}", each, addresses.size()),
                     "so many devices in a row are one layer");
  std::vector<DeviceLayer> layers;
  for (std::size_t first = 0; first < addresses.size(); first += usize(each)) {
    const auto row = std::span(addresses).subspan(first, usize(each));
    if (std::any_of(row.begin(), row.end(), [](const std::string& address) { return address.empty(); }))
      throw UsageError("--device", "must be an address", "\"\"", "for example exec:PROGRAM or tcp:HOST:PORT");
    layers.push_back(device_layer(row.front(), "--device"));
    if (each > 1) set_device_key(layers.back(), access.groups != 1 ? "groups" : "replicas", std::vector(row.begin() + 1, row.end()));
  }
  return layers;
}

void allow_devices(std::vector<DeviceLayer>& devices, const DeviceAccess& access) {
  take_addresses(devices, access);
  Index next = 0;
  for (DeviceLayer& device : devices) {
    device.first_number = next;
    next += isize(device.reached_at.size());
    device.allowed = access.trusted || !access.addresses.empty();
  }
  leave_out(devices, access.without);
}

void keep_addresses(std::vector<DeviceLayer>& devices) {
  for (DeviceLayer& device : devices) {
    if (!device.allowed) continue;
    device.values["address"] = device.reached_at.front().address;
    json others = json::array();
    for (std::size_t i = 1; i < device.reached_at.size(); ++i) others.push_back(device.reached_at[i].address);
    device.values[device.grouped() ? "groups" : "replicas"] = others;
  }
}

Index device_count(const std::vector<DeviceLayer>& devices) {
  std::size_t count = 0;
  for (const DeviceLayer& device : devices) count += device.reached_at.size();
  return isize(count);
}

}  // namespace ffzero
