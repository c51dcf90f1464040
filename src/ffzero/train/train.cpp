// Training in one call.
// SPDX-License-Identifier: MIT
#include "ffzero/train/train.hpp"

#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

template <class S>
TrainPlan plan_of(const TrainOptions& options, const Network<S>& network, const std::string& dataset, bool regression) {
  if (network.end_to_end() != (options.scope == Scope::end_to_end))
    throw ConfigError("TrainOptions::scope", "must be end_to_end for a network that is read as a whole, and for no other",
                      to_string(options.scope), "set NetworkParts::end_to_end to match");
  return make_plan(options, network.layers(), dataset, regression);
}

}  // namespace

template <class S>
TrainResult train(const TrainOptions& options, Network<S>& network, const Splits& splits, TrainEvents events,
                  std::shared_ptr<const Executor> executor) {
  if (!executor) executor = std::make_shared<const Executor>();
  const TrainPlan plan = plan_of(options, network, splits.train.name(), splits.train.task() == Task::regression);
  Trainer<S> trainer(plan, Network<S>(network), splits, std::move(executor), std::move(events));
  // What has been reached belongs to the caller, however training ends.
  struct HandBack {
    const Trainer<S>& from;
    Network<S>& to;
    ~HandBack() { to.take_parameters(from.network()); }
  } const hand_back{trainer, network};
  RunRecord record = trainer.run();
  return {std::move(record), trainer.state()};
}

template <class S>
void require_trainable(const TrainOptions& options, const Network<S>& network) {
  const TrainPlan plan = plan_of(options, network, "", network.classes() == 1);
  Ledger ledger(network.layers());
  const Executor executor(1);
  static_cast<void>(make_block_setups<S>(plan, network, 1, executor, ledger));
}

template TrainResult train(const TrainOptions&, Network<float>&, const Splits&, TrainEvents, std::shared_ptr<const Executor>);
template TrainResult train(const TrainOptions&, Network<double>&, const Splits&, TrainEvents, std::shared_ptr<const Executor>);
template void require_trainable(const TrainOptions&, const Network<float>&);
template void require_trainable(const TrainOptions&, const Network<double>&);

}  // namespace ffzero
