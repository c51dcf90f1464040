// ffzero predict
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "command.hpp"
#include "ffzero/run/details.hpp"
#include "ffzero/run/evaluate.hpp"

namespace ffzero::app {

namespace {

using json = nlohmann::ordered_json;

struct PredictOptions {
  std::string run;
  std::vector<std::string> files;
  int top = 3;
  bool json = false;
  DeviceAccess devices;
};

json row_of(const Matrix<float>& scores, Index i) {
  json row = json::array();
  for (Index k = 0; k < scores.cols(); ++k) row.push_back(scores(i, k));
  return row;
}

json sample_json(const TrainedNetwork& network, const Opinions& opinions, const Matrix<float>& joint, const std::string& file, Index i) {
  json sample = {{"file", file}, {"index", i}};
  if (network.task() == Task::regression) {
    if (network.info().outputs == 1) {
      sample["value"] = network.info().target_scale.original(joint(i, 0));
    } else {
      sample["values"] = json::array();
      for (Index t = 0; t < joint.cols(); ++t) sample["values"].push_back(network.info().scale_of(t).original(joint(i, t)));
    }
    return sample;
  }
  const char* const scores = gives_similarities(network) ? "similarities" : "scores";
  sample["class"] = class_label(network.info(), opinions.decision[usize(i)]);
  sample[scores] = row_of(joint, i);
  json layers = json::array();
  for (std::size_t v = 0; v < opinions.scores.size(); ++v)
    layers.push_back({{"name", network.voters()[v].name},
                      {"class", class_label(network.info(), opinions.predictions[v][usize(i)])},
                      {scores, row_of(opinions.scores[v], i)}});
  sample["layers"] = std::move(layers);
  return sample;
}

void print_sample(const TrainedNetwork& network, const Opinions& opinions, const Matrix<float>& joint, const std::string& name, Index i,
                  Index top) {
  if (network.task() == Task::regression) {
    fmt::print("{} ", name);
    for (Index t = 0; t < joint.cols(); ++t) fmt::print(" {:.6g}", network.info().scale_of(t).original(joint(i, t)));
    fmt::print("\n");
    return;
  }
  std::vector<std::int32_t> order(usize(joint.cols()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return joint(i, a) > joint(i, b); });
  // The decision comes first, even where the vote went against the mean similarity.
  const std::int32_t decision = opinions.decision[usize(i)];
  std::stable_partition(order.begin(), order.end(), [&](std::int32_t k) { return k == decision; });
  fmt::print("{}  class {}  ({}", name, class_title(network.info(), decision), gives_similarities(network) ? "similarity" : "score");
  for (Index k = 0; k < std::min(top, joint.cols()); ++k)
    fmt::print("{} {}: {:.3f}", k == 0 ? "" : ",", class_title(network.info(), order[usize(k)]), joint(i, order[usize(k)]));
  fmt::print(")\n");
}

int run_predict(const PredictOptions& options) {
  const TrainedNetwork network = TrainedNetwork::load(options.run, 0, options.devices);
  json all = json::array();
  // All files are read before anything is printed, so that a wrong one leaves no half answer.
  std::vector<Dataset> sets;
  std::vector<Opinions> opinions;
  for (const auto& file : options.files) {
    sets.push_back(read_samples(file, network));
    opinions.push_back(network.infer(sets.back(), file));
  }
  for (std::size_t f = 0; f < sets.size(); ++f) {
    const Matrix<float> joint = joint_scores(network, opinions[f]);
    for (Index i = 0; i < sets[f].size(); ++i) {
      const std::string name = sets[f].size() == 1 ? options.files[f] : fmt::format("{}[{}]", options.files[f], i);
      if (options.json)
        all.push_back(sample_json(network, opinions[f], joint, options.files[f], i));
      else
        print_sample(network, opinions[f], joint, name, i, options.top);
    }
  }
  if (options.json) fmt::print("{}\n", all.dump(2));
  return kDone;
}

}  // namespace

void add_predict(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* predict = app.add_subcommand(
      "predict", "Classify samples: pictures (PGM, PPM, PNG), IDX images, an npz with the array x (or x_test), or a csv");
  predict->add_option("run", options->run, "run folder or checkpoint file")->required();
  predict->add_option("files", options->files, "files with samples of the size that the network was trained on")->required();
  predict->add_option("--top", options->top, "how many similarities to print, largest first")
      ->check(CLI::Range(1, 1000000))
      ->default_val(3);
  options->devices.one_each = true;
  add_device_options(*predict, options->devices);
  add_plugin_option(*predict, commands);
  predict->add_flag("--json", options->json, "print all similarities, of every layer, as JSON");
  add_examples(*predict, {{"ffzero predict runs/first digit.png", "one picture"},
                          {"ffzero predict runs/first samples.npz --json", "every similarity of every layer"}});
  predict->callback([options, &commands] { commands.chosen = [options] { return run_predict(*options); }; });
}

}  // namespace ffzero::app
