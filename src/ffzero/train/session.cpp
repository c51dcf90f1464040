// What the parts of one training share.
// SPDX-License-Identifier: MIT
#include "ffzero/train/session.hpp"

#include <fmt/format.h>

#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/train/readout_head.hpp"

namespace ffzero {

namespace {

template <class S>
Network<S> fitting(Network<S>&& network, const Encoder& encoder, const Dataset& train) {
  if (encoder.output_shape().size() != network.input_shape().size())
    throw ConfigError("network", "must take samples of " + to_string(encoder.output_shape()), to_string(network.input_shape()),
                      "give the first layer the shape of the encoded samples");
  const Index classes = train.task() == Task::regression ? train.outputs() : train.classes();
  if (classes != network.classes())
    throw ConfigError("network", fmt::format("must have heads for {} classes", classes), std::to_string(network.classes()),
                      "give the heads one prototype for each class");
  return std::move(network);
}

template <class S>
std::vector<BlockTimeline> timeline_of(const std::vector<BlockSetup<S>>& blocks, Index samples) {
  std::vector<BlockTimeline> timeline;
  for (const BlockSetup<S>& block : blocks)
    timeline.push_back({.last = block.last,
                        .cost = static_cast<double>(block.gradient->cost_per_sample()) / static_cast<double>(block.last - block.first),
                        .samples = samples,
                        .batch = block.options.batch_size,
                        .epochs = block.options.epochs,
                        .planned = block.gradient->planned_readings()});
  return timeline;
}

template <class S>
typename SampleSource<S>::Options source_options(const TrainPlan& plan, bool augment) {
  return {.augment = augment, .cache_bytes = usize(plan.cache_mib) << 20, .seed = plan.seed};
}

// Ranks see nothing of one another but losses and slopes.
template <class S>
void require_shared(const BlockSetup<S>& setup, const Network<S>& network) {
  if (setup.options.epochs == 0) return;
  if (!setup.gradient->serves_ranks())
    throw ConfigError(setup.name + ": gradient.estimator",
                      "several ranks share out \"directional\" and \"activity\", on maps that answer each of them alike",
                      estimator_name(setup.options.estimator), "train it with one process, or change the estimator");
  const Index last = setup.last - 1;
  if (!setup.block.end_to_end &&
      (network.wants_readout(last) || dynamic_cast<const ReadoutHead<S>*>(network.layer(last).head.get()) != nullptr))
    throw ConfigError(setup.name + ": model.mesh.linear_head", "several ranks do not exchange the readings that a linear head learns from",
                      "a linear head", "train it with one process, or use \"none\"");
}

}  // namespace

template <class S>
TrainSession<S>::TrainSession(const TrainPlan& p, Network<S>&& made, const Splits& data, std::shared_ptr<const Executor> threads)
    : plan(p),
      splits(data),
      executor(std::move(threads)),
      encoder(fitted_encoder(p.encoder, p.scale, data.train)),
      network(fitting(std::move(made), encoder, data.train)),
      ledger(network.layers()),
      blocks(make_block_setups<S>(plan, network, data.train.size(), *executor, ledger)),
      train(data.train, encoder, network, *executor, source_options<S>(p, encoder.augments())),
      test(data.test, encoder, network, *executor, source_options<S>(p, false)),
      instruments(network, p.seed, p.steadiness_rows, timeline_of<S>(blocks, data.train.size())) {
  if (!executor->ranks().alone())
    for (const BlockSetup<S>& setup : blocks) require_shared(setup, network);
  if (!data.validation.empty()) validation.emplace(data.validation, encoder, network, *executor, source_options<S>(p, false));
}

template <class S>
void TrainSession<S>::bill(Index first, Index last, std::int64_t Evaluations::*account, Index samples) {
  ledger.bill(first, last, account, samples);
}

template <class S>
void TrainSession<S>::bill_recomputed(const SampleSource<S>& source, std::int64_t Evaluations::*account, Index samples) {
  if (source.recomputes()) bill(0, source.depth(), account, samples);
}

template <class S>
void TrainSession<S>::apply_fronts() {
  train.apply_front(kEvaluationRows);
  test.apply_front(kEvaluationRows);
  if (validation) validation->apply_front(kEvaluationRows);
}

template <class S>
std::vector<std::uint32_t> TrainSession<S>::order_of(const BlockSetup<S>& setup, Index epoch) const {
  std::vector<std::uint32_t> order(usize(splits.train.size()));
  RandomStream(plan.seed, Stream::order, static_cast<std::uint32_t>(setup.first), static_cast<std::uint64_t>(epoch)).permutation(order);
  return order;
}

template struct TrainSession<float>;
template struct TrainSession<double>;

}  // namespace ffzero
