// Rules, losses, estimators and maps of a shared object, which a program loads when its user says so  [docs/plugins.md].
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ffzero/base/registry.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/map/map_registry.hpp"
#include "ffzero/train/step_gradient.hpp"
#include "ffzero/update/rule.hpp"

namespace ffzero {

/// The registries of the program that loads a plugin. They are handed over because the plugin may hold a copy of the library, with
/// registries of its own that nobody reads.
struct PluginRegistries {
  Registry<RuleFactory>& update_rules;
  Registry<LossFactory>& losses;
  Registry<EstimatorFactory>& estimators;
  Registry<MapFactory>& layer_maps;
};

/// What a plugin and a program must have in common: the public headers that a plugin is built against. Raised with every change of theirs
/// that a plugin notices.
inline constexpr int kPluginInterface = 1;

/// A plugin that has been loaded.
struct Plugin {
  std::filesystem::path path;                             ///< absolute
  std::string digest;                                     ///< of its bytes, 16 hexadecimal digits
  std::map<std::string, std::vector<std::string>> names;  ///< that it has registered, by key: update.rule, objective.loss, ..
};

/// Loads a shared object, for the life of the program, and lets it register what it has. Its code runs with the rights of the program.
/// @throws DataError if the file is missing, is no shared object, does not say the version of its interface, or says another one than
/// kPluginInterface; whatever it throws while it registers, with the path in front: ConfigError for a name that is taken
[[nodiscard]] Plugin load_plugin(const std::filesystem::path& file);

/// Names of `names` (as in Plugin::names) that are registered nowhere: "update.rule = sign_of_mean"; empty: none.
[[nodiscard]] std::vector<std::string> unregistered(const std::map<std::string, std::vector<std::string>>& names);

}  // namespace ffzero

/// Begins the function that registers what a plugin has, once in a shared object:
///   FFZERO_PLUGIN(registries) { registries.update_rules.add({.name = "mine", .doc = "One sentence.", .make = ..}); }
// The name of a parameter cannot stand in parentheses. NOLINTBEGIN(bugprone-macro-parentheses)
#define FFZERO_PLUGIN(registries)                                                                                      \
  extern "C" __attribute__((visibility("default"))) int ffzero_plugin_interface() { return ffzero::kPluginInterface; } \
  extern "C" __attribute__((visibility("default"))) void ffzero_plugin_register(const ffzero::PluginRegistries& registries)
// NOLINTEND(bugprone-macro-parentheses)
