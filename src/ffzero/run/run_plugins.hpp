// Which plugins a run was made with: plugins.json of its folder.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ffzero/settings/plugin.hpp"

namespace ffzero {

/// File in the folder of a run, or of a study, that was made with plugins.
inline constexpr const char* kPluginsFile = "plugins.json";

/// Path, digest and names of each, as JSON.
[[nodiscard]] std::string plugins_text(const std::vector<Plugin>& plugins);
/// What the run in `folder` was made with; empty: nothing says so. @throws DataError if the file is damaged
[[nodiscard]] std::vector<Plugin> plugins_of(const std::filesystem::path& folder);
/// Nothing is loaded because a folder says so. @throws UsageError naming the plugin, if what it had registered is registered nowhere
void require_plugins(const std::filesystem::path& folder);
/// A line for each plugin of the run in `folder` in whose place another file has registered the names.
[[nodiscard]] std::vector<std::string> changed_plugins(const std::filesystem::path& folder, const std::vector<Plugin>& loaded);

}  // namespace ffzero
