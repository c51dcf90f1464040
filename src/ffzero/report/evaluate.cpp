// Inference with a trained network.
// SPDX-License-Identifier: MIT
#include "ffzero/report/evaluate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/metric/metric.hpp"
#include "ffzero/report/details.hpp"
#include "ffzero/settings/build_network.hpp"
#include "ffzero/train/layer_vote.hpp"
#include "ffzero/train/source.hpp"

namespace ffzero {

namespace {

DatasetInfo info_of(const LoadedRun& run) {
  DatasetInfo info;
  info.name = run.config.values().word("dataset.name");
  info.task = run.meta.at("task") == "regression" ? Task::regression : Task::classification;
  info.classes = info.task == Task::regression ? 0 : run.meta.at("classes").get<Index>();
  const auto& shape = run.meta.at("sample_shape");
  info.shape = {.channels = shape.at(0), .height = shape.at(1), .width = shape.at(2)};
  info.class_names = run.meta.at("class_names").get<std::vector<std::int32_t>>();
  info.class_texts = run.meta.value("class_texts", std::vector<std::string>());
  info.feature_names = run.meta.value("feature_names", std::vector<std::string>());
  info.output_names = run.meta.value("output_names", std::vector<std::string>());
  if (info.task == Task::regression) info.outputs = run.meta.at("classes").get<Index>();
  if (run.meta.contains("target_scales"))
    for (const auto& scale : run.meta["target_scales"]) info.target_scales.push_back({.offset = scale.at(0), .scale = scale.at(1)});
  if (info.outputs > 1 && info.target_scales.empty())
    throw DataError(run.place, "must hold a scale for each target", "none", "the file is damaged");
  info.target_scale = {.offset = run.meta.at("target_scale").at(0), .scale = run.meta.at("target_scale").at(1)};
  return info;
}

Network<float> build(const LoadedRun& run, const Encoder& encoder, std::shared_ptr<const Executor> executor) {
  try {
    auto network = build_network<float>(run.config, encoder.output_shape(), run.meta.at("classes").get<Index>(), std::move(executor));
    network.load(run.checkpoint, run.place);
    return network;
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

std::string kind_of(bool bytes) { return bytes ? "bytes" : "real numbers"; }

}  // namespace

TrainedNetwork TrainedNetwork::load(const std::filesystem::path& run, int threads, const DeviceAccess& devices) {
  return TrainedNetwork(load_run(run, devices), threads);
}

TrainedNetwork::TrainedNetwork(LoadedRun run, int threads)
    : run_(std::move(run)),
      executor_(std::make_shared<const Executor>(threads)),
      info_(info_of(run_)),
      bytes_(run_.meta.at("sample_type") == "bytes"),
      encoder_(restored_encoder(encoder_options(run_.config.values()), feature_scale(run_.config.values()), info_.shape, run_.checkpoint,
                                run_.place)),
      network_(build(run_, encoder_, executor_)) {
  find_voters();
}

void TrainedNetwork::find_voters() {
  const Values& v = run_.config.values();
  const bool end_to_end = v.is("objective.scope", "end_to_end");
  const Index size = layers_per_block(v, network_.layers());
  for (Index first = 0; first < network_.layers(); first += size) {
    const Index last = std::min(first + size, network_.layers());
    voters_.push_back({.name = end_to_end ? "all" : network_.layer(last - 1).name,
                       .last_layer = last - 1,
                       .parameters = isize(network_.theta(first, last).size())});
  }
  // Before the end of a run nothing has been chosen yet.
  deciding_ = run_.meta.value("deciding_layer", voters_.size() - 1);
  if (deciding_ >= voters_.size())
    throw DataError(run_.place, fmt::format("the layer that decides must be one of {}", voters_.size()), std::to_string(deciding_),
                    "the file is damaged");
}

std::string TrainedNetwork::vote_rule() const {
  const auto options = run_.config.vote();
  if (!options) return {};
  // Before the end of a run, validation has not chosen yet.
  return options->validated ? run_.meta.value("vote_rule", to_string(VoteRule::last)) : to_string(options->rule);
}

std::int32_t TrainedNetwork::class_name(std::int32_t k) const { return info_.class_names.empty() ? k : info_.class_names.at(usize(k)); }

Opinions TrainedNetwork::infer(const Dataset& samples, const std::string& place) const {
  if (samples.shape() != info_.shape)
    throw DataError(place, "samples must have the size that the network was trained on, " + to_string(info_.shape),
                    to_string(samples.shape()), "resize them or take another run");
  if (samples.is_bytes() != bytes_)
    throw DataError(place, "samples must be of the type that the network was trained on, " + kind_of(bytes_), kind_of(samples.is_bytes()),
                    "convert them");
  const Values& v = run_.config.values();
  const Index rows = evaluation_rows(v);
  const Index columns = network_.classes();
  const SampleSource<float> source(samples, encoder_, network_, *executor_, {});
  std::vector<Matrix<float>> summed;
  for (std::size_t i = 0; i < voters_.size(); ++i) summed.emplace_back(samples.size(), columns);
  Matrix<float> x;
  LayerOutput<float> out;
  for (Index first = 0; first < samples.size(); first += rows) {
    const Index count = std::min(rows, samples.size() - first);
    source.gather_range(first, count, 0, x);
    std::size_t voter = 0;
    for (Index i = 0; i < network_.layers(); ++i) {
      const bool speaks = voters_[voter].last_layer == i;
      network_.infer(i, x, speaks ? Wanted::both : Wanted::passed_on, out);
      if (speaks) summed[voter++].middleRows(first, count) = class_scores<float>(out.scores, columns);
      x.swap(out.passed_on);
    }
  }
  Opinions opinions;
  if (task() == Task::classification) {
    for (const auto& scores : summed) opinions.predictions.push_back(predict<float>(scores));
    opinions.decision = opinions.predictions.back();
    if (!vote_rule().empty())
      opinions.decision = layer_vote(*run_.config.vote(), parse_vote_rule(vote_rule()), std::span(summed).first(deciding_ + 1));
  }
  for (std::size_t i = 0; i < voters_.size(); ++i) {
    const Head<float>& head = network_.head_of(voters_[i].last_layer);
    summed[i] /= static_cast<float>(std::max<Index>(1, head.groups() * head.classes() / columns));
    opinions.scores.push_back(std::move(summed[i]));
  }
  return opinions;
}

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
  using json = nlohmann::ordered_json;
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
