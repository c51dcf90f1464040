// What the manuals have in common, and docs/cli.md and docs/config.md.
// SPDX-License-Identifier: MIT
#include "manual.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "command.hpp"
#include "ffzero/settings/device_layers.hpp"

namespace ffzero::app {

namespace {

std::string range_of(const KeyInfo& key) {
  if (key.maximum <= key.minimum) return {};
  return key.maximum >= 1e9 ? fmt::format(" >= {:g}", key.minimum) : fmt::format(" {:g} .. {:g}", key.minimum, key.maximum);
}

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\|");
  return text;
}

void print_command_markdown(const CLI::App& app, const std::string& name) {
  fmt::print("\n## {}\n\n{}.\n", name, app.get_description());
  const auto commands = commands_of(app);
  if (commands.empty()) {
    fmt::print("\n| argument | meaning |\n|---|---|\n");
    for (const CLI::Option* option : app.get_options())
      fmt::print("| `{}`{} | {} |\n", option_name(*option), option->get_required() && !option->get_positional() ? " (required)" : "",
                 cell(option->get_description()));
  }
  if (const auto examples = examples_of(app); !examples.empty()) {
    fmt::print("\n");
    for (const auto& [line, meaning] : examples) fmt::print("* `{}`: {}\n", line, meaning);
  }
  for (const CLI::App* command : commands) print_command_markdown(*command, name + " " + command->get_name());
}

}  // namespace

const std::vector<ExitCode>& exit_codes() {
  static const std::vector<ExitCode> codes{
      {0, "done"},
      {2, "usage: the command line itself, or a run folder that exists or that another process writes into"},
      {3, "config: a setting that is unknown, has no effect, is out of range or in conflict"},
      {4, "data: a data set, a checkpoint or another input file"},
      {5, "device: a forward-only device failed"},
      {6, "check: something that was asked to be checked is not so"},
      {7, "diverged: a loss or a parameter stopped being finite; the last good checkpoint is kept"},
      {8, "output: something could not be written"},
      {70, "a defect of ffzero"},
      {130, "interrupted by Ctrl-C, SIGTERM, or SIGHUP (its terminal or connection is gone), after saving"}};
  return codes;
}

std::string type_of(const KeyInfo& key) {
  switch (key.type) {
    case KeyType::boolean:
      return "true | false";
    case KeyType::integer:
      return "integer" + range_of(key);
    case KeyType::number:
      return "number" + range_of(key);
    case KeyType::number_or_auto:
      return fmt::format("{} | number{}", key.choices.empty() ? "auto" : fmt::format("{}", fmt::join(key.choices, " | ")), range_of(key));
    case KeyType::word:
      return fmt::format("{}", fmt::join(key.choices, " | "));
    case KeyType::text:
      return "text";
    case KeyType::texts:
      return "list of texts";
    case KeyType::integers:
      return "list of integers" + range_of(key);
    case KeyType::classes:
      return "integer or list of integers" + range_of(key);
  }
  return {};
}

std::string table_of(const KeyInfo& key) {
  const auto dot = key.name.rfind('.');
  return dot == std::string::npos ? "" : key.name.substr(0, dot);
}

std::string option_name(const CLI::Option& option) {
  if (option.get_positional()) return option.get_required() ? option.get_name(true) : "[" + option.get_name(true) + "]";
  std::string name;
  for (const auto& s : option.get_snames()) name += (name.empty() ? "-" : ",-") + s;
  for (const auto& l : option.get_lnames()) name += (name.empty() ? "--" : ",--") + l;
  return name + (option.get_expected_max() > 0 ? " VALUE" : "");
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

void print_settings_markdown() {
  fmt::print(
      "# Settings\n\n"
      "Every setting of a run. In a file each stands in the table that its name says (`[training]`, `epochs = 5`); on the command line:\n"
      "`--set training.epochs=5`. Strength, weakest first: the defaults below, the preset, the file, the command line. `auto` is resolved "
      "from the model,\n"
      "the objective, the estimator and the task; `config.toml` in the run folder holds the values that were used. A key that has no "
      "effect on a\n"
      "run is an error. Keys marked with * may differ between layers: `[[layer]]`, `index = 2`, `update.lr = 1e-4`.\n\n"
      "Written by `ffzero keys --markdown`.\n");
  std::string table = "none yet";
  for (const KeyInfo& key : keys()) {
    if (table_of(key) != table) {
      table = table_of(key);
      fmt::print("\n## {}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
                 table.empty() ? "Of the whole run" : "`[" + table + "]`");
    }
    fmt::print("| `{}`{} | {} | `{}` | {} |\n", key.name, key.per_layer ? " *" : "", cell(type_of(key)), cell(key.fallback.dump()),
               cell(key.doc));
  }
  fmt::print(
      "\n## `[[model.device]]`\n\nOne table a device, in the order of the data flow (`model.kind = \"device\"`; "
      "[device-protocol.md](device-protocol.md)).\n\n"
      "| key | value | default | meaning |\n|---|---|---|---|\n");
  for (const KeyInfo& key : device_keys())
    fmt::print("| `{}` | {} | `{}` | {} |\n", key.name, cell(type_of(key)), cell(key.fallback.dump()), cell(key.doc));
}

void print_manual_markdown(const CLI::App& root) {
  fmt::print(
      "# Command line\n\nWritten by `ffzero manual`. Settings: [config.md](config.md).\n\n{}\n\n| exit code | meaning |\n|---|---|\n",
      kStreams);
  for (const auto& [code, meaning] : exit_codes()) fmt::print("| {} | {} |\n", code, meaning);
  print_command_markdown(root, "ffzero");
}

}  // namespace ffzero::app
