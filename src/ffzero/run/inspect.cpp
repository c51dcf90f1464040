// What a run folder says about itself.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "ffzero/base/input_file.hpp"
#include "ffzero/checkpoint/record_json.hpp"
#include "ffzero/run/evaluate.hpp"

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
json results_of(const TrainerState& state) {
  json results = json::array();
  const std::vector<EpochRecord>& records = state.records;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (i + 1 < records.size() && records[i + 1].layer == records[i].layer) continue;
    const auto value = [](const std::optional<Measure>& m) { return m ? json(m->value) : json(nullptr); };
    results.push_back({{"layer", records[i].layer},
                       {"epoch", records[i].epoch},
                       {"loss", records[i].training_loss},
                       {"train", value(records[i].train)},
                       {"test", value(records[i].test)}});
  }
  return results;
}

json evaluations_of(const TrainerState& state) {
  const Evaluations sum = state.ledger.total();
  return {{"training", sum.training},   {"propagation", sum.propagation}, {"logging", sum.logging}, {"replayed", sum.replayed},
          {"pullbacks", sum.pullbacks}, {"checks", sum.checks},           {"failed", sum.failed}};
}

json position_of(const TrainedNetwork& trained) {
  const TrainerState& state = trained.state();
  json position = {{"blocks_done", state.block}, {"blocks", trained.voters().size()}};
  if (state.block < trained.voters().size()) {
    const Values v = trained.config().layer_values(state.block == 0 ? 0 : trained.voters()[state.block - 1].last_layer + 1);
    const Index batch = v.integer("training.batch_size");
    position["layer"] = trained.voters()[state.block].name;
    position["epochs_done"] = state.epoch;
    position["epochs"] = v.integer("training.epochs");
    position["steps_done"] = state.step;
    position["steps"] = divide_up(state.train_size, batch);
  }
  return position;
}

// Those of the last checkpoint, which keeps no names of layers; an empty list for a run without devices.
json devices_of(const TrainedNetwork& trained) {
  std::vector<InstrumentRecord> records = trained.state().instruments;
  for (InstrumentRecord& record : records)
    if (record.layer < trained.network().layers()) record.name = trained.network().layer(record.layer).name;
  return devices_json(records);
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
          {"results", results_of(trained.state())},
          {"forward_evals", evaluations_of(trained.state())},
          {"elapsed_s", trained.state().elapsed_s},
          {"position", position_of(trained)},
          {"devices", devices_of(trained)},
          {"skipped", {{"steps", trained.state().skipped.steps}, {"directions", trained.state().skipped.directions}}}};
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
