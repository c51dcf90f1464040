// The program described by itself: pages for the documents and for `man`, words for the completion of shells. All follow from the
// registered commands and from the table of settings.
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/settings/keys.hpp"

namespace ffzero::app {

/// How results and errors are given, for the head of both manuals.
inline constexpr std::string_view kStreams =
    "Results go to standard output, progress and errors to standard error; progress is one rewritten line on a terminal and plain lines "
    "elsewhere. An\n"
    "error is one line: place, requirement, what was found, remedy.";

struct ExitCode {
  int code;
  std::string_view meaning;
};
[[nodiscard]] const std::vector<ExitCode>& exit_codes();

/// What a setting takes: "integer 1 .. 10", "auto | number >= 0".
[[nodiscard]] std::string type_of(const KeyInfo& key);
/// The part of a dotted name before its last dot; empty if there is none.
[[nodiscard]] std::string table_of(const KeyInfo& key);
/// "-h,--help", "--out VALUE", "run" or "[config]": one spelling for all versions of CLI11, which format help differently.
[[nodiscard]] std::string option_name(const CLI::Option& option);
[[nodiscard]] std::vector<const CLI::App*> commands_of(const CLI::App& app);

/// docs/cli.md and docs/config.md.
void print_manual_markdown(const CLI::App& root);
void print_settings_markdown();
/// ffzero(1) and ffzero-settings(5), for `man`.
void print_manual_man(const CLI::App& root);
void print_settings_man();
/// Completion of a command line in bash and in zsh.
void print_bash_completion(const CLI::App& root);
void print_zsh_completion(const CLI::App& root);

}  // namespace ffzero::app
