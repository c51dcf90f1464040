// Signals and places.
// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <csignal>
#include <cstdlib>

#include "ffzero/base/error.hpp"

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
}

bool interrupted() { return interrupt_seen != 0; }

}  // namespace ffzero::app
