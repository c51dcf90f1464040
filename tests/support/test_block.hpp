// Small blocks for the tests of objectives and training: layers, heads, losses and parameters that live together.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/activation.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/normalise.hpp"
#include "ffzero/objective/layer.hpp"

namespace ffzero::test {

template <class S>
using LossMaker = std::unique_ptr<Loss<S>> (*)();

/// Everything that a Block points to. Fill `layers`, then call set_loss and draw_parameters.
template <class S>
struct TestBlock {
  std::vector<Layer<S>> layers;
  std::shared_ptr<Head<S>> head;  ///< null: that of the last layer
  std::shared_ptr<Loss<S>> loss;
  std::shared_ptr<Loss<double>> exact_loss;
  Reduction reduction = Reduction::mean;
  bool end_to_end = false;
  Index first_layer = 0;
  Vector<S> theta;

  [[nodiscard]] Block<S> view() const {
    Block<S> block;
    for (const auto& layer : layers) block.layers.push_back(&layer);
    block.head = head ? head.get() : layers.back().head.get();
    block.loss = loss.get();
    block.exact_loss = exact_loss.get();
    block.reduction = reduction;
    block.first_layer = first_layer;
    block.end_to_end = end_to_end;
    return block;
  }

  /// make: callable with a type tag, e.g. []<class T>(T) { return make_margin_loss<T>(); }
  template <class Make>
  TestBlock& set_loss(Make make, Reduction how) {
    loss = make(S{});
    exact_loss = make(double{});
    reduction = how;
    return *this;
  }

  TestBlock& draw_parameters(std::uint64_t seed) {
    theta.resize(view().parameter_count());
    Index at = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const Index count = layers[l].map->parameter_count();
      layers[l].map->initialise({theta.data() + at, usize(count)}, RandomStream(seed, Stream::initial, static_cast<std::uint32_t>(l)));
      at += count;
    }
    return *this;
  }
};

struct DenseOptions {
  Index groups = 1;
  ActivationKind activation = ActivationKind::none;
  NormaliseKind normalise = NormaliseKind::none;
  bool loss_after_all = false;  ///< the local loss looks behind activation and normalisation
  double dropout = 0.0;
  std::uint64_t seed = 1;
};

template <class S>
std::shared_ptr<PrototypeHead<S>> prototype_head(Index outputs, Index classes, Index groups, std::uint64_t seed, double floor = 0.0) {
  std::vector<Matrix<double>> prototypes;
  for (Index g = 0; g < groups; ++g)
    prototypes.push_back(
        simplex_prototypes(classes, outputs / groups, RandomStream(seed, Stream::prototype, static_cast<std::uint32_t>(g))));
  return std::make_shared<PrototypeHead<S>>(prototypes, floor);
}

/// A dense layer with its local head.
template <class S>
Layer<S> dense_layer(const Shape& input, Index width, Index classes, const DenseOptions& options = {}) {
  Layer<S> layer;
  layer.name = "dense";
  layer.map = std::make_shared<Dense<S>>(input, width, options.groups);
  const Shape shape = layer.map->output_shape();
  if (options.activation != ActivationKind::none) layer.passed_on.push_back(std::make_shared<Activation<S>>(shape, options.activation));
  if (options.normalise != NormaliseKind::none)
    layer.passed_on.push_back(std::make_shared<Normalise<S>>(shape, options.normalise, options.groups));
  layer.loss_after = options.loss_after_all ? isize(layer.passed_on.size()) : 0;
  layer.dropout = options.dropout;
  layer.head = prototype_head<S>(width, classes, options.groups, options.seed);
  return layer;
}

inline constexpr auto kMargin = []<class T>(T) -> std::unique_ptr<Loss<T>> { return make_margin_loss<T>(); };
inline constexpr auto kCosine = []<class T>(T) -> std::unique_ptr<Loss<T>> { return make_cosine_loss<T>(); };
inline constexpr auto kCrossEntropy = []<class T>(T) -> std::unique_ptr<Loss<T>> { return make_cross_entropy_loss<T>(0.2, 0.05); };
inline constexpr auto kLogitsCrossEntropy = []<class T>(T) -> std::unique_ptr<Loss<T>> { return make_cross_entropy_loss<T>(); };
inline constexpr auto kSquared = []<class T>(T) -> std::unique_ptr<Loss<T>> { return make_squared_loss<T>(); };

}  // namespace ffzero::test
