// Blocks from a plan.
// SPDX-License-Identifier: MIT
#include "ffzero/train/block_setup.hpp"

#include <fmt/format.h>

#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/train/importance_step.hpp"

namespace ffzero {

namespace {

template <class S>
BlockSetup<S> make_block_setup(const TrainPlan& plan, const BlockPlan& own, const Network<S>& network, const Executor& executor,
                               Ledger& ledger) {
  BlockSetup<S> setup;
  setup.first = own.first;
  setup.last = own.last;
  setup.options = own.options;
  setup.evaluation_rows = own.evaluation_rows;
  setup.name = plan.end_to_end ? "all" : network.layer(own.last - 1).name;
  // Samples without weights count alike.
  setup.loss = make_weighted_loss(make_loss<S>(own.options.loss, network.classes()));
  setup.exact_loss = make_weighted_loss(make_loss<double>(own.options.loss, network.classes()));
  for (Index i = own.first; i < own.last; ++i) {
    setup.block.layers.push_back(&network.layer(i));
    if (i > own.first && network.front(i) != nullptr)
      throw ConfigError("model.pca", "a front end stands at the start of a block", fmt::format("layer {}", i),
                        "use objective.scope = \"local\" or 0 for that layer");
  }
  setup.block.head = &network.head_of(own.last - 1);
  setup.block.loss = setup.loss.get();
  setup.block.exact_loss = setup.exact_loss.get();
  setup.block.reduction = own.options.reduction;
  setup.block.first_layer = own.first;
  setup.block.end_to_end = plan.end_to_end;
  setup.block.one_loss = own.options.one_loss;
  setup.gradient = make_step_gradient<S>(own.options.estimator, setup.block, executor, ledger);
  if (own.options.importance_samples > 0)
    setup.gradient = make_importance_step<S>(own.options.importance_samples, own.options.batch_size, std::move(setup.gradient), setup.block,
                                             executor, ledger);
  setup.lr = own.options.update.lr;
  setup.input_dropout = own.first == 0 ? plan.input_dropout : network.layer(own.first - 1).dropout;
  return setup;
}

}  // namespace

template <class S>
std::vector<BlockSetup<S>> make_block_setups(const TrainPlan& plan, const Network<S>& network, Index samples, const Executor& executor,
                                             Ledger& ledger) {
  plan.validate(network.layers());
  std::vector<BlockSetup<S>> setups;
  for (const BlockPlan& block : plan.blocks) {
    setups.push_back(make_block_setup<S>(plan, block, network, executor, ledger));
    setups.back().steps = divide_up(samples, block.options.batch_size);
  }
  return setups;
}

template std::vector<BlockSetup<float>> make_block_setups(const TrainPlan&, const Network<float>&, Index, const Executor&, Ledger&);
template std::vector<BlockSetup<double>> make_block_setups(const TrainPlan&, const Network<double>&, Index, const Executor&, Ledger&);

}  // namespace ffzero
