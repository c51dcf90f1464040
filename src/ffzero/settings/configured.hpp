// Data and training that a configuration describes.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/dataset/load.hpp"
#include "ffzero/settings/build_network.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero {

/// Facts of loaded data for Config::resolve.
[[nodiscard]] DataFacts data_facts(const Splits& splits);
/// Options of the loader that a configuration asks for. @throws ConfigError if it names an npz data set, but no file
[[nodiscard]] DatasetOptions dataset_options(const Values& values);

/// The training of a resolved configuration: its network with initial parameters, and its plan. splits outlive the trainer.
/// devices: see DeviceMaps. @throws ConfigError if the model does not fit the data
template <class S>
[[nodiscard]] Trainer<S> make_trainer(const Config& config, const Splits& splits, std::shared_ptr<const Executor> executor,
                                      TrainEvents events = {}, const DeviceMaps<S>& devices = {}) {
  Network<S> network = initial_network<S>(config, Encoder(encoder_options(config.values()), splits.train.shape()).output_shape(),
                                          data_facts(splits).classes, executor, devices);
  const Index layers = network.layers();
  return Trainer<S>(config.plan(layers), std::move(network), splits, std::move(executor), std::move(events));
}

/// The training of a resolved configuration on layers of the caller's own, e.g. of devices; its keys model.* that describe maps are not
/// looked at, all others hold. @throws ConfigError as Trainer
template <class S>
[[nodiscard]] Trainer<S> make_trainer(const Config& config, Network<S>&& network, const Splits& splits,
                                      std::shared_ptr<const Executor> executor, TrainEvents events = {}) {
  TrainPlan plan = config.plan(network.layers());
  plan.described_by_config = false;
  return Trainer<S>(plan, std::move(network), splits, std::move(executor), std::move(events));
}

}  // namespace ffzero
