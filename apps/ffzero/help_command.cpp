// ffzero help, keys, manual, completion, version: what the program says about itself.
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
#include "manual.hpp"

namespace ffzero::app {

namespace {

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// What was added to a registry, as values of the key that chooses from it.
struct AddedName {
  std::string key, name, meaning;
};

template <class Made>
void add_names(const Registry<Made>& registry, std::vector<AddedName>& all) {
  for (const std::string& name : registry.added()) {
    const auto& entry = registry.at(name);
    std::string numbers;
    for (const auto& [number, value] : entry.numbers) numbers += fmt::format("{}{} = {:g}", numbers.empty() ? "" : ", ", number, value);
    all.push_back({registry.kind(), name, entry.doc + (numbers.empty() ? "" : " (" + numbers + ")")});
  }
}

std::vector<AddedName> added_names() {
  std::vector<AddedName> all;
  add_names(update_rules(), all);
  add_names(losses(), all);
  add_names(estimators(), all);
  add_names(layer_maps(), all);
  return all;
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
  const std::vector<AddedName> names = added_names();
  const auto text_of = [&names](const Entry& e) {
    std::string text = type_of(*e.key) + "\n" + e.key->doc;
    for (const AddedName& added : names)
      if (added.key == e.name) text += "\n" + added.name + "\n" + added.meaning;
    return lower_case(text);
  };
  std::vector<Entry> found;
  std::ranges::copy_if(all, std::back_inserter(found), [&](const Entry& e) { return lower_case(e.name).find(word) != std::string::npos; });
  if (found.empty())
    std::ranges::copy_if(all, std::back_inserter(found), [&](const Entry& e) { return text_of(e).find(word) != std::string::npos; });
  if (found.empty()) static_cast<void>(key_info(filter, "keys"));  // throws, naming the nearest
  for (const Entry& e : found) {
    fmt::print("{} = {}{}\n    {}\n    {}\n", e.name, e.key->fallback.dump(), e.key->per_layer ? "    (may differ between layers)" : "",
               type_of(*e.key), e.key->doc);
    for (const AddedName& added : names)
      if (added.key == e.name) fmt::print("    of a plugin: {}: {}\n", added.name, added.meaning);
  }
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
  auto markdown = std::make_shared<bool>(false), man = std::make_shared<bool>(false);
  CLI::App* keys_command = app.add_subcommand("keys", "List every setting with type, range, default and meaning");
  keys_command->add_option("filter", *filter, "only keys whose name contains this; if there is none, those whose meaning does");
  auto* const as_markdown = keys_command->add_flag("--markdown", *markdown, "write docs/config.md");
  add_plugin_option(*keys_command, commands);
  keys_command->add_flag("--man", *man, "write the manual page ffzero-settings(5)")->excludes(as_markdown);
  add_examples(*keys_command, {{"ffzero keys learning", "settings whose name or meaning holds the word"}});
  keys_command->callback([=, &commands] {
    commands.chosen = [=] {
      if (*markdown)
        print_settings_markdown();
      else if (*man)
        print_settings_man();
      else
        print_keys(*filter);
      return kDone;
    };
  });
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* help = app.add_subcommand("help", "Show what a command takes");
  help->add_option("command", *words, "train, eval, datasets fetch, ...");
  add_examples(*help, {{"ffzero help datasets fetch", "the same as ffzero datasets fetch --help"}});
  help->callback([=, &app, &commands] {
    commands.chosen = [=, &app] {
      fmt::print("{}", help_of(app, *words));
      return kDone;
    };
  });
  auto manual_man = std::make_shared<bool>(false);
  CLI::App* manual = app.add_subcommand("manual", "Write docs/cli.md: all commands in one page");
  manual->add_flag("--man", *manual_man, "write the manual page ffzero(1) instead");
  add_examples(*manual, {{"ffzero manual --man", "for man -l -"}});
  manual->callback([=, &app, &commands] {
    commands.chosen = [=, &app] {
      *manual_man ? print_manual_man(app) : print_manual_markdown(app);
      return kDone;
    };
  });
  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app.add_subcommand("completion", "Write what makes a shell complete commands, options and settings");
  completion->add_option("shell", *shell, "bash | zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  add_examples(*completion,
               {{"source <(ffzero completion bash)", "in ~/.bashrc"}, {"ffzero completion zsh > ~/.zfunc/_ffzero", "a folder of fpath"}});
  completion->callback([=, &app, &commands] {
    commands.chosen = [=, &app] {
      *shell == "bash" ? print_bash_completion(app) : print_zsh_completion(app);
      return kDone;
    };
  });
  CLI::App* version_command = app.add_subcommand("version", "Print version and machine");
  add_examples(*version_command, {{"ffzero version", "for a report of a defect"}});
  version_command->callback([&] {
    commands.chosen = [] {
      fmt::print("ffzero {}\n{}\n", program_version(), machine_description(0).dump(2));
      return kDone;
    };
  });
}

}  // namespace ffzero::app
