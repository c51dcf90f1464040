// Which plugins a run was made with.
// SPDX-License-Identifier: MIT
#include "ffzero/run/run_plugins.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/base/shown.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLongest = std::uint64_t{1} << 20;

}  // namespace

std::string plugins_text(const std::vector<Plugin>& plugins) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Plugin& plugin : plugins) list.push_back({{"path", plugin.path.string()}, {"digest", plugin.digest}, {"names", plugin.names}});
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::vector<Plugin> plugins_of(const fs::path& folder) {
  const fs::path file = folder / kPluginsFile;
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  const FileContent content = read_regular_file(file, kLongest);
  std::vector<Plugin> plugins;
  try {
    if (!content.ok()) throw DataError(file.string(), "must be readable", content.problem);
    const auto list = nlohmann::json::parse(content.bytes);
    for (const auto& entry : list)
      plugins.push_back({.path = entry.at("path").get<std::string>(),
                         .digest = entry.at("digest").get<std::string>(),
                         .names = entry.at("names").get<std::map<std::string, std::vector<std::string>>>()});
  } catch (const nlohmann::json::exception& e) {
    throw DataError(file.string(), "must say which plugins the run was made with", e.what(),
                    "remove it, and give the plugins with --plugin");
  }
  return plugins;
}

void require_plugins(const fs::path& folder) {
  for (const Plugin& plugin : plugins_of(folder))
    if (const auto missing = unregistered(plugin.names); !missing.empty())
      throw UsageError(folder.string(),
                       fmt::format("needs the plugin {} (digest {}) for {}", plugin.path.string(), plugin.digest, fmt::join(missing, ", ")),
                       "none", "add --plugin PATH: a run folder alone loads nothing");
}

std::vector<std::string> changed_plugins(const fs::path& folder, const std::vector<Plugin>& loaded) {
  std::vector<std::string> lines;
  for (const Plugin& then : plugins_of(folder)) {
    const auto same = [&](const Plugin& now) { return now.names == then.names; };
    const auto now = std::find_if(loaded.begin(), loaded.end(), same);
    if (now != loaded.end() && now->digest != then.digest)
      lines.push_back(
          fmt::format("the plugin {} (digest {}) is not the file that the run began with (digest {}): what is trained from here may differ",
                      shown(now->path.string()), now->digest, shown(then.digest)));
  }
  return lines;
}

}  // namespace ffzero
