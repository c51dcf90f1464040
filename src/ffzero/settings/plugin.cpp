// Shared objects with parts of a user's own.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/plugin.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "ffzero/base/digest.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"

namespace ffzero {

namespace {

constexpr std::uint64_t kLargestPlugin = std::uint64_t{1} << 30;
constexpr const char *kInterface = "ffzero_plugin_interface", *kRegister = "ffzero_plugin_register";
using InterfaceFunction = int (*)();
using RegisterFunction = void (*)(const PluginRegistries&);

std::string digest_text(const std::string& bytes) { return fmt::format("{:016x}", digest_of_bytes(std::as_bytes(std::span(bytes)))); }

// Names that were added, by key.
std::map<std::string, std::vector<std::string>> added_names() {
  const auto of = [](const auto& registry) { return std::pair(registry.kind(), registry.added()); };
  return {of(estimators()), of(layer_maps()), of(losses()), of(update_rules())};
}

}  // namespace

Plugin load_plugin(const std::filesystem::path& file) {
  const FileContent content = read_regular_file(file, kLargestPlugin);
  if (!content.ok())
    throw DataError(file.string(), "must be a plugin, a shared object", content.problem, "give --plugin the file that was built");
  Plugin plugin{.path = std::filesystem::absolute(file).lexically_normal(), .digest = digest_text(content.bytes), .names = {}};
  // A whole path: the loader looks for a bare name in other places. Its symbols stay its own, and it is never unloaded, because what it has
  // registered is made of its code.
  void* const handle = ::dlopen(plugin.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    throw DataError(file.string(), "must be a shared object that can be loaded", ::dlerror(), "build it for this machine");
  const auto interface = reinterpret_cast<InterfaceFunction>(::dlsym(handle, kInterface));
  const auto registers = reinterpret_cast<RegisterFunction>(::dlsym(handle, kRegister));
  if (interface == nullptr || registers == nullptr)
    throw DataError(file.string(), fmt::format("must have the functions {} and {}", kInterface, kRegister), "a shared object without them",
                    "begin its function with FFZERO_PLUGIN");
  if (const int version = interface(); version != kPluginInterface)
    throw DataError(file.string(), fmt::format("must have version {} of the interface, as this program has", kPluginInterface),
                    fmt::format("version {}", version), "build it again with the headers of this ffzero");
  const auto before = added_names();
  try {
    registers({.update_rules = update_rules(), .losses = losses(), .estimators = estimators(), .layer_maps = layer_maps()});
  } catch (const Error& e) {
    throw Error(e.kind(), file.string() + ": " + e.what());
  } catch (const std::exception& e) {
    throw DataError(file.string(), "must register what it has", e.what(), "look at its function");
  }
  for (auto& [key, names] : added_names()) {
    const std::vector<std::string> own(names.begin() + isize(before.at(key).size()), names.end());
    if (!own.empty()) plugin.names[key] = own;
  }
  return plugin;
}

std::vector<std::string> unregistered(const std::map<std::string, std::vector<std::string>>& names) {
  const auto there = added_names();
  std::vector<std::string> missing;
  for (const auto& [key, wanted] : names) {
    const auto found = there.find(key);
    for (const std::string& name : wanted)
      if (found == there.end() || std::find(found->second.begin(), found->second.end(), name) == found->second.end())
        missing.push_back(key + " = " + name);
  }
  return missing;
}

}  // namespace ffzero
