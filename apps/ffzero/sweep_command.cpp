// ffzero sweep
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/study_report.hpp"
#include "output.hpp"
#include "study_display.hpp"

namespace ffzero::app {

namespace {

struct SweepArguments {
  std::string study, out;
  int jobs = 0;
  bool quiet = false;
  DeviceAccess devices;
};

int run_sweep(const SweepArguments& arguments) {
  const Study study = read_study(arguments.study);
  SweepRequest request;
  request.out = arguments.out.empty() ? std::filesystem::path("runs") / study.name : std::filesystem::path(arguments.out);
  request.cache_dir = cache_dir();
  request.jobs = arguments.jobs;
  request.devices = arguments.devices;
  const std::string go_on = fmt::format("ffzero sweep {} --out {}", shell_word(arguments.study), shell_word(request.out.string()));
  const StudyRunResult result = run_with_display(study, request, arguments.quiet, go_on);
  if (result.code == kInterrupted) return result.code;
  for (const auto& notice : write_study_report(study, request.out)) note("{}\n", notice);
  const std::vector<SettingResult> results = collect(study, request.out);
  fmt::print("{}", study_table(results).markdown());
  if (const auto findings = cell_findings(results); !findings.empty()) {
    fmt::print("\n{}\n\n{}\n", fmt::join(text_bars(results), "\n"), fmt::join(findings, "\n"));
  }
  if (!arguments.quiet) note("written to {} (table.md, table.csv, table.json, report.html)\n", request.out.string());
  return result.code;
}

}  // namespace

void add_sweep(CLI::App& app, Commands& commands) {
  auto arguments = std::make_shared<SweepArguments>();
  CLI::App* sweep =
      app.add_subcommand("sweep", "Run a study: a grid over settings and seeds, side by side; a study that was cut off is gone on with");
  sweep->add_option("study", arguments->study, "study in TOML: base, cells, seeds, [grid]")->required();
  sweep->add_option("--out", arguments->out, "folder of the study (default: runs/<name>)");
  sweep->add_option("--jobs", arguments->jobs, "runs at once, one core each; 0: one a core")->check(CLI::Range(0, 1024));
  add_device_options(*sweep, arguments->devices);
  sweep->add_flag("--quiet", arguments->quiet, "no progress on standard error");
  sweep->callback([arguments, &commands] { commands.chosen = [arguments] { return run_sweep(*arguments); }; });
}

}  // namespace ffzero::app
