// ffzero completion: scripts that a shell sources, with the words of every command.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <functional>

#include "command.hpp"
#include "manual.hpp"

namespace ffzero::app {

namespace {

using Words = std::vector<std::string>;

Words split(const std::string& text, const std::string& separator) {
  Words parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

// A word that is typed as it stands: not a sentence, and no stand-in for a value (HOST).
bool is_choice(const std::string& word) {
  return !word.empty() &&
         std::ranges::all_of(word, [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '-' || c == '_'; });
}

// What an option takes, if that is one of some words: those that are checked ("{bash,zsh}" in CLI11's name of the type), or those that its
// description lists ("mlp | cnn | photonic").
Words choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t open = type.find('{'), close = type.find('}');
  Words words = open < close && close != std::string::npos ? split(type.substr(open + 1, close - open - 1), ",")
                                                           : split(option.get_description(), " | ");
  return words.size() > 1 && std::ranges::all_of(words, is_choice) ? words : Words{};
}

Words choices_of(const KeyInfo& key) {
  if (key.type == KeyType::boolean) return {"true", "false"};
  return key.choices;
}

// Positional arguments of commands that take the names of others, or of settings.
Words choices_of(const CLI::Option& option, const std::string& command, const CLI::App& root) {
  if (command == "ffzero help") return command_names(root);
  Words words = choices_of(option);
  if (command == "ffzero keys")
    for (const KeyInfo& key : keys()) words.push_back(key.name);
  return words;
}

Words spellings(const CLI::Option& option) {
  Words names;
  for (const auto& s : option.get_snames()) names.push_back("-" + s);
  for (const auto& l : option.get_lnames()) names.push_back("--" + l);
  return names;
}

bool takes_value(const CLI::Option& option) { return option.get_expected_max() > 0; }

void for_each_command(const CLI::App& app, const std::string& name, const std::function<void(const CLI::App&, const std::string&)>& act) {
  act(app, name);
  for (const CLI::App* command : commands_of(app)) for_each_command(*command, name + " " + command->get_name(), act);
}

// --- bash ---------------------------------------------------------------------------------------------------------------------------

// Lines of `case "$command $previous"`: options that take one of some words, and those that take anything.
void print_bash_values(const CLI::App& app, const std::string& name) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() || !takes_value(*option)) continue;
    Words patterns = spellings(*option);
    for (auto& pattern : patterns) pattern = "'" + name + " " + pattern + "'";
    const Words words = choices_of(*option);
    fmt::print("    {}) ", fmt::join(patterns, " | "));
    if (option->check_lname("set"))
      fmt::print("words=$settings; compopt -o nospace 2>/dev/null ;;\n");
    else if (words.empty())
      fmt::print("return ;;\n");
    else
      fmt::print("words='{}' ;;\n", fmt::join(words, " "));
  }
}

// A line of `case "$command"`: what else may stand there.
void print_bash_words(const CLI::App& app, const std::string& name, const CLI::App& root) {
  Words options, others = command_names(app);
  for (const CLI::Option* option : app.get_options()) {
    const Words more = option->get_positional() ? choices_of(*option, name, root) : spellings(*option);
    Words& known = option->get_positional() ? others : options;
    known.insert(known.end(), more.begin(), more.end());
  }
  fmt::print("        '{}') options='{}' others='{}' ;;\n", name, fmt::join(options, " "), fmt::join(others, " "));
}

}  // namespace

void print_bash_completion(const CLI::App& root) {
  Words commands, settings;
  for_each_command(root, "ffzero", [&](const CLI::App& app, const std::string& name) {
    if (&app != &root) commands.push_back("'" + name + "'");
  });
  for (const KeyInfo& key : keys()) settings.push_back(key.name + "=");
  fmt::print(
      "# bash completion of ffzero, written by `ffzero completion bash`.\n"
      "_ffzero() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command=ffzero words='' options='' others='' "
      "i\n"
      "  local settings='{}'\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$command ${{COMP_WORDS[i]}}\" in\n"
      "      {}) command+=\" ${{COMP_WORDS[i]}}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  # bash takes --option=value and key=value for three words each.\n"
      "  if [[ $current == '=' ]]; then\n"
      "    current=''\n"
      "  elif [[ $previous == '=' && COMP_CWORD -ge 2 ]]; then\n"
      "    previous=${{COMP_WORDS[COMP_CWORD - 2]}}\n"
      "  fi\n"
      "  case \"$command $previous\" in\n",
      fmt::join(settings, " "), fmt::join(commands, " | "));
  for_each_command(root, "ffzero", [](const CLI::App& app, const std::string& name) { print_bash_values(app, name); });
  fmt::print("    *)\n      case \"$previous\" in\n");
  for (const KeyInfo& key : keys())
    if (const Words words = choices_of(key); !words.empty()) fmt::print("        {}) words='{}' ;;\n", key.name, fmt::join(words, " "));
  fmt::print("      esac\n      case \"$command\" in\n");
  for_each_command(root, "ffzero", [&](const CLI::App& app, const std::string& name) { print_bash_words(app, name, root); });
  fmt::print(
      "      esac\n"
      "      if [[ $current == -* ]]; then words=$options; elif [[ -z $words ]]; then words=$others; fi\n"
      "      ;;\n"
      "  esac\n"
      "  # Without words: the files that \"-o default\" offers.\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}}\n"
      "complete -o default -F _ffzero ffzero\n");
}

// --- zsh ----------------------------------------------------------------------------------------------------------------------------

namespace {

// Text within single quotes in which zsh's completion gives `special` a meaning.
std::string zsh_text(const std::string& text, const std::string& special) {
  std::string out;
  for (const char c : text) {
    if (c == '\'')
      out += "'\\'";
    else if (c == '\\' || special.find(c) != std::string::npos)
      out += '\\';
    out += c;
  }
  return out;
}

std::string function_of(std::string command) {
  std::ranges::replace(command, ' ', '_');
  return "_" + command;
}

std::string zsh_action(const CLI::Option& option, const std::string& command, const CLI::App& root) {
  if (option.check_lname("set")) return ":setting:_ffzero_settings";
  const Words words = option.get_positional() ? choices_of(option, command, root) : choices_of(option);
  return fmt::format(":{}:{}", zsh_text(option.get_positional() ? option.get_name(true) : "value", ":"),
                     words.empty() ? std::string("_files") : fmt::format("({})", fmt::join(words, " ")));
}

// An argument in the language of _arguments.
std::string zsh_argument(const CLI::Option& option, const std::string& command, const CLI::App& root) {
  const bool repeats = option.get_items_expected_max() > 1 || option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  if (option.get_positional())
    return fmt::format("'{}{}'", repeats ? "*" : option.get_required() ? "" : ":", zsh_action(option, command, root));
  const Words names = spellings(option);
  const std::string list = names.size() > 1 ? fmt::format("{{{}}}", fmt::join(names, ",")) : names.front();
  const std::string others = repeats ? "'*'" : names.size() > 1 ? fmt::format("'({})'", fmt::join(names, " ")) : "";
  return fmt::format("{}{}'[{}]{}'", others, list, zsh_text(option.get_description(), "[]"),
                     takes_value(option) ? zsh_action(option, command, root) : "");
}

void print_zsh_function(const CLI::App& app, const std::string& name, const CLI::App& root) {
  fmt::print("{}() {{\n", function_of(name));
  const auto commands = commands_of(app);
  if (!commands.empty()) fmt::print("  local curcontext=$curcontext state line\n  typeset -A opt_args\n");
  fmt::print("  _arguments{} -s -S", commands.empty() ? "" : " -C");
  for (const CLI::Option* option : app.get_options()) fmt::print(" \\\n    {}", zsh_argument(*option, name, root));
  if (commands.empty()) {
    fmt::print("\n}}\n\n");
    return;
  }
  fmt::print(" \\\n    '1:command:->command' '*::argument:->arguments'\n  case $state in\n    command)\n      local -a commands=(\n");
  for (const CLI::App* command : commands) fmt::print("        '{}:{}'\n", command->get_name(), zsh_text(command->get_description(), ":"));
  fmt::print("      )\n      _describe -t commands command commands ;;\n    arguments)\n      case $line[1] in\n");
  for (const CLI::App* command : commands)
    fmt::print("        {}) {} ;;\n", command->get_name(), function_of(name + " " + command->get_name()));
  fmt::print("      esac ;;\n  esac\n}}\n\n");
}

}  // namespace

void print_zsh_completion(const CLI::App& root) {
  fmt::print(
      "#compdef ffzero\n# zsh completion of ffzero, written by `ffzero completion zsh`.\n\n_ffzero_settings() {{\n"
      "  if compset -P '*='; then\n    case $IPREFIX in\n");
  for (const KeyInfo& key : keys())
    if (const Words words = choices_of(key); !words.empty()) fmt::print("      *{}=) compadd -- {} ;;\n", key.name, fmt::join(words, " "));
  fmt::print("    esac\n    return\n  fi\n  compadd -q -S '=' --");
  for (const KeyInfo& key : keys()) fmt::print(" {}", key.name);
  fmt::print("\n}}\n\n");
  for_each_command(root, "ffzero", [&](const CLI::App& app, const std::string& name) { print_zsh_function(app, name, root); });
  // Loaded from a folder of functions it is the function itself; sourced, it makes itself known.
  fmt::print("if [[ $funcstack[1] == _ffzero ]]; then _ffzero \"$@\"; else compdef _ffzero ffzero; fi\n");
}

}  // namespace ffzero::app
