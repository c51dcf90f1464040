// ffzero help, keys, manual, version: what the program says about itself. docs/config.md and docs/cli.md are written by keys and manual.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/settings/device_layers.hpp"
#include "ffzero/settings/keys.hpp"

namespace ffzero::app {

namespace {

std::string range_of(const KeyInfo& key) {
  if (key.maximum <= key.minimum) return {};
  return key.maximum >= 1e9 ? fmt::format(" >= {:g}", key.minimum) : fmt::format(" {:g} .. {:g}", key.minimum, key.maximum);
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

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\|");
  return text;
}

void print_keys_markdown() {
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

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// The keys that a reader may have meant: those whose name holds the word; if there is none, those whose value or meaning does.
void print_keys(const std::string& filter) {
  struct Entry {
    const KeyInfo* key;
    std::string name;
  };
  std::vector<Entry> all;
  for (const KeyInfo& key : keys()) all.push_back({&key, key.name});
  for (const KeyInfo& key : device_keys()) all.push_back({&key, "[[model.device]] " + key.name});
  const std::string word = lower_case(filter);
  std::vector<Entry> found;
  std::ranges::copy_if(all, std::back_inserter(found), [&](const Entry& e) { return lower_case(e.name).find(word) != std::string::npos; });
  if (found.empty())
    std::ranges::copy_if(all, std::back_inserter(found),
                         [&](const Entry& e) { return lower_case(type_of(*e.key) + "\n" + e.key->doc).find(word) != std::string::npos; });
  if (found.empty()) static_cast<void>(key_info(filter, "keys"));  // throws, naming the nearest
  for (const Entry& e : found)
    fmt::print("{} = {}{}\n    {}\n    {}\n", e.name, e.key->fallback.dump(), e.key->per_layer ? "    (may differ between layers)" : "",
               type_of(*e.key), e.key->doc);
}

// CLI11 formats help differently from version to version; the manual must be the same everywhere, so it is written from the options.
std::string option_name(const CLI::Option& option) {
  if (option.get_positional()) return option.get_required() ? option.get_name(true) : "[" + option.get_name(true) + "]";
  std::string name;
  for (const auto& s : option.get_snames()) name += (name.empty() ? "-" : ",-") + s;
  for (const auto& l : option.get_lnames()) name += (name.empty() ? "--" : ",--") + l;
  return name + (option.get_expected_max() > 0 ? " VALUE" : "");
}

void print_manual(const CLI::App& app, const std::string& name) {
  fmt::print("\n## {}\n\n{}.\n", name, app.get_description());
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty()) {
    fmt::print("\n| argument | meaning |\n|---|---|\n");
    for (const CLI::Option* option : app.get_options())
      fmt::print("| `{}`{} | {} |\n", option_name(*option), option->get_required() && !option->get_positional() ? " (required)" : "",
                 cell(option->get_description()));
  }
  for (const CLI::App* command : commands) print_manual(*command, name + " " + command->get_name());
}

void print_manual_page(const CLI::App& root) {
  fmt::print(
      "# Command line\n\nWritten by `ffzero manual`. Settings: [config.md](config.md).\n\n"
      "Results go to standard output, progress and errors to standard error; progress is one rewritten line on a terminal and plain lines "
      "elsewhere. An\n"
      "error is one line: place, requirement, what was found, remedy.\n\n"
      "| exit code | meaning |\n|---|---|\n| 0 | done |\n| 2 | usage: the command line itself, or a run folder that exists or that "
      "another process writes into |\n"
      "| 3 | config: a setting that is unknown, has no effect, is out of range or in conflict |\n| 4 | data: a data set, a checkpoint or "
      "another input file |\n"
      "| 5 | device: a forward-only device failed |\n| 6 | check: something that was asked to be checked is not so |\n"
      "| 7 | diverged: a loss or a parameter stopped being finite; the last good checkpoint is kept |\n| 8 | output: something could not "
      "be written |\n"
      "| 70 | a defect of ffzero |\n| 130 | interrupted by Ctrl-C, after saving |\n");
  print_manual(root, "ffzero");
}

// The same text as `ffzero <command> --help`.
std::string help_of(const CLI::App& root, const std::vector<std::string>& words) {
  const CLI::App* at = &root;
  std::string above;
  for (const auto& word : words) {
    const auto found = at->get_subcommands([&](const CLI::App* a) { return a->get_name() == word; });
    if (found.empty())
      throw UsageError("help", fmt::format("must name a command: {}", fmt::join(command_names(*at), ", ")), "\"" + word + "\"",
                       "see ffzero --help");
    above += (above.empty() ? "" : " ") + at->get_name();
    at = found.front();
  }
  return at->help(above);
}

}  // namespace

void add_help(CLI::App& app, Commands& commands) {
  auto filter = std::make_shared<std::string>();
  auto markdown = std::make_shared<bool>(false);
  CLI::App* keys_command = app.add_subcommand("keys", "List every setting with type, range, default and meaning");
  keys_command->add_option("filter", *filter, "only keys whose name contains this; if there is none, those whose meaning does");
  keys_command->add_flag("--markdown", *markdown, "write docs/config.md");
  keys_command->callback([=, &commands] {
    commands.chosen = [=] {
      if (*markdown)
        print_keys_markdown();
      else
        print_keys(*filter);
      return kDone;
    };
  });
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* help = app.add_subcommand("help", "Show what a command takes");
  help->add_option("command", *words, "train, eval, datasets fetch, ...");
  help->callback([=, &app, &commands] {
    commands.chosen = [=, &app] {
      fmt::print("{}", help_of(app, *words));
      return kDone;
    };
  });
  app.add_subcommand("manual", "Write docs/cli.md: all commands in one page")->callback([&] {
    commands.chosen = [&] {
      print_manual_page(app);
      return kDone;
    };
  });
  app.add_subcommand("version", "Print version and machine")->callback([&] {
    commands.chosen = [] {
      fmt::print("ffzero {}\n{}\n", version(), machine_description(0).dump(2));
      return kDone;
    };
  });
}

}  // namespace ffzero::app
