// ffzero: the command line. One file per subcommand.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/shown.hpp"
#include "ffzero/base/spelling.hpp"
#include "ffzero/run/run.hpp"
#include "output.hpp"
#include "ranks.hpp"

namespace {

using ffzero::ErrorKind;

// Of several processes that train one run the first one speaks.
bool speaks(int argc, char** argv) { return argc < 2 || std::string_view(argv[1]) != "train" || ffzero::app::launched().rank == 0; }

int fail(const std::string& message, ErrorKind kind) {
  ffzero::app::note("ffzero: {}\n", message);
  return static_cast<int>(kind);
}

// What did not reach standard output must not pass for done. A reader that has seen enough (| head) gets what every program does then.
int output_lost(int code) {
  if (code == EPIPE) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  return fail(ffzero::error_line("standard output", "must be writable", std::strerror(code != 0 ? code : EIO),
                                 "free space, or write it to another place"),
              ErrorKind::output);
}

// The reason why standard output has an error, of an exception that may be the one that reported it.
int output_error_of(const std::exception& e) {
  const auto* const error = dynamic_cast<const std::system_error*>(&e);
  return error != nullptr ? error->code().value() : EIO;
}

// The nearest word if it is near enough to have been meant: "; did you mean "train"?".
std::string suggestion(const std::string& word, const std::vector<std::string>& words) {
  if (words.empty()) return {};
  const std::string& nearest = ffzero::nearest_word(word, words);
  return ffzero::edit_distance(word, nearest) > 1 + word.size() / 3 ? std::string() : fmt::format("; did you mean \"{}\"?", nearest);
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// CLI11 words its errors over several lines, does not say what was meant, and not where the remedy is.
std::string usage_line(const CLI::App& cli, const CLI::ParseError& error) {
  const CLI::App* at = &cli;
  std::string name = "ffzero";
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    name += " " + at->get_name();
  }
  const auto commands = ffzero::app::command_names(*at);
  const auto unknown = at->remaining();
  std::string what = error.what();
  if (!unknown.empty() && unknown.front().starts_with("-"))
    what = fmt::format("unknown option \"{}\"{}", unknown.front(), suggestion(unknown.front(), option_names(*at)));
  else if (!unknown.empty() && !commands.empty())
    what = fmt::format("unknown command \"{}\"{}", unknown.front(), suggestion(unknown.front(), commands));
  else if (!unknown.empty())
    what = fmt::format("one argument too many: \"{}\"", unknown.front());
  else if (!commands.empty())
    what = fmt::format("needs a command: {}", fmt::join(commands, ", "));
  constexpr std::string_view kOverride = " was given a disallowed flag override";
  if (what.ends_with(kOverride)) what = "--" + what.substr(0, what.size() - kOverride.size()) + " takes no value";
  std::replace(what.begin(), what.end(), '\n', ' ');
  return fmt::format("command line: {}; see {} --help", ffzero::shown(what), name);
}

// A value that a script failed to fill in must not start a run with the defaults, and neither must one that a flag does not take.
void refuse_empty_values(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_expected_max() == 0) option->disable_flag_override();
    // An empty list of layers is refused by the key, which says more.
    else if (!option->check_lname("layers"))
      option->check([](const std::string& value) { return value.empty() ? std::string("must not be empty") : std::string(); }, "");
  }
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) refuse_empty_values(*command);
}

int parse_and_run(CLI::App& cli, ffzero::app::Commands& commands, int argc, char** argv) {
  using namespace ffzero;
  const auto fail = [speaks = speaks(argc, argv)](const std::string& message, ErrorKind kind) {
    return speaks ? ::fail(message, kind) : static_cast<int>(kind);
  };
  try {
    cli.parse(argc, argv);
    for (const std::string& file : commands.plugin_files) commands.plugins.push_back(load_plugin(file));
    const int code = commands.chosen();
    return std::fflush(stdout) != 0 || std::ferror(stdout) != 0 ? output_lost(errno) : code;
  } catch (const CLI::Success& e) {
    const int code = cli.exit(e);
    return std::fflush(stdout) != 0 || std::ferror(stdout) != 0 ? output_lost(errno) : code;
  } catch (const CLI::ParseError& e) {
    return fail(usage_line(cli, e), ErrorKind::usage);
  } catch (const Error& e) {
    return fail(e.what(), e.kind());
  } catch (const std::bad_alloc&) {
    return fail("memory: the run needs more than there is; lower the batch size or the widths", ErrorKind::config);
  } catch (const std::filesystem::filesystem_error& e) {
    return fail(error_line(e.path1().string(), "must be a path that can be used", e.code().message(), "choose another one"),
                ErrorKind::output);
  } catch (const std::exception& e) {
    if (std::ferror(stdout) != 0) return output_lost(output_error_of(e));
    return fail(std::string("a defect of ffzero, please report it: ") + e.what(), ErrorKind::defect);
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ffzero;
  app::keep_blas_small(argv);
  app::prepare_streams();
  CLI::App cli("Training neural networks with forward evaluations only", "ffzero");
  cli.require_subcommand(1);
  cli.set_version_flag("--version", app::program_version());
  app::add_examples(cli, {{"ffzero train --out runs/first", "train with the defaults"},
                          {"ffzero report runs/first", "its page"},
                          {"ffzero train --help", "what a command takes"}});
  app::Commands commands;
  app::add_train(cli, commands);
  app::add_eval(cli, commands);
  app::add_predict(cli, commands);
  app::add_inspect(cli, commands);
  app::add_probe(cli, commands);
  app::add_calibrate(cli, commands);
  app::add_datasets(cli, commands);
  app::add_report(cli, commands);
  app::add_watch(cli, commands);
  app::add_light(cli, commands);
  app::add_export(cli, commands);
  app::add_sweep(cli, commands);
  app::add_reproduce(cli, commands);
  app::add_device(cli, commands);
  app::add_help(cli, commands);
  refuse_empty_values(cli);
  const int code = parse_and_run(cli, commands, argc, argv);
  if (commands.leave) commands.leave(code);
  return code;
}
