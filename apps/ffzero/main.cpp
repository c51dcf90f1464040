// ffzero: the command line. One file per subcommand.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/run.hpp"

namespace {

using ffzero::ErrorKind;

int fail(const std::string& message, ErrorKind kind) {
  fmt::print(stderr, "ffzero: {}\n", message);
  return static_cast<int>(kind);
}

// CLI11 words its errors over several lines and does not say where the remedy is.
std::string usage_line(const CLI::App& cli, const CLI::ParseError& error) {
  std::string what = error.what();
  for (char& c : what)
    if (c == '\n') c = ' ';
  const CLI::App* at = &cli;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  const std::string name = at == &cli ? "ffzero" : "ffzero " + at->get_name();
  return fmt::format("command line: {}; see {} --help", what, name);
}

int parse_and_run(CLI::App& cli, ffzero::app::Commands& commands, int argc, char** argv) {
  using namespace ffzero;
  try {
    cli.parse(argc, argv);
    const int code = commands.chosen();
    // What did not reach standard output (a full disk behind a redirection) must not pass for done.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      throw OutputError("standard output", "must be writable", std::strerror(errno), "free space");
    return code;
  } catch (const CLI::Success& e) {
    return cli.exit(e);
  } catch (const CLI::ParseError& e) {
    return fail(usage_line(cli, e), ErrorKind::usage);
  } catch (const Error& e) {
    return fail(e.what(), e.kind());
  } catch (const std::bad_alloc&) {
    return fail("memory: the run needs more than there is; lower the batch size or the widths", ErrorKind::config);
  } catch (const std::exception& e) {
    if (std::ferror(stdout) != 0) return fail(error_line("standard output", "must be writable", e.what(), "free space"), ErrorKind::output);
    return fail(std::string("a defect of ffzero, please report it: ") + e.what(), ErrorKind::defect);
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ffzero;
  CLI::App cli("Training neural networks with forward evaluations only", "ffzero");
  cli.require_subcommand(1);
  cli.set_version_flag("--version", version());
  app::Commands commands;
  app::add_train(cli, commands);
  app::add_eval(cli, commands);
  app::add_predict(cli, commands);
  app::add_inspect(cli, commands);
  app::add_datasets(cli, commands);
  app::add_report(cli, commands);
  app::add_light(cli, commands);
  app::add_sweep(cli, commands);
  app::add_reproduce(cli, commands);
  app::add_help(cli, commands);
  return parse_and_run(cli, commands, argc, argv);
}
