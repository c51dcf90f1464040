// One small block for every combination of map, tail, loss and head: what properties of objectives run over.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/gradient/directions.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "ffzero/objective/batch.hpp"
#include "support/property.hpp"
#include "support/test_block.hpp"

namespace ffzero::test {

/// A block with a batch for it. Inputs are bounded away from zero length; targets suit the loss.
template <class S>
struct Case {
  std::string name;
  TestBlock<S> block;
  Matrix<S> x;
  std::vector<std::int32_t> labels;
  std::vector<double> values;

  [[nodiscard]] Batch<S> batch() const {
    return {.x = x, .targets = {.labels = labels, .values = values}, .dropout = RandomStream(77, Stream::dropout, 0, 5)};
  }
  void draw(Index rows, Index classes, std::uint64_t seed) {
    const Index columns = block.layers.front().map->input_shape().size();
    x = normal_matrix<S>(rows, columns, seed);
    if (block.loss->joint()) {
      values.resize(usize(rows));
      RandomStream(seed, Stream::test, 2).fill_uniform(values);
      for (double& v : values) v = 2.0 * v - 1.0;
    } else {
      labels = random_labels(rows, classes, seed);
    }
    block.draw_parameters(seed);
  }
};

template <class S>
void set_named_loss(TestBlock<S>& block, const std::string& name, Reduction reduction) {
  if (name == "margin") block.set_loss(kMargin, reduction);
  if (name == "cosine") block.set_loss(kCosine, reduction);
  if (name == "cross_entropy") block.set_loss(kCrossEntropy, reduction);
  if (name == "squared") block.set_loss(kSquared, reduction);
}

/// Classes that go with a loss.
inline Index classes_of(const std::string& loss, Index classes) { return loss == "squared" ? 1 : classes; }

/// A dense layer 7 -> 12 with `options` and a local loss on 4 classes.
template <class S>
Case<S> dense_case(const std::string& loss, Reduction reduction, const DenseOptions& options, Index rows = 9) {
  Case<S> c;
  c.name = "dense " + loss + " groups " + std::to_string(options.groups) + " " + std::string(to_string(options.activation)) + " " +
           std::string(to_string(options.normalise)) + (options.loss_after_all ? " post" : " pre");
  const Index classes = classes_of(loss, 4);
  c.block.layers.push_back(dense_layer<S>({.width = 7}, 12, classes, options));
  set_named_loss(c.block, loss, reduction);
  c.draw(rows, classes, options.seed + 40);
  return c;
}

template <class S>
std::vector<Case<S>> dense_cases(Index rows = 9) {
  std::vector<Case<S>> all;
  for (const char* loss : {"margin", "cosine", "cross_entropy", "squared"})
    for (const Index groups : {1, 3})
      for (const ActivationKind activation : {ActivationKind::none, ActivationKind::relu, ActivationKind::tanh})
        for (const NormaliseKind normalise : {NormaliseKind::none, NormaliseKind::length, NormaliseKind::centre_length})
          for (const bool after : {false, true}) {
            if (!after && (activation != ActivationKind::none || normalise != NormaliseKind::none)) continue;
            all.push_back(dense_case<S>(loss, groups == 1 ? Reduction::mean : Reduction::sum,
                                        {.groups = groups, .activation = activation, .normalise = normalise, .loss_after_all = after},
                                        rows));
          }
  return all;
}

/// Convolution 2 x 7 x 6 -> 3 channels; the loss before or after ReLU and pooling.
template <class S>
Case<S> conv_case(const std::string& loss, bool after, std::shared_ptr<const Executor> executor = nullptr) {
  Case<S> c;
  c.name = "conv " + loss + (after ? " post" : " pre");
  const Index classes = classes_of(loss, 4);
  Layer<S> layer;
  layer.map =
      std::make_shared<ConvBatchNorm<S>>(ConvOptions{.input = {2, 7, 6}, .channels = 3, .kernel = 3, .padding = 1}, std::move(executor));
  const Shape maps = layer.map->output_shape();
  layer.passed_on.push_back(std::make_shared<Activation<S>>(maps, ActivationKind::relu));
  layer.passed_on.push_back(std::make_shared<MaxPool<S>>(maps, 2, 2));
  layer.loss_after = after ? 2 : 0;
  layer.readout = std::make_shared<ChannelProjection<S>>(after ? layer.output_shape() : maps, 5, RandomStream(3, Stream::projection));
  layer.head = prototype_head<S>(15, classes, 3, 8);
  c.block.layers.push_back(std::move(layer));
  set_named_loss(c.block, loss, loss == "squared" ? Reduction::mean : Reduction::sum);
  c.draw(8, classes, 51);
  return c;
}

/// A mesh on 6 waveguides; the loss on the powers before or after the nonlinearity.
template <class S>
Case<S> mesh_case(const std::string& loss, bool after, std::shared_ptr<const Executor> executor = nullptr) {
  Case<S> c;
  c.name = "mesh " + loss + (after ? " post" : " pre");
  const Index classes = classes_of(loss, 4);
  Layer<S> layer;
  layer.map = std::make_shared<InterferometerMesh<S>>(MeshLayout(6), std::move(executor));
  layer.passed_on.push_back(std::make_shared<ElectroOptic<S>>(6));
  layer.loss_after = after ? 1 : 0;
  layer.readout = std::make_shared<Intensity<S>>(6);
  layer.head = prototype_head<S>(6, classes, 1, 8, 1e-6);
  c.block.layers.push_back(std::move(layer));
  set_named_loss(c.block, loss, Reduction::mean);
  c.draw(7, classes, 52);
  return c;
}

/// Two dense layers with dropout between them on one local loss (scope grouped), or end to end on raw outputs.
template <class S>
Case<S> deep_case(bool end_to_end) {
  Case<S> c;
  c.name = end_to_end ? "end to end" : "grouped";
  const DenseOptions options{
      .activation = ActivationKind::tanh, .normalise = NormaliseKind::centre_length, .loss_after_all = true, .dropout = 0.3};
  c.block.layers.push_back(dense_layer<S>({.width = 7}, 12, 4, options));
  c.block.layers.push_back(dense_layer<S>({.width = 12}, 8, 4, options));
  c.block.end_to_end = end_to_end;
  if (end_to_end) c.block.head = std::make_shared<LogitsHead<S>>(8, 4);
  c.block.set_loss(kCrossEntropy, Reduction::mean);
  c.draw(9, 4, 53);
  return c;
}

/// Convolution with its norm held fixed, then a dense layer, end to end.
template <class S>
Case<S> conv_network_case() {
  Case<S> c;
  c.name = "conv network end to end";
  Layer<S> layer;
  layer.map = std::make_shared<ConvBatchNorm<S>>(ConvOptions{.input = {1, 6, 6}, .channels = 2, .kernel = 3, .train_batchnorm = false});
  layer.passed_on.push_back(std::make_shared<Activation<S>>(layer.map->output_shape(), ActivationKind::relu));
  layer.passed_on.push_back(std::make_shared<MaxPool<S>>(layer.map->output_shape(), 2, 2));
  layer.dropout = 0.2;
  const Shape passed = layer.output_shape();
  c.block.layers.push_back(std::move(layer));
  c.block.layers.push_back(dense_layer<S>(passed, 5, 4));
  c.block.head = std::make_shared<LogitsHead<S>>(5, 4);
  c.block.end_to_end = true;
  c.block.set_loss(kLogitsCrossEntropy, Reduction::mean);
  c.draw(6, 4, 54);
  return c;
}

/// Two meshes with light between them, end to end on powers.
template <class S>
Case<S> mesh_network_case() {
  Case<S> c;
  c.name = "mesh network end to end";
  for (int l = 0; l < 2; ++l) {
    Layer<S> layer;
    layer.map = std::make_shared<InterferometerMesh<S>>(MeshLayout(5));
    if (l == 0) layer.passed_on.push_back(std::make_shared<ElectroOptic<S>>(5));
    layer.readout = std::make_shared<Intensity<S>>(5);
    c.block.layers.push_back(std::move(layer));
  }
  c.block.head = std::make_shared<LogitsHead<S>>(5, 4);
  c.block.end_to_end = true;
  c.block.set_loss(kLogitsCrossEntropy, Reduction::mean);
  c.draw(6, 4, 55);
  return c;
}

template <class S>
std::vector<Case<S>> all_cases() {
  std::vector<Case<S>> all = dense_cases<S>();
  for (const bool after : {false, true})
    for (const char* loss : {"margin", "cross_entropy", "squared"}) {
      all.push_back(conv_case<S>(loss, after));
      all.push_back(mesh_case<S>(loss, after));
    }
  all.push_back(deep_case<S>(false));
  all.push_back(deep_case<S>(true));
  all.push_back(conv_network_case<S>());
  all.push_back(mesh_network_case<S>());
  return all;
}

/// m directions as a training step draws them.
template <class S>
Matrix<S> directions_for(const ParameterLayout& layout, Index m, Index dimension, std::uint64_t seed) {
  Matrix<S> out(m, dimension);
  fill_directions<S>(layout, Distribution::gaussian, RandomStream(seed, Stream::direction), Executor(1), out);
  return out;
}

}  // namespace ffzero::test
