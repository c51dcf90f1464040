// ffzero sweep
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "command.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/study_report.hpp"
#include "output.hpp"
#include "study_display.hpp"

namespace ffzero::app {

namespace {

struct SweepArguments {
  std::string study, out, part, data_dir;
  std::vector<std::string> merge, sets;
  int jobs = 0;
  bool quiet = false;
  DeviceAccess devices;
};

// The table and the report of what stands in `out`.
void show_results(const Study& study, const std::filesystem::path& out, bool quiet) {
  for (const auto& notice : write_study_report(study, out)) note("{}\n", notice);
  const std::vector<SettingResult> results = collect(study, out);
  fmt::print("{}", study_table(results).markdown());
  if (const auto findings = cell_findings(results); !findings.empty()) {
    fmt::print("\n{}\n\n{}\n", fmt::join(text_bars(results), "\n"), fmt::join(findings, "\n"));
  }
  if (!quiet) note("written to {} (table.md, table.csv, table.json, report.html)\n", out.string());
}

// What was said beside the study, as it must be said again to go on with it.
std::string said_beside(const SweepArguments& arguments, const std::vector<Plugin>& plugins) {
  std::string text;
  for (const Plugin& plugin : plugins) text += " --plugin " + shell_word(plugin.path.string());
  if (!arguments.data_dir.empty()) text += " --data-dir " + shell_word(arguments.data_dir);
  for (const auto& set : arguments.sets) text += " --set " + shell_word(set);
  return text;
}

int run_sweep(const SweepArguments& arguments, const std::vector<Plugin>& plugins) {
  std::vector<std::pair<std::string, std::string>> overrides;
  // As a whole path: a study may be gone on with from another folder.
  if (!arguments.data_dir.empty()) overrides.emplace_back("dataset.dir", std::filesystem::absolute(arguments.data_dir).string());
  for (const auto& set : arguments.sets) overrides.push_back(split_assignment(set));
  const Study study = read_study(arguments.study, overrides);
  if (!arguments.merge.empty()) {
    const std::filesystem::path out = arguments.out.empty() ? arguments.merge.front() : arguments.out;
    merge_study(study, {arguments.merge.begin(), arguments.merge.end()}, out);
    show_results(study, out, arguments.quiet);
    return 0;
  }
  SweepRequest request;
  request.out = arguments.out.empty() ? std::filesystem::path("runs") / study.name : std::filesystem::path(arguments.out);
  request.cache_dir = cache_dir();
  request.jobs = arguments.jobs;
  request.devices = arguments.devices;
  request.plugins = plugins;
  if (!arguments.part.empty()) request.part = parse_study_part(arguments.part);
  const std::string folder = shell_word(request.out.string());
  const std::string part = arguments.part.empty() ? "" : " --part " + arguments.part;
  const std::string go_on =
      fmt::format("ffzero sweep {}{} --out {}{}", shell_word(arguments.study), said_beside(arguments, plugins), folder, part);
  const StudyRunResult result = run_with_display(study, request, arguments.quiet, go_on);
  if (result.code == kInterrupted) return result.code;
  if (request.part.count > 1) {
    if (!arguments.quiet)
      note("part {} is in {}; when every part is finished: ffzero sweep {}{} --merge {}\n", arguments.part, request.out.string(),
           shell_word(arguments.study), said_beside(arguments, plugins), folder);
    return result.code;
  }
  show_results(study, request.out, arguments.quiet);
  return result.code;
}

}  // namespace

void add_sweep(CLI::App& app, Commands& commands) {
  auto arguments = std::make_shared<SweepArguments>();
  CLI::App* sweep = app.add_subcommand(
      "sweep", "Run a study: a grid over settings and seeds, side by side; the same command continues an interrupted study");
  sweep->add_option("study", arguments->study, "study in TOML: base, cells, seeds, [grid]")->required();
  sweep->add_option("--out", arguments->out, "folder of the study (default: runs/<name>)");
  sweep->add_option("--data-dir", arguments->data_dir, "folder with the data set of every run (npz, csv: the file)");
  sweep->add_option("--set", arguments->sets, "key=value: override any key of base, may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  sweep->add_option("--jobs", arguments->jobs, "runs at once, one core each; 0: one a core")->check(CLI::Range(0, 1024));
  auto* part = sweep->add_option("--part", arguments->part, "i/n: train every n-th run from number i on, as one of n machines or tasks");
  sweep->add_option("--merge", arguments->merge, "train nothing: bring the runs of these folders of parts together, and draw the table")
      ->excludes(part);
  add_device_options(*sweep, arguments->devices);
  add_plugin_option(*sweep, commands);
  sweep->add_flag("--quiet", arguments->quiet, "no progress on standard error");
  add_examples(*sweep, {{"ffzero sweep studies/four_cells.toml --out runs/cells", "all runs of a study, one a core"},
                        {"ffzero sweep studies/four_cells.toml --part 1/2 --out runs/part", "half of them, on one of two machines"}});
  sweep->callback([arguments, &commands] { commands.chosen = [arguments, &commands] { return run_sweep(*arguments, commands.plugins); }; });
}

}  // namespace ffzero::app
