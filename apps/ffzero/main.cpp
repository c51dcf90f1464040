// ffzero: the command line. One file per subcommand.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/run.hpp"

namespace {

int fail(const char* message, int code) {
  fmt::print(stderr, "ffzero: {}\n", message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ffzero;
  CLI::App cli("Training neural networks with forward evaluations only");
  cli.require_subcommand(1);
  cli.set_version_flag("--version", version());
  app::Commands commands;
  app::add_train(cli, commands);
  CLI::App* version_command = cli.add_subcommand("version", "Print version and machine");
  version_command->callback([&] {
    commands.chosen = [] {
      fmt::print("ffzero {}\n{}\n", version(), machine_description(0).dump(2));
      return app::kDone;
    };
  });
  try {
    cli.parse(argc, argv);
    return commands.chosen();
  } catch (const CLI::ParseError& e) {
    return cli.exit(e) == 0 ? app::kDone : static_cast<int>(ErrorKind::usage);
  } catch (const Error& e) {
    return fail(e.what(), static_cast<int>(e.kind()));
  } catch (const std::bad_alloc&) {
    return fail("memory: the run needs more than there is; lower the batch size or the widths", static_cast<int>(ErrorKind::output));
  } catch (const std::exception& e) {
    return fail((std::string("a defect of ffzero, please report it: ") + e.what()).c_str(), static_cast<int>(ErrorKind::defect));
  }
}
