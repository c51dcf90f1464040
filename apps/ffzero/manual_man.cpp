// ffzero(1) and ffzero-settings(5): the manuals in the language of `man`.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "command.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/settings/device_layers.hpp"
#include "manual.hpp"

namespace ffzero::app {

namespace {

// The bytes of the character of UTF-8 that begins at text[at], and its number.
std::pair<std::size_t, unsigned> character(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t count = first < 0x80U ? 1 : first < 0xE0U ? 2 : first < 0xF0U ? 3 : 4;
  unsigned number = count == 1 ? first : first & (0xFFU >> (count + 1));
  for (std::size_t i = 1; i < count && at + i < text.size(); ++i)
    number = number << 6U | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
  return {count, number};
}

// Text that is set as it is: no character of it is a request, and a hyphen stays one that can be copied.
std::string roff(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto [count, number] = character(text, at);
    if (text[at] == '\\')
      out += "\\e";
    else if (text[at] == '-')
      out += "\\-";
    else if (number >= 0x80U)
      out += fmt::format("\\[u{:04X}]", number);
    else
      out += text[at];
    at += count;
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

// Typewriter marks of Markdown become bold.
std::string roff_prose(std::string_view text) {
  std::string out;
  bool marked = false;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('`', at), text.size());
    const std::string piece = roff(text.substr(at, end - at));
    out += marked ? "\\fB" + piece + "\\fR" : piece;
    marked = !marked;
    at = end + 1;
  }
  return out;
}

std::string upper_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

void print_head(const std::string& name, int section, std::string_view title, std::string_view meaning) {
  fmt::print(".TH {} {} \"\" \"ffzero {}\" \"{}\"\n.SH NAME\n{} \\- {}\n", roff(upper_case(name)), section, version(), title, roff(name),
             roff(meaning));
}

void print_option(const CLI::Option& option) {
  const bool required = option.get_required() && !option.get_positional();
  fmt::print(".TP\n.B {}\n{}{}\n", roff(option_name(option)), roff_prose(option.get_description()), required ? " (required)" : "");
}

void print_command_man(const CLI::App& app, const std::string& name) {
  const auto commands = commands_of(app);
  if (commands.empty()) {
    fmt::print(".SS {}\n{}.\n", roff(name), roff_prose(app.get_description()));
    for (const CLI::Option* option : app.get_options())
      if (option->get_description().find("Print this help") == std::string::npos) print_option(*option);
    for (const auto& [line, meaning] : examples_of(app))
      fmt::print(".PP\n.EX\n  {}\n.EE\n.RS\n{}.\n.RE\n", roff(line), roff_prose(meaning));
  }
  for (const CLI::App* command : commands) print_command_man(*command, name + " " + command->get_name());
}

void print_key(const KeyInfo& key) {
  fmt::print(".TP\n.BR {} \" = {}\"\n{}.\n{}{}\n", roff(key.name), roff(type_of(key)), roff("Default: " + key.fallback.dump()),
             roff_prose(key.doc), key.per_layer ? "\nMay differ between layers." : "");
}

}  // namespace

void print_manual_man(const CLI::App& root) {
  print_head("ffzero", 1, "User Commands", "train neural networks with forward evaluations only");
  fmt::print(
      ".SH SYNOPSIS\n.B ffzero\n.I command\n.RI [ arguments ]\n.br\n.B ffzero\n.I command\n.B \\-\\-help\n.SH DESCRIPTION\n"
      "Trains networks without a backward pass: layers learn one after another, from losses of their own, whose slopes are measured by\n"
      "evaluating them. Layers may be simulated, or devices that are only asked for their output.\n.PP\n{}\n.SH COMMANDS\n",
      roff_prose(kStreams));
  for (const CLI::App* command : commands_of(root)) print_command_man(*command, "ffzero " + command->get_name());
  fmt::print(".SH \"EXIT STATUS\"\n");
  for (const auto& [code, meaning] : exit_codes()) fmt::print(".TP\n.B {}\n{}\n", code, roff_prose(meaning));
  fmt::print(
      ".SH ENVIRONMENT\n.TP\n.B XDG_CACHE_HOME\nData sets lie in its folder ffzero; unset: in ~/.cache/ffzero.\n"
      ".SH \"SEE ALSO\"\n.BR ffzero\\-settings (5)\n");
}

void print_settings_man() {
  print_head("ffzero-settings", 5, "File Formats", "settings of a run of ffzero");
  fmt::print(
      ".SH DESCRIPTION\nEvery setting of a run. In a file (TOML) each stands in the table that its name says; on the command line:\n"
      ".BR \"ffzero train \\-\\-set training.epochs=5\" .\n"
      "Strength, weakest first: the defaults, the preset, the file, the command line.\n"
      "The file config.toml in a run folder holds the values that were used. A key that has no effect on a run is an error.\n");
  std::string table = "none yet";
  for (const KeyInfo& key : keys()) {
    if (table_of(key) != table) {
      table = table_of(key);
      fmt::print(".SH \"{}\"\n", table.empty() ? "OF THE WHOLE RUN" : upper_case(table));
    }
    print_key(key);
  }
  fmt::print(".SH DEVICES\nOne table [[model.device]] for each device, in the order of the data flow.\n");
  for (const KeyInfo& key : device_keys()) print_key(key);
  fmt::print(".SH \"SEE ALSO\"\n.BR ffzero (1)\n");
}

}  // namespace ffzero::app
