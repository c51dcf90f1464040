// ffzero inspect
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/run/baseline.hpp"
#include "ffzero/run/evaluate.hpp"
#include "progress.hpp"

namespace ffzero::app {

namespace {

using json = nlohmann::ordered_json;

struct InspectOptions {
  std::string run;
  bool json = false;
};

std::string text(const json& j) { return j.is_string() ? j.get<std::string>() : j.dump(); }
std::string share(const json& j) { return j.is_number() ? fmt::format("{:.4f}", j.get<double>()) : "-"; }

void print_layers(const json& layers) {
  fmt::print("\n{:<10} {:>12} {:>12} {:>11} {:>10}\n", "layer", "input", "output", "parameters", "norm");
  for (const auto& layer : layers) {
    fmt::print("{:<10} {:>12} {:>12} {:>11} {:>10.4g}", text(layer.at("name")), text(layer.at("input")), text(layer.at("output")),
               text(layer.at("parameters")), layer.at("norm").get<double>());
    if (layer.contains("pca")) fmt::print("  behind {} principal components", text(layer.at("pca")));
    fmt::print("\n");
  }
}

void print_results(const json& run) {
  const json& summary = run.at("summary");
  fmt::print("\n{:<10} {:>7} {:>11} {:>9} {:>9}\n", "trained", "epochs", "loss", "train", "test");
  for (const auto& r : run.at("results"))
    fmt::print("{:<10} {:>7} {:>11.5g} {:>9} {:>9}\n", text(r.at("layer")), text(r.at("epoch")),
               r.at("loss").is_null() ? 0.0 : r.at("loss").get<double>(), share(r.at("train")), share(r.at("test")));
  if (summary.is_null()) return;
  if (!summary.at("vote").is_null())
    fmt::print("{:<10} {:>19} {:>9} {:>9}\n", "vote", text(summary.at("vote").at("rule")), share(summary.at("vote").at("train")),
               share(summary.at("vote").at("test")));
  if (const auto& baseline = baseline_of(summary); !baseline.is_null())
    fmt::print("{:<10} {:>19} {:>9} {:>9}  {}\n", "baseline", "", share(baseline.at("train")), share(baseline.at("test")),
               text(baseline.at("kind")));
}

void print_position(const json& run) {
  const json& position = run.at("position");
  if (run.at("finished").get<bool>()) {
    fmt::print("finished: stopped by {}\n", text(run.at("summary").at("stopped_by")));
    return;
  }
  if (position.contains("layer"))
    fmt::print("not finished: {} ({} of {}), {} of {} epochs done, {} of {} steps of the next\n", text(position.at("layer")),
               position.at("blocks_done").get<Index>() + 1, text(position.at("blocks")), text(position.at("epochs_done")),
               text(position.at("epochs")), text(position.at("steps_done")), text(position.at("steps")));
  else
    fmt::print("not finished: trained, the summary is missing\n");
  fmt::print("go on with: {}\n", text(run.at("go_on")));
}

void print_run(const json& run) {
  fmt::print("{}: {} {} on {} ({} of {}), preset {}, seed {}\n", text(run.at("run")), text(run.at("solver")), text(run.at("model")),
             text(run.at("dataset")), run.at("classes").get<Index>() > 0 ? text(run.at("classes")) + " classes" : "regression",
             text(run.at("sample_shape")), text(run.at("preset")), text(run.at("seed")));
  print_layers(run.at("layers"));
  print_results(run);
  const json& evals = run.at("forward_evals");
  fmt::print(
      "\nforward evaluations: training {}, propagation {}, logging {}, repeated by resuming {}; pullbacks {}, of checks {}; {} so far\n",
      short_count(evals.at("training").get<std::int64_t>()), short_count(evals.at("propagation").get<std::int64_t>()),
      short_count(evals.at("logging").get<std::int64_t>()), short_count(evals.at("replayed").get<std::int64_t>()),
      short_count(evals.at("pullbacks").get<std::int64_t>()), short_count(evals.at("checks").get<std::int64_t>()),
      short_time(run.at("elapsed_s").get<double>()));
  print_position(run);
}

}  // namespace

void add_inspect(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* inspect =
      app.add_subcommand("inspect", "Show what was run, the layers, the results, and where the run stands; unfinished runs too");
  inspect->add_option("run", options->run, "run folder")->required();
  inspect->add_flag("--json", options->json, "print as JSON");
  add_examples(*inspect, {{"ffzero inspect runs/first", "layers, results, and how to go on"}});
  add_plugin_option(*inspect, commands);
  inspect->callback([options, &commands] {
    commands.chosen = [options] {
      const json run = inspect_run(options->run);
      if (options->json)
        fmt::print("{}\n", run.dump(2));
      else
        print_run(run);
      return kDone;
    };
  });
}

}  // namespace ffzero::app
