// What the subcommands share: registration, signals, places. The only folder that parses arguments, prints and reads the environment.
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/settings/device_layers.hpp"
#include "ffzero/settings/plugin.hpp"

namespace ffzero::app {

constexpr int kDone = 0;
constexpr int kInterrupted = 130;

/// A parsed command line: what to do, and the exit code it ended with.
struct Commands {
  std::function<int()> chosen;
  std::vector<std::string> plugin_files;  ///< of --plugin
  std::vector<Plugin> plugins;            ///< the same, loaded before `chosen` is called
  /// What a process that is one of several does last, with its exit code; empty: it is alone.
  std::function<void(int code)> leave;
};

void add_train(CLI::App& app, Commands& commands);
void add_eval(CLI::App& app, Commands& commands);
void add_predict(CLI::App& app, Commands& commands);
void add_inspect(CLI::App& app, Commands& commands);
void add_probe(CLI::App& app, Commands& commands);
void add_calibrate(CLI::App& app, Commands& commands);
void add_datasets(CLI::App& app, Commands& commands);
void add_report(CLI::App& app, Commands& commands);
void add_watch(CLI::App& app, Commands& commands);
void add_light(CLI::App& app, Commands& commands);
void add_export(CLI::App& app, Commands& commands);
void add_sweep(CLI::App& app, Commands& commands);
void add_reproduce(CLI::App& app, Commands& commands);
void add_device(CLI::App& app, Commands& commands);
/// keys, help, manual, completion and version; after all others, for they describe them.
void add_help(CLI::App& app, Commands& commands);

/// Names of the subcommands, in the order of the help.
[[nodiscard]] std::vector<std::string> command_names(const CLI::App& app);

/// Version of the library, and the commit where the program was built in a clone: "0.1.0 (commit 4709b56)".
[[nodiscard]] std::string program_version();

/// A line that can be typed, and what it does.
struct Example {
  std::string line, meaning;
};
/// Shown at the end of the help and in the manuals.
void add_examples(CLI::App& command, const std::vector<Example>& examples);
[[nodiscard]] std::vector<Example> examples_of(const CLI::App& command);

/// --device, --without-device and --trust-devices, into `access`, which outlives the command line.
void add_device_options(CLI::App& command, DeviceAccess& access);

/// --plugin, into `commands`.
void add_plugin_option(CLI::App& command, Commands& commands);

/// Key and value of an argument of --set. @throws UsageError if there is no key
[[nodiscard]] std::pair<std::string, std::string> split_assignment(const std::string& text);

/// $XDG_CACHE_HOME/ffzero, or ~/.cache/ffzero: where data sets live.
[[nodiscard]] std::filesystem::path cache_dir();

/// From now on the first Ctrl-C (SIGINT), SIGTERM, or SIGHUP that was not ignored (nohup), only sets a flag; a second one ends the process
/// the usual way.
void catch_interrupts();
[[nodiscard]] bool interrupted();

}  // namespace ffzero::app
