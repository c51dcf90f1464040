// ffzero watch: the page of a run that may be under way, for a browser on this machine.
// SPDX-License-Identifier: MIT
#include <filesystem>
#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/interactive.hpp"
#include "ffzero/report/live_page.hpp"
#include "ffzero/report/page.hpp"
#include "watch_server.hpp"

namespace ffzero::app {

namespace {

struct WatchArguments {
  std::string run;
  int port = 0;
};

int run_watch(const WatchArguments& arguments) {
#ifdef FFZERO_WITH_HTTP
  const std::filesystem::path run = arguments.run;
  LivePage live(run);
  const std::string title = std::filesystem::absolute(run).lexically_normal().filename().string() + " - ffzero watch";
  serve({.body =
             [&live] {
               LivePage::Body body = live.now();
               return ServedBody{std::move(body.html), std::move(body.version)};
             },
         .around = [&title](const std::string& body) { return page(title, body); },
         .script = std::string(interactive_script()),
         .report = run / "report.html"},
        arguments.port);
  return kDone;
#else
  throw ConfigError("watch", "needs a program that was built with cpp-httplib", "one without",
                    "apt-get install libcpp-httplib-dev and build again, or look at the page of ffzero report " + arguments.run);
#endif
}

}  // namespace

void add_watch(CLI::App& app, Commands& commands) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* watch = app.add_subcommand(
      "watch",
      "Show a run while it is trained: its page for a browser on this machine, renewed as it goes on; Ctrl-C ends it (exit code 0)");
  watch->add_option("run", arguments->run, "run folder; it is only read")->required();
  watch->add_option("--port", arguments->port, "of 127.0.0.1; 0: any that is free; the address is printed")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  add_examples(*watch, {{"ffzero watch runs/first", "prints http://127.0.0.1:PORT/"},
                        {"ffzero watch runs/first --port 8700", "for ssh -L 8700:127.0.0.1:8700 to a machine without a screen"}});
  watch->callback([arguments, &commands] { commands.chosen = [arguments] { return run_watch(*arguments); }; });
}

}  // namespace ffzero::app
