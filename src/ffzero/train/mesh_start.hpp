// Meshes that training starts from, and meshes for others to start from. Dependency level 4 (train).
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "ffzero/map/mesh/mesh_file.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// Phases and prototypes of the file that model.mesh.file names; without that key: changes nothing. A file without prototypes leaves
/// those drawn from the seed. @throws DataError if the file's arrays do not fit the network, ConfigError for meshes that the format cannot
/// hold
template <class S>
void start_from_mesh_file(const Config& config, Network<S>& network);

/// The network that training starts from: Network::build, then start_from_mesh_file.
template <class S>
[[nodiscard]] Network<S> initial_network(const Config& config, const Shape& input, Index classes,
                                         std::shared_ptr<const Executor> executor) {
  auto network = Network<S>::build(config, input, classes, std::move(executor));
  start_from_mesh_file(config, network);
  return network;
}

/// The meshes of a photonic network with their prototypes, for write_mesh_file, and the layout that they have.
struct MeshExport {
  explicit MeshExport(const MeshLayout& of_meshes) : layout(of_meshes) {}
  MeshFile file;
  MeshLayout layout;
};
/// @throws ConfigError if the network is not photonic or its meshes are parallel or triangular: the format cannot hold those
[[nodiscard]] MeshExport mesh_export(const Network<float>& network);

}  // namespace ffzero
