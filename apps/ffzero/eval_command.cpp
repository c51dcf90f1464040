// ffzero eval
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/dataset/csv_dataset.hpp"
#include "ffzero/metric/metric.hpp"
#include "ffzero/run/details.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/settings/configured.hpp"

namespace ffzero::app {

namespace {

struct EvalOptions {
  std::string run, dataset, data_dir;
  int threads = 0;
  bool json = false;
  DeviceAccess devices;
  std::vector<std::string> sets;
};

// What the network stands on now. Other settings are those of the training.
std::vector<std::pair<std::string, std::string>> settings_of(const EvalOptions& options) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const std::string& set : options.sets) {
    settings.push_back(split_assignment(set));
    const std::string& key = settings.back().first;
    if (!key.starts_with("model.imperfect.") && !key.starts_with("model.mesh.chip.") && key != "model.map" && key != "model.map_options")
      throw UsageError("--set", "must be of model.imperfect.* or model.mesh.chip.*, model.map or model.map_options", key,
                       "train again for other settings");
  }
  return settings;
}

Dataset data_of(const EvalOptions& options, const TrainedNetwork& network) {
  DatasetOptions wanted = dataset_options(network.config().values());
  if (!options.dataset.empty() && options.dataset != wanted.name) {
    wanted.name = options.dataset;
    wanted.dir.clear();
  }
  if (!options.data_dir.empty()) wanted.dir = options.data_dir;
  if (wanted.dir.empty()) wanted.dir = cache_dir();
  wanted.validation = 0;
  // Another table is a test set as a whole.
  if (wanted.name == "csv" && !options.data_dir.empty() && !network.info().feature_names.empty()) {
    const std::string text = read_csv_text(wanted.dir);
    CsvReader reader(text, wanted.dir.string());
    return csv_samples(reader, network.info(), wanted.csv.label, true);
  }
  return load_dataset(wanted).test;
}

void print_confusion(const Evaluation& result, const TrainedNetwork& network) {
  std::string longest = fmt::format("{}", result.confusion.maxCoeff());
  const auto name = [&](Index k) { return class_title(network.info(), k); };
  for (Index k = 0; k < result.confusion.rows(); ++k)
    longest = std::max(longest, name(k), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const std::size_t width = longest.size() + 2, first = std::max<std::size_t>(8, longest.size());
  fmt::print("\nconfusion matrix (row: true class, column: decision)\n{:>{}}", "", first);
  for (Index k = 0; k < result.confusion.cols(); ++k) fmt::print("{:>{}}", name(k), width);
  fmt::print("\n");
  for (Index k = 0; k < result.confusion.rows(); ++k) {
    fmt::print("{:>{}}", name(k), first);
    for (Index j = 0; j < result.confusion.cols(); ++j) fmt::print("{:>{}}", result.confusion(k, j), width);
    fmt::print("\n");
  }
}

void print_recalls(const Evaluation& result, const TrainedNetwork& network) {
  const std::string mean = "balanced accuracy";
  std::size_t width = mean.size();
  for (Index k = 0; k < result.confusion.rows(); ++k) width = std::max(width, class_title(network.info(), k).size());
  fmt::print("\n{:<{}} {:>8}  recall\n", "class", width, "samples");
  const auto recalls = recalls_of(result.confusion);
  for (Index k = 0; k < result.confusion.rows(); ++k)
    fmt::print("{:<{}} {:>8}  {}\n", class_title(network.info(), k), width, result.confusion.row(k).sum(),
               recalls[usize(k)] ? fmt::format("{:.4f}", *recalls[usize(k)]) : "-");
  fmt::print("{:<{}} {:>8}  {:.4f}\n", mean, width, "", balanced_accuracy(result.confusion));
}

void print_table(const Evaluation& result, const TrainedNetwork& network) {
  fmt::print("{}: {} test samples\n\n{:<12} {:>11}  {}\n", result.dataset, result.samples, "layer", "parameters", result.metric);
  for (std::size_t i = 0; i < result.layers.size(); ++i)
    fmt::print("{:<12} {:>11}  {:.4f}\n", network.voters()[i].name, network.voters()[i].parameters, result.layers[i]);
  if (result.vote) fmt::print("{:<12} {:>11}  {:.4f}\n", "vote", network.vote_rule(), *result.vote);
  if (result.outputs.size() > 1) {
    fmt::print("\n{:<24} {}\n", "target", result.metric);
    for (std::size_t t = 0; t < result.outputs.size(); ++t)
      fmt::print("{:<24} {:.4f}\n", network.info().output_names.empty() ? std::to_string(t) : network.info().output_names[t],
                 result.outputs[t]);
  }
  if (result.confusion.rows() == 0) return;
  print_confusion(result, network);
  print_recalls(result, network);
}

int run_eval(const EvalOptions& options) {
  const TrainedNetwork network(load_run_on(options.run, settings_of(options), options.devices), options.threads);
  const Dataset data = data_of(options, network);
  const Evaluation result = evaluate(network, data, data.name());
  if (options.json)
    fmt::print("{}\n", to_json(result, network).dump(2));
  else
    print_table(result, network);
  return kDone;
}

}  // namespace

void add_eval(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* eval = app.add_subcommand("eval", "Evaluate a trained network on a test set: every layer, the vote, the confusion matrix");
  eval->add_option("run", options->run, "run folder or checkpoint file")->required();
  eval->add_option("--dataset", options->dataset,
                   "another data set with samples and classes like those of the training (default: the run's own)");
  eval->add_option("--data-dir", options->data_dir, "folder with the data set (npz, csv: the file; all rows of a csv are tested)");
  eval->add_option(
      "--set", options->sets,
      "KEY=VALUE of model.imperfect.*, model.mesh.chip.*, model.map or model.map_options: what the network stands on now; repeatable");
  eval->add_option("--threads", options->threads, "threads; 0: all cores")->check(CLI::Range(0, 1024));
  options->devices.one_each = true;
  add_device_options(*eval, options->devices);
  add_plugin_option(*eval, commands);
  eval->add_flag("--json", options->json, "print the result as JSON");
  add_examples(*eval, {{"ffzero eval runs/first", "on its own test set"},
                       {"ffzero eval runs/first --set model.imperfect.read_noise=0.01", "the same network on noisy readings"}});
  eval->callback([options, &commands] { commands.chosen = [options] { return run_eval(*options); }; });
}

}  // namespace ffzero::app
