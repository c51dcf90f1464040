// Inference with a trained network.
// SPDX-License-Identifier: MIT
#include "ffzero/train/predictor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/train/layer_vote.hpp"
#include "ffzero/train/source.hpp"

namespace ffzero {

namespace {

constexpr const char* kPlace = "Predictor::predict";

std::string kind_of(bool bytes) { return bytes ? "bytes" : "real numbers"; }

Network<float> loaded(Network<float> network, const TrainerState& state, const std::string& place) {
  if (network.classes() != state.classes)
    throw DataError(place, fmt::format("must be of a network with heads for {} classes", network.classes()), std::to_string(state.classes),
                    "make the layers of the training again");
  network.load(state.arrays, place);
  return network;
}

// No labels: none are looked at.
template <class T>
Dataset unlabelled(const DatasetInfo& info, std::vector<T> samples, Index count) {
  if (info.task == Task::classification) return {info, std::move(samples), std::vector<std::int32_t>(usize(count))};
  return {info, std::move(samples), std::vector<float>(usize(count * info.outputs))};
}

}  // namespace

Predictor::Predictor(Network<float> layers, const TrainerState& state, const std::string& place, std::shared_ptr<const Executor> executor)
    : executor_(executor ? std::move(executor) : std::make_shared<const Executor>()),
      info_(state.data),
      bytes_(state.bytes),
      encoder_(restored_encoder(state.prediction.encoder, state.prediction.scale, state.data.shape, state.arrays, place)),
      network_(loaded(std::move(layers), state, place)),
      vote_(state.prediction.vote),
      evaluation_rows_(state.prediction.evaluation_rows) {
  if (encoder_.output_shape().size() != network_.input_shape().size())
    throw DataError(place, "must be of a network that takes samples of " + to_string(network_.input_shape()),
                    to_string(encoder_.output_shape()), "make the layers of the training again");
  // Before the end of a run, validation has not chosen yet.
  if (vote_) rule_ = vote_->validated ? state.vote_rule.value_or(VoteRule::last) : vote_->rule;
  find_voters(state.prediction, place);
  deciding_ = state.deciding_voter.value_or(voters_.size() - 1);
  if (deciding_ >= voters_.size())
    throw DataError(place, fmt::format("the layer that decides must be one of {}", voters_.size()), std::to_string(deciding_),
                    "the file is damaged");
}

void Predictor::find_voters(const PredictionPlan& plan, const std::string& place) {
  Index first = 0;
  for (const Index last : plan.last_layers) {
    if (last < first || last >= network_.layers()) break;
    voters_.push_back({.name = plan.end_to_end ? "all" : network_.layer(last).name,
                       .last_layer = last,
                       .parameters = isize(network_.theta(first, last + 1).size())});
    first = last + 1;
  }
  if (first != network_.layers() || voters_.size() != plan.last_layers.size() || plan.end_to_end != network_.end_to_end())
    throw DataError(place, fmt::format("must say how {} layers decide", network_.layers()),
                    fmt::format("{} voters", plan.last_layers.size()), "make the layers of the training again");
}

std::string Predictor::vote_rule() const { return vote_ ? to_string(rule_) : std::string(); }

Opinions Predictor::predict(const ConstMatrixRef<float>& samples) const {
  if (samples.cols() != info_.shape.size())
    throw DataError(kPlace, fmt::format("samples must have the {} numbers that the network was trained on", info_.shape.size()),
                    std::to_string(samples.cols()), "give one row a sample");
  const std::span<const float> values(samples.data(), usize(samples.size()));
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
    throw DataError(kPlace, "samples must be finite", "one that is not", "leave it out");
  if (!bytes_) return predict(unlabelled(info_, std::vector<float>(values.begin(), values.end()), samples.rows()), kPlace);
  std::vector<std::uint8_t> pixels;
  pixels.reserve(values.size());
  for (const float v : values) {
    if (!(v >= 0.0F && v <= 255.0F) || v != std::floor(v))
      throw DataError(kPlace, "pixels must be whole numbers 0 .. 255", fmt::format("{:g}", v), "give them as the train set had them");
    pixels.push_back(static_cast<std::uint8_t>(v));
  }
  return predict(unlabelled(info_, std::move(pixels), samples.rows()), kPlace);
}

Opinions Predictor::predict(const Dataset& samples, const std::string& place) const {
  if (samples.shape() != info_.shape)
    throw DataError(place, "samples must have the size that the network was trained on, " + to_string(info_.shape),
                    to_string(samples.shape()), "resize them or take another run");
  if (samples.is_bytes() != bytes_)
    throw DataError(place, "samples must be of the type that the network was trained on, " + kind_of(bytes_), kind_of(samples.is_bytes()),
                    "convert them");
  const Index columns = network_.classes();
  const SampleSource<float> source(samples, encoder_, network_, *executor_, {});
  std::vector<Matrix<float>> summed;
  for (std::size_t i = 0; i < voters_.size(); ++i) summed.emplace_back(samples.size(), columns);
  Matrix<float> x;
  LayerOutput<float> out;
  for (Index first = 0; first < samples.size(); first += evaluation_rows_) {
    const Index count = std::min(evaluation_rows_, samples.size() - first);
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
    for (const auto& scores : summed) opinions.predictions.push_back(ffzero::predict<float>(scores));
    opinions.decision = vote_ ? layer_vote(*vote_, rule_, std::span(summed).first(deciding_ + 1)) : opinions.predictions.back();
  }
  for (std::size_t i = 0; i < voters_.size(); ++i) {
    const Head<float>& head = network_.head_of(voters_[i].last_layer);
    summed[i] /= static_cast<float>(std::max<Index>(1, head.groups() * head.classes() / columns));
    opinions.scores.push_back(std::move(summed[i]));
  }
  return opinions;
}

Matrix<double> Predictor::values(const Opinions& opinions) const {
  if (task() != Task::regression) return {};
  const Matrix<float>& scores = opinions.scores.at(deciding_);
  Matrix<double> values(scores.rows(), scores.cols());
  for (Index t = 0; t < scores.cols(); ++t)
    for (Index i = 0; i < scores.rows(); ++i) values(i, t) = info_.scale_of(t).original(static_cast<double>(scores(i, t)));
  return values;
}

}  // namespace ffzero
