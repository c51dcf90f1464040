// ffzero report, ffzero light
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "command.hpp"
#include "ffzero/report/light.hpp"
#include "ffzero/report/report.hpp"
#include "output.hpp"

namespace ffzero::app {

namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string out;
};

struct LightArguments {
  LightRequest request;
  std::string run, out;
  bool json = false;
};

void print_result(const ReportResult& result) {
  for (const auto& notice : result.notices) note("{}\n", notice);
  note("{} figures\n", result.figures);
  fmt::print("{}\n", result.file.string());
}

int run_report(const ReportArguments& arguments) {
  print_result(write_report({arguments.runs.begin(), arguments.runs.end()}, {.out = arguments.out, .gnuplot = {}}));
  return kDone;
}

int run_light(LightArguments& arguments) {
  arguments.request.run = arguments.run;
  arguments.request.cache_dir = cache_dir();
  const LightData light = light_of(arguments.request);
  const std::filesystem::path run(arguments.run);
  const std::filesystem::path home = std::filesystem::is_directory(run) ? run : run.parent_path();
  const std::filesystem::path out = arguments.out.empty() ? home / "light" : std::filesystem::path(arguments.out);
  const ReportResult result = write_light(light, arguments.request, out);
  if (arguments.json) {
    for (const auto& notice : result.notices) note("{}\n", notice);
    fmt::print("{}\n", light.summary.dump(2));
  } else {
    print_result(result);
  }
  return kDone;
}

}  // namespace

void add_report(CLI::App& app, Commands& commands) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* report = app.add_subcommand("report", "Write report.html with all figures of a run, or of several side by side");
  report->add_option("runs", arguments->runs, "run folders")->required();
  report->add_option("--out", arguments->out, "folder of the report (default: the run's own; for several: report)");
  add_examples(*report, {{"ffzero report runs/first", "draw its page anew"},
                         {"ffzero report runs/first runs/second --out runs/both", "side by side"}});
  add_plugin_option(*report, commands);
  report->callback([arguments, &commands] { commands.chosen = [arguments] { return run_report(*arguments); }; });
}

void add_light(CLI::App& app, Commands& commands) {
  auto arguments = std::make_shared<LightArguments>();
  CLI::App* light = app.add_subcommand(
      "light", "Write the light of a test sample through the meshes before and after training, as npz, JSON and pictures");
  light->add_option("run", arguments->run, "folder of a photonic run")->required();
  light->add_option("--sample", arguments->request.sample, "position in the test set")->capture_default_str();
  light->add_option("--out", arguments->out, "folder to write (default: <run>/light)");
  light->add_flag("--json", arguments->json, "print light.json on standard output");
  add_examples(*light, {{"ffzero light runs/mesh --sample 7", "pictures of one sample in every mesh"}});
  light->callback([arguments, &commands] { commands.chosen = [arguments] { return run_light(*arguments); }; });
}

}  // namespace ffzero::app
