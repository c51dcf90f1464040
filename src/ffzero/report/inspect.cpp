// What a run folder says about itself.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "ffzero/base/input_file.hpp"
#include "ffzero/report/evaluate.hpp"

namespace ffzero {

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

double norm(std::span<const float> values) {
  double squared = 0.0;
  for (const float v : values) squared += static_cast<double>(v) * v;
  return std::sqrt(squared);
}

json layers_of(const TrainedNetwork& trained) {
  json layers = json::array();
  const Network<float>& network = trained.network();
  for (Index i = 0; i < network.layers(); ++i) {
    const Layer<float>& layer = network.layer(i);
    const auto theta = network.theta(i, i + 1);
    json entry = {{"name", layer.name},
                  {"input", to_string(layer.map->input_shape())},
                  {"output", to_string(layer.output_shape())},
                  {"parameters", theta.size()},
                  {"norm", norm(theta)}};
    if (network.front(i) != nullptr) entry[network.front(i)->kind()] = network.front(i)->output_shape().size();
    layers.push_back(std::move(entry));
  }
  return layers;
}

// The last record of every block that has one.
json results_of(const nlohmann::json& meta) {
  json results = json::array();
  const auto& records = meta.at("records");
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (i + 1 < records.size() && records[i + 1].at("layer") == records[i].at("layer")) continue;
    const auto value = [&](const char* split) { return records[i].at(split).is_null() ? json(nullptr) : json(records[i].at(split).at(0)); };
    results.push_back({{"layer", records[i].at("layer")},
                       {"epoch", records[i].at("epoch")},
                       {"loss", records[i].at("loss")},
                       {"train", value("train")},
                       {"test", value("test")}});
  }
  return results;
}

json evaluations_of(const nlohmann::json& meta) {
  json sums = json::object();
  const char* const names[] = {"training", "propagation", "logging", "replayed", "pullbacks", "checks"};
  for (std::size_t k = 0; k < 6; ++k) {
    std::int64_t sum = 0;
    for (const auto& layer : meta.at("ledger")) sum += k < layer.size() ? layer.at(k).get<std::int64_t>() : 0;
    sums[names[k]] = sum;
  }
  return sums;
}

json position_of(const TrainedNetwork& trained) {
  const auto& meta = trained.meta();
  const auto block = meta.at("block").get<std::size_t>();
  json position = {{"blocks_done", block}, {"blocks", trained.voters().size()}};
  if (block < trained.voters().size()) {
    const Values v = trained.config().layer_values(block == 0 ? 0 : trained.voters()[block - 1].last_layer + 1);
    const Index batch = v.integer("training.batch_size"), samples = meta.at("train_size").get<Index>();
    position["layer"] = trained.voters()[block].name;
    position["epochs_done"] = meta.at("epoch");
    position["epochs"] = v.integer("training.epochs");
    position["steps_done"] = meta.at("step");
    position["steps"] = (samples + batch - 1) / batch;
  }
  return position;
}

json summary_of(const fs::path& run) {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 30;
  const FileContent content = read_regular_file(run / "summary.json", kLongest);
  const json summary = content.ok() ? json::parse(content.bytes, nullptr, false) : json(nullptr);
  return summary.is_object() ? summary : json(nullptr);
}

}  // namespace

json inspect_network(const TrainedNetwork& trained) {
  const Values& v = trained.config().values();
  return {{"solver", trained.config().solver()},
          {"dataset", v.word("dataset.name")},
          {"task", to_string(trained.task())},
          {"classes", trained.info().classes},
          {"sample_shape", to_string(trained.info().shape)},
          {"model", v.word("model.kind")},
          {"preset", v.word("preset")},
          {"estimator", v.word("gradient.estimator")},
          {"seed", v.integer("seed")},
          {"layers", layers_of(trained)},
          {"results", results_of(trained.meta())},
          {"forward_evals", evaluations_of(trained.meta())},
          {"elapsed_s", trained.meta().at("elapsed_s")},
          {"position", position_of(trained)}};
}

json inspect_run(const fs::path& run) {
  const json summary = summary_of(run);
  const bool finished = !summary.is_null();
  json all = {{"run", run.string()}};
  all.update(inspect_network(TrainedNetwork::load(run, 1, {.addresses = {}, .trusted = false, .stand_ins = true})));
  all.update(
      {{"finished", finished}, {"go_on", finished ? json(nullptr) : json("ffzero train --resume " + run.string())}, {"summary", summary}});
  return all;
}

}  // namespace ffzero
