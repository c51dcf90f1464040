// From maps to operations.
// SPDX-License-Identifier: MIT
#include "ffzero/export/network_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/front_end.hpp"
#include "ffzero/map/normalise.hpp"

namespace ffzero {

namespace {

using MatrixView = Eigen::Map<const Matrix<float>>;
using VectorView = Eigen::Map<const Vector<float>>;

AffineOperation affine_of(const Dense<float>& map, std::span<const float> theta) {
  const Index inputs = map.input_shape().size(), outputs = map.output_shape().size();
  return {.weight = MatrixView(theta.data(), outputs, inputs), .bias = VectorView(theta.data() + outputs * inputs, outputs)};
}

// (x - mean) on the axes.
AffineOperation affine_of(const FrontEnd<float>& map) {
  const Index inputs = map.input_shape().size(), outputs = map.output_shape().size();
  const std::span<const float> state = map.state();
  AffineOperation affine{.weight = MatrixView(state.data() + inputs, outputs, inputs), .bias = Vector<float>(outputs)};
  const VectorView mean(state.data(), inputs);
  affine.bias = -(affine.weight.cast<double>() * mean.cast<double>()).cast<float>();
  return affine;
}

ConvolutionOperation convolution_of(const ConvBatchNorm<float>& map, std::span<const float> theta) {
  const ConvOptions& o = map.options();
  const Index taps = o.input.channels * o.kernel * o.kernel, kernels = o.channels * taps;
  ConvolutionOperation conv{.kernel = o.kernel,
                            .stride = o.stride,
                            .padding = o.padding,
                            .weight = Matrix<float>(o.channels, taps),
                            .bias = Vector<float>(o.channels)};
  const std::span<const float> state = map.state();
  for (Index c = 0; c < o.channels; ++c) {
    const auto at = [](std::span<const float> values, Index i) { return static_cast<double>(values[usize(i)]); };
    const double scale = at(theta, kernels + c) / std::sqrt(at(state, o.channels + c) + o.epsilon);
    for (Index t = 0; t < taps; ++t) conv.weight(c, t) = static_cast<float>(scale * at(theta, c * taps + t));
    conv.bias[c] = static_cast<float>(at(theta, kernels + o.channels + c) - scale * at(state, c));
  }
  return conv;
}

ProjectionOperation projection_of(const ChannelProjection<float>& map) {
  const Shape maps = map.input_shape();
  const Index n = maps.height * maps.width, d = map.size();
  std::vector<float> by_position(usize(maps.channels * n * d));
  map.write_by_position(by_position);
  ProjectionOperation projection{.size = d, .matrices = Matrix<float>(maps.channels * d, n)};
  for (Index c = 0; c < maps.channels; ++c)
    for (Index p = 0; p < n; ++p)
      for (Index i = 0; i < d; ++i) projection.matrices(c * d + i, p) = by_position[usize((c * n + p) * d + i)];
  return projection;
}

[[noreturn]] void refuse(const std::string& layer, const std::string& kind) {
  throw ConfigError("export: " + layer, "must be made of dense or convolutional maps on exact numbers", kind,
                    "--format reference writes the meshes of a photonic run");
}

// Nothing for a map that changes nothing.
std::optional<Operation> operation_of(const ForwardMap<float>& map, std::span<const float> theta, const std::string& layer,
                                      const std::string& part) {
  Operation op{.name = layer + "." + part, .input = map.input_shape(), .output = map.output_shape(), .what = ReluOperation{}};
  if (const auto* dense = dynamic_cast<const Dense<float>*>(&map))
    op.what = affine_of(*dense, theta);
  else if (const auto* front = dynamic_cast<const FrontEnd<float>*>(&map))
    op.what = affine_of(*front);
  else if (const auto* conv = dynamic_cast<const ConvBatchNorm<float>*>(&map)) {
    if (conv->options().batchnorm == BatchnormMode::batch) refuse(layer, "a batch normalisation with the statistics of the batch at hand");
    op.what = convolution_of(*conv, theta);
  } else if (const auto* activation = dynamic_cast<const Activation<float>*>(&map)) {
    if (activation->function() == ActivationKind::none) return std::nullopt;
    if (activation->function() == ActivationKind::tanh) op.what = TanhOperation{};
  } else if (const auto* normalise = dynamic_cast<const Normalise<float>*>(&map)) {
    if (normalise->function() == NormaliseKind::none) return std::nullopt;
    op.what = LengthOperation{.groups = normalise->groups(), .centred = normalise->function() == NormaliseKind::centre_length};
  } else if (const auto* pool = dynamic_cast<const MaxPool<float>*>(&map)) {
    if (pool->size() == 0) return std::nullopt;
    op.what = MaxPoolOperation{.size = pool->size(), .stride = pool->stride()};
  } else if (const auto* cells = dynamic_cast<const CellAverage<float>*>(&map)) {
    if (cells->identity()) return std::nullopt;
    op.what = MeanPoolOperation{.rows = cells->rows(), .columns = cells->columns()};
  } else if (const auto* projection = dynamic_cast<const ChannelProjection<float>*>(&map)) {
    op.what = projection_of(*projection);
  } else {
    refuse(layer, "\"" + map.kind() + "\"");
  }
  return op;
}

Scoring scoring_of(const Network<float>& network, Index layer) {
  if (network.has_readout(layer)) {
    const Matrix<float>& readout = network.readout(layer);
    const Index d = readout.cols() - 1;
    return ReadoutScoring{.weight = readout.leftCols(d), .bias = readout.col(d)};
  }
  const Head<float>& head = network.head_of(layer);
  if (const auto* prototypes = dynamic_cast<const PrototypeHead<float>*>(&head)) {
    const std::span<const float> flat = prototypes->state();
    return PrototypeScoring{.groups = prototypes->groups(),
                            .classes = prototypes->classes(),
                            .floor = prototypes->floor(),
                            .prototypes = MatrixView(flat.data(), prototypes->groups() * prototypes->classes(), prototypes->dimension())};
  }
  if (dynamic_cast<const LogitsHead<float>*>(&head) == nullptr) refuse(network.layer(layer).name, "a head \"" + head.kind() + "\"");
  return OutputScoring{.classes = head.classes()};
}

GraphLayer layer_of(const Network<float>& network, Index i, bool has_a_say) {
  const Layer<float>& from = network.layer(i);
  GraphLayer layer;
  layer.name = from.name;
  const auto add = [&](std::vector<Operation>& to, const ForwardMap<float>& map, std::span<const float> theta, const std::string& part) {
    if (auto operation = operation_of(map, theta, from.name, part)) to.push_back(std::move(*operation));
  };
  if (const FrontEnd<float>* front = network.front(i)) add(layer.map, *front, {}, "front");
  add(layer.map, *from.map, network.theta(i, i + 1), "map");
  const bool whole = network.end_to_end() && i + 1 == network.layers();
  for (Index k = 0; k < isize(from.passed_on.size()); ++k) {
    if (!whole && k == from.loss_after) layer.scored_after = isize(layer.passed_on.size());
    add(layer.passed_on, *from.passed_on[usize(k)], {}, fmt::format("passed_on{}", k));
  }
  if (!whole && from.loss_after == isize(from.passed_on.size())) layer.scored_after = isize(layer.passed_on.size());
  if (!has_a_say) return layer;
  if (from.readout) layer.readout = operation_of(*from.readout, {}, from.name, "readout");
  layer.scoring = scoring_of(network, i);
  return layer;
}

std::vector<std::string> class_names(const DatasetInfo& info) {
  std::vector<std::string> names;
  for (Index k = 0; k < info.classes; ++k)
    names.push_back(!info.class_texts.empty()   ? info.class_texts.at(usize(k))
                    : !info.class_names.empty() ? std::to_string(info.class_names.at(usize(k)))
                                                : std::to_string(k));
  return names;
}

NpyArray array_of(std::vector<Index> shape, std::span<const float> values) {
  NpyArray array{.type = NpyArray::Type::f32, .shape = std::move(shape), .bytes = std::vector<std::byte>(values.size_bytes())};
  std::copy_n(std::as_bytes(values).data(), values.size_bytes(), array.bytes.data());
  return array;
}
NpyArray array_of(const Matrix<float>& m) { return array_of({m.rows(), m.cols()}, {m.data(), usize(m.size())}); }
NpyArray array_of(const Vector<float>& v) { return array_of({v.size()}, {v.data(), usize(v.size())}); }

void add_arrays(const Operation& op, NpzArchive& arrays) {
  if (const auto* affine = std::get_if<AffineOperation>(&op.what)) {
    arrays[op.name + ".weight"] = array_of(affine->weight);
    arrays[op.name + ".bias"] = array_of(affine->bias);
  } else if (const auto* conv = std::get_if<ConvolutionOperation>(&op.what)) {
    const Matrix<float>& w = conv->weight;
    arrays[op.name + ".weight"] = array_of({w.rows(), op.input.channels, conv->kernel, conv->kernel}, {w.data(), usize(w.size())});
    arrays[op.name + ".bias"] = array_of(conv->bias);
  } else if (const auto* projection = std::get_if<ProjectionOperation>(&op.what)) {
    arrays[op.name + ".matrices"] = array_of(projection->matrices);
  }
}

}  // namespace

NetworkGraph network_graph(const Predictor& predictor) {
  const Network<float>& network = predictor.network();
  const DatasetInfo& info = predictor.info();
  NetworkGraph graph{.raw = info.shape,
                     .bytes = predictor.takes_bytes(),
                     .encoder = predictor.encoder().options(),
                     .scale = predictor.encoder().scale(),
                     .input = predictor.encoder().output_shape(),
                     .layers = {},
                     .columns = network.classes(),
                     .task = info.task,
                     .targets = {},
                     .classes = {}};
  if (graph.encoder.optical_field != OpticalField::none)
    throw ConfigError("export", "samples must enter as real numbers", "an optical field",
                      "--format reference writes the meshes of a photonic run");
  const VoteOptions vote = predictor.vote().value_or(VoteOptions{});
  graph.rule = predictor.vote() ? predictor.rule() : VoteRule::last;
  graph.temperature = vote.temperature;
  const std::size_t deciding = predictor.deciding_voter();
  const Index end = predictor.voters().at(deciding).last_layer + 1;
  std::size_t voter = 0;
  for (Index i = 0; i < end; ++i) {
    const bool speaks = predictor.voters()[voter].last_layer == i;
    graph.layers.push_back(layer_of(network, i, speaks && (graph.rule != VoteRule::last || voter == deciding)));
    if (speaks) ++voter;
  }
  if (info.task == Task::classification) graph.classes = class_names(info);
  for (Index t = 0; info.task == Task::regression && t < graph.columns; ++t) graph.targets.push_back(info.scale_of(t));
  return graph;
}

InputWindow input_window(const NetworkGraph& graph) {
  const EncoderOptions& o = graph.encoder;
  const Shape& raw = graph.raw;
  InputWindow window{.shape = raw, .pool = {}};
  // Rows of features are never cut.
  if (raw.height <= 1) return window;
  if (o.crop > 0) {
    window.shape.height = std::min(o.crop, raw.height);
    window.shape.width = std::min(o.crop, raw.width);
    window.top = raw.height / 2 - window.shape.height / 2;
    window.left = raw.width / 2 - window.shape.width / 2;
  }
  if (o.downsample > 0) {
    const AdaptivePool<float> cells(window.shape, o.downsample, "dataset.downsample");
    window.pool = Operation{.name = "input",
                            .input = window.shape,
                            .output = graph.input,
                            .what = MeanPoolOperation{.rows = cells.rows(), .columns = cells.columns()}};
  }
  return window;
}

NpzArchive graph_arrays(const NetworkGraph& graph) {
  NpzArchive arrays;
  for (const GraphLayer& layer : graph.layers) {
    for (const Operation& op : layer.map) add_arrays(op, arrays);
    for (const Operation& op : layer.passed_on) add_arrays(op, arrays);
    if (layer.readout) add_arrays(*layer.readout, arrays);
    if (!layer.scoring) continue;
    if (const auto* prototypes = std::get_if<PrototypeScoring>(&*layer.scoring)) {
      const Matrix<float>& p = prototypes->prototypes;
      arrays[layer.name + ".prototypes"] = array_of({prototypes->groups, prototypes->classes, p.cols()}, {p.data(), usize(p.size())});
    } else if (const auto* readout = std::get_if<ReadoutScoring>(&*layer.scoring)) {
      arrays[layer.name + ".readout.weight"] = array_of(readout->weight);
      arrays[layer.name + ".readout.bias"] = array_of(readout->bias);
    }
  }
  if (!graph.scale.empty()) {
    const std::vector<float> offset(graph.scale.offset.begin(), graph.scale.offset.end());
    const std::vector<float> factor(graph.scale.factor.begin(), graph.scale.factor.end());
    arrays["features.offset"] = array_of({isize(offset.size())}, offset);
    arrays["features.factor"] = array_of({isize(factor.size())}, factor);
  }
  return arrays;
}

}  // namespace ffzero
