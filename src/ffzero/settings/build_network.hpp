// From a configuration to a network.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "ffzero/map/imperfect.hpp"
#include "ffzero/map/mesh/chip.hpp"
#include "ffzero/settings/config.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// The keys model.mesh.chip.* but for seed's `number` and the file.
[[nodiscard]] ChipOptions chip_options(const Values& values);
/// The keys model.imperfect.* as a layer has them (Config::layer_values).
[[nodiscard]] ImperfectOptions imperfect_options(const Values& values);

/// Devices that the caller holds already, replicas included, in the order of their numbers, in place of those that the addresses of the
/// settings reach.
template <class S>
using DeviceMaps = std::vector<std::shared_ptr<ForwardMap<S>>>;

/// The network of a resolved configuration for samples of shape `input` and `classes` classes (1 in regression), with its initial
/// parameters and prototypes drawn from the seed. @throws ConfigError if shapes do not fit (K > d, groups, kernels, ...) or,
/// before anything is built, if the network would hold more than 2^31 numbers or a layer put out more than 2^26 for a sample.
template <class S>
[[nodiscard]] Network<S> build_network(const Config& config, const Shape& input, Index classes, std::shared_ptr<const Executor> executor,
                                       const DeviceMaps<S>& devices = {});

/// The network that training starts from: build_network, then the meshes of the file that model.mesh.file names, if any.
/// @throws DataError if the file's arrays do not fit the network
template <class S>
[[nodiscard]] Network<S> initial_network(const Config& config, const Shape& input, Index classes, std::shared_ptr<const Executor> executor,
                                         const DeviceMaps<S>& devices = {});

}  // namespace ffzero
