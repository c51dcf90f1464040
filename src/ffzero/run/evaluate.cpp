// Inference with a trained network.
// SPDX-License-Identifier: MIT
#include "ffzero/run/evaluate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/metric/metric.hpp"
#include "ffzero/run/details.hpp"
#include "ffzero/settings/build_network.hpp"

namespace ffzero {

namespace {

using json = nlohmann::ordered_json;

Predictor predictor_of(LoadedRun& run, int threads) {
  auto executor = std::make_shared<const Executor>(threads);
  run.state.data.name = run.config.values().word("dataset.name");
  try {
    const Shape encoded = Encoder(encoder_options(run.config.values()), run.state.data.shape).output_shape();
    Network<float> network = build_network<float>(run.config, encoded, run.state.classes, executor);
    run.state.prediction = prediction_plan(run.config.plan(network.layers()));
    return {std::move(network), run.state, run.place, std::move(executor)};
  } catch (const Error& e) {
    // A shape that does not fit is a defect of the caller elsewhere; here it was read.
    if (e.kind() != ErrorKind::config && e.kind() != ErrorKind::defect) throw;
    throw DataError(run.place, "must hold a network that this version can build", e.what(), "use the version that wrote it");
  }
}

// The first classes, by name.
std::string names_of(const DatasetInfo& info) {
  constexpr Index kMost = 4;
  std::string names;
  for (Index k = 0; k < std::min(info.classes, kMost); ++k) names += (k > 0 ? ", " : "") + class_title(info, k);
  return info.classes > kMost ? names + ", .." : names;
}

}  // namespace

TrainedNetwork TrainedNetwork::load(const std::filesystem::path& run, int threads, const DeviceAccess& devices) {
  return TrainedNetwork(load_run(run, devices), threads);
}

TrainedNetwork::TrainedNetwork(LoadedRun run, int threads) : run_(std::move(run)), predictor_(predictor_of(run_, threads)) {}

std::int32_t TrainedNetwork::class_name(std::int32_t k) const { return info().class_names.empty() ? k : info().class_names.at(usize(k)); }

Matrix<float> joint_scores(const TrainedNetwork& network, const Opinions& opinions) {
  if (network.vote_rule().empty() || network.vote_rule() == "last") return opinions.scores[network.deciding_voter()];
  Matrix<float> sum = opinions.scores.front();
  for (std::size_t i = 1; i < opinions.scores.size(); ++i) sum += opinions.scores[i];
  return sum / static_cast<float>(opinions.scores.size());
}

bool gives_similarities(const TrainedNetwork& network) { return !network.config().values().is("objective.scope", "end_to_end"); }

Evaluation evaluate(const TrainedNetwork& network, const Dataset& data, const std::string& place) {
  if (data.task() != network.task())
    throw DataError(place, "must be for " + to_string(network.task()) + " as the training was", to_string(data.task()),
                    "choose another data set");
  if (data.outputs() != network.info().outputs)
    throw DataError(place, fmt::format("must have the {} targets of the training", network.info().outputs), std::to_string(data.outputs()),
                    "choose another data set");
  if (data.task() == Task::classification && data.classes() != network.info().classes)
    throw DataError(place, fmt::format("must have the {} classes of the training", network.info().classes), std::to_string(data.classes()),
                    "choose another data set");
  if (data.info().class_texts != network.info().class_texts && data.task() == Task::classification)
    throw DataError(place, "must have classes of the same names as the training",
                    names_of(data.info()) + " for " + names_of(network.info()), "choose another data set");
  const Opinions opinions = network.infer(data, place);
  Evaluation result;
  result.dataset = data.name();
  result.samples = data.size();
  result.metric = data.task() == Task::regression ? "r2" : "accuracy";
  if (data.task() == Task::regression) {
    const Index outputs = network.info().outputs;
    for (const auto& scores : opinions.scores) {
      // Targets are compared in the units of the user: each data set has a scale of its own.
      std::vector<double> each;
      for (Index t = 0; t < outputs; ++t) {
        std::vector<double> predicted, wanted;
        for (Index i = 0; i < data.size(); ++i) {
          predicted.push_back(network.info().scale_of(t).original(scores(i, t)));
          wanted.push_back(data.info().scale_of(t).original(data.targets()[usize(i * outputs + t)]));
        }
        each.push_back(r_squared(predicted, wanted));
      }
      result.layers.push_back(std::accumulate(each.begin(), each.end(), 0.0) / static_cast<double>(outputs));
      if (result.layers.size() == network.deciding_voter() + 1) result.outputs = std::move(each);
    }
    result.final_value = result.layers[network.deciding_voter()];
    return result;
  }
  for (const auto& predictions : opinions.predictions) result.layers.push_back(accuracy(predictions, data.labels()));
  ConfusionMatrix confusion(data.classes());
  confusion.add(opinions.decision, data.labels());
  result.confusion = confusion.counts();
  result.final_value = accuracy(opinions.decision, data.labels());
  if (!network.vote_rule().empty()) result.vote = result.final_value;
  return result;
}

nlohmann::ordered_json to_json(const Evaluation& evaluation, const TrainedNetwork& network) {
  json layers = json::array(), confusion = json::array(), classes = json::array();
  for (std::size_t i = 0; i < evaluation.layers.size(); ++i)
    layers.push_back({{"name", network.voters()[i].name}, {"parameters", network.voters()[i].parameters}, {"value", evaluation.layers[i]}});
  for (Index k = 0; k < evaluation.confusion.rows(); ++k) {
    classes.push_back(class_label(network.info(), k));
    json row = json::array();
    for (Index j = 0; j < evaluation.confusion.cols(); ++j) row.push_back(evaluation.confusion(k, j));
    confusion.push_back(std::move(row));
  }
  json vote = nullptr;
  if (evaluation.vote) vote = {{"rule", network.vote_rule()}, {"value", *evaluation.vote}};
  json result = {
      {"dataset", evaluation.dataset},   {"metric", evaluation.metric}, {"samples", evaluation.samples}, {"layers", layers}, {"vote", vote},
      {"final", evaluation.final_value}, {"classes", classes},          {"confusion", confusion}};
  if (evaluation.confusion.rows() > 0) {
    result["balanced_accuracy"] = balanced_accuracy(evaluation.confusion);
    result["recall"] = json::array();
    for (const auto& recall : recalls_of(evaluation.confusion)) result["recall"].push_back(recall ? json(*recall) : json(nullptr));
  }
  if (evaluation.outputs.size() > 1) result["outputs"] = outputs_json(evaluation.outputs, network.info());
  return result;
}

}  // namespace ffzero
