// Blocks from a configuration.
// SPDX-License-Identifier: MIT
#include "ffzero/train/block_setup.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

template <class T>
std::unique_ptr<Loss<T>> make_loss(const Values& v) {
  const std::string name = v.word("objective.loss");
  if (name == "margin") return make_margin_loss<T>(v.number("objective.margin"));
  if (name == "cosine") return make_cosine_loss<T>();
  if (name == "squared") return make_squared_loss<T>();
  // Raw outputs of an end-to-end network are scores already; similarities and shares of light are bounded and need a temperature.
  const bool scores = v.is("objective.scope", "end_to_end") && !v.is("model.kind", "photonic");
  const double temperature = scores ? 1.0 : v.number("objective.temperature");
  if (name == "n_pair") return make_n_pair_loss<T>(temperature, v.number("objective.margin"));
  return make_cross_entropy_loss<T>(temperature, v.number("objective.smoothing"));
}

template <class S>
BlockSetup<S> make_block_setup(const Config& config, const Network<S>& network, Index first, Index last, const Executor& executor,
                               Ledger& ledger) {
  const bool end_to_end = config.values().is("objective.scope", "end_to_end");
  BlockSetup<S> setup;
  setup.first = first;
  setup.last = last;
  setup.values = config.layer_values(first);
  setup.name = end_to_end ? "all" : network.layer(last - 1).name;
  setup.loss = make_loss<S>(setup.values);
  setup.exact_loss = make_loss<double>(setup.values);
  for (Index i = first; i < last; ++i) {
    setup.block.layers.push_back(&network.layer(i));
    if (i > first && network.front(i) != nullptr)
      throw ConfigError("model.pca", "a front end stands at the start of a block", fmt::format("layer {}", i),
                        "use objective.scope = \"local\" or 0 for that layer");
  }
  setup.block.head = &network.head_of(last - 1);
  setup.block.loss = setup.loss.get();
  setup.block.exact_loss = setup.exact_loss.get();
  setup.block.reduction = setup.values.is("objective.reduction", "sum") ? Reduction::sum : Reduction::mean;
  setup.block.first_layer = first;
  setup.block.end_to_end = end_to_end;
  setup.block.one_loss = setup.values.flag("gradient.one_loss");
  setup.gradient = make_step_gradient<S>(setup.values, setup.block, executor, ledger);
  setup.epochs = setup.values.integer("training.epochs");
  setup.batch = setup.values.integer("training.batch_size");
  setup.lr = setup.values.is("update.lr", "measured") ? 0.0 : setup.values.number("update.lr");
  setup.input_dropout = first == 0 ? config.values().number("model.input_dropout") : network.layer(first - 1).dropout;
  setup.hold_norm = setup.values.flag("update.hold_norm");
  return setup;
}

}  // namespace

template <class S>
std::vector<BlockSetup<S>> make_block_setups(const Config& config, const Network<S>& network, Index samples, const Executor& executor,
                                             Ledger& ledger) {
  std::vector<BlockSetup<S>> setups;
  const Index size = layers_per_block(config.values(), network.layers());
  for (Index first = 0; first < network.layers(); first += size) {
    setups.push_back(make_block_setup<S>(config, network, first, std::min(first + size, network.layers()), executor, ledger));
    setups.back().steps = (samples + setups.back().batch - 1) / setups.back().batch;
  }
  return setups;
}

template std::vector<BlockSetup<float>> make_block_setups(const Config&, const Network<float>&, Index, const Executor&, Ledger&);
template std::vector<BlockSetup<double>> make_block_setups(const Config&, const Network<double>&, Index, const Executor&, Ledger&);

}  // namespace ffzero
