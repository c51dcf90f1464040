// ffzero eval
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/evaluate.hpp"
#include "ffzero/settings/configured.hpp"

namespace ffzero::app {

namespace {

struct EvalOptions {
  std::string run, dataset, data_dir;
  int threads = 0;
  bool json = false;
  DeviceAccess devices;
};

Splits splits_of(const EvalOptions& options, const TrainedNetwork& network) {
  DatasetOptions wanted = dataset_options(network.config().values());
  if (!options.dataset.empty() && options.dataset != wanted.name) {
    wanted.name = options.dataset;
    wanted.dir.clear();
  }
  if (!options.data_dir.empty()) wanted.dir = options.data_dir;
  if (wanted.dir.empty()) wanted.dir = cache_dir();
  wanted.validation = 0;
  return load_dataset(wanted);
}

void print_confusion(const Evaluation& result, const TrainedNetwork& network) {
  std::string longest = fmt::format("{}", result.confusion.maxCoeff());
  const auto name = [&](Index k) { return fmt::format("{}", network.class_name(static_cast<std::int32_t>(k))); };
  for (Index k = 0; k < result.confusion.rows(); ++k)
    longest = std::max(longest, name(k), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const std::size_t width = longest.size() + 2;
  fmt::print("\nconfusion matrix (row: true class, column: decision)\n{:>8}", "");
  for (Index k = 0; k < result.confusion.cols(); ++k) fmt::print("{:>{}}", name(k), width);
  fmt::print("\n");
  for (Index k = 0; k < result.confusion.rows(); ++k) {
    fmt::print("{:>8}", name(k));
    for (Index j = 0; j < result.confusion.cols(); ++j) fmt::print("{:>{}}", result.confusion(k, j), width);
    fmt::print("\n");
  }
}

void print_table(const Evaluation& result, const TrainedNetwork& network) {
  fmt::print("{}: {} test samples\n\n{:<12} {:>11}  {}\n", result.dataset, result.samples, "layer", "parameters", result.metric);
  for (std::size_t i = 0; i < result.layers.size(); ++i)
    fmt::print("{:<12} {:>11}  {:.4f}\n", network.voters()[i].name, network.voters()[i].parameters, result.layers[i]);
  if (result.vote) fmt::print("{:<12} {:>11}  {:.4f}\n", "vote", network.vote_rule(), *result.vote);
  if (result.confusion.rows() > 0) print_confusion(result, network);
}

int run_eval(const EvalOptions& options) {
  const TrainedNetwork network = TrainedNetwork::load(options.run, options.threads, options.devices);
  const Splits splits = splits_of(options, network);
  const Evaluation result = evaluate(network, splits.test, splits.test.name());
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
  eval->add_option("--data-dir", options->data_dir, "folder with the data set (npz: the file)");
  eval->add_option("--threads", options->threads, "threads; 0: all cores")->check(CLI::Range(0, 1024));
  add_device_options(*eval, options->devices);
  eval->add_flag("--json", options->json, "print the result as JSON");
  eval->callback([options, &commands] { commands.chosen = [options] { return run_eval(*options); }; });
}

}  // namespace ffzero::app
