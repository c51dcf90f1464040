// Signals, places and words.
// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string_view>

#include "commit.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/run/run.hpp"

namespace ffzero::app {

namespace {
volatile std::sig_atomic_t interrupt_seen = 0;

void on_interrupt(int signal) {
  interrupt_seen = 1;
  std::signal(signal, SIG_DFL);
}
}  // namespace

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(command->get_name());
  return names;
}

namespace {
constexpr std::string_view kExamples = "Examples:", kMeaning = "  # ";
}  // namespace

void add_examples(CLI::App& command, const std::vector<Example>& examples) {
  std::string text(kExamples);
  for (const auto& [line, meaning] : examples) text.append("\n  ").append(line).append(kMeaning).append(meaning);
  command.footer(text);
}

std::vector<Example> examples_of(const CLI::App& command) {
  std::vector<Example> examples;
  std::istringstream text(command.get_footer());
  for (std::string line; std::getline(text, line);)
    if (const auto at = line.find(kMeaning); at != std::string::npos)
      examples.push_back({line.substr(2, at - 2), line.substr(at + kMeaning.size())});
  return examples;
}

void add_device_options(CLI::App& command, DeviceAccess& access) {
  command.add_option("--device", access.addresses, "address of a device, repeated for each in the order of the layers: see device check")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      .add_option("--without-device", access.without,
                  "number of a device to do without, where several share a layer: 0, 1, .. in their order; repeatable")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_flag("--trust-devices", access.trusted, "use the addresses that stand in the file or the run, which may start programs");
}

void add_plugin_option(CLI::App& command, Commands& commands) {
  command
      .add_option("--plugin", commands.plugin_files,
                  "shared object with rules, losses, estimators or maps of your own, repeatable; its code runs in this program")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

std::string program_version() {
  const std::string built_from = commit();
  return built_from.empty() ? version() : version() + " (commit " + built_from + ")";
}

std::filesystem::path cache_dir() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') return std::filesystem::path(cache) / "ffzero";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return std::filesystem::path(home) / ".cache" / "ffzero";
  return "ffzero-data";
}

std::pair<std::string, std::string> split_assignment(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError("--set", "must be key=value", "\"" + text + "\"", "for example --set training.epochs=5");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void catch_interrupts() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  // A terminal or a connection that is gone; what nohup starts goes on.
  if (std::signal(SIGHUP, on_interrupt) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

bool interrupted() { return interrupt_seen != 0; }

}  // namespace ffzero::app
