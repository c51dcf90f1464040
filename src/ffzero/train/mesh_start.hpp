// Meshes that training starts from, and meshes for others to start from.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "ffzero/map/mesh/mesh_file.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// Puts phases and prototypes of a file (see map/mesh/mesh_file.hpp) in the place of the network's own. A file without prototypes leaves
/// those drawn from the seed. @throws DataError if the file's arrays do not fit the network, ConfigError for meshes that the format cannot
/// hold
template <class S>
void start_from_mesh_file(const std::filesystem::path& file, Network<S>& network);

/// The meshes of a photonic network with their prototypes, for write_mesh_file, and the layout that they have.
struct MeshExport {
  explicit MeshExport(const MeshLayout& of_meshes) : layout(of_meshes) {}
  MeshFile file;
  MeshLayout layout;
};
/// @throws ConfigError if the network is not photonic or its meshes are parallel or triangular: the format cannot hold those
[[nodiscard]] MeshExport mesh_export(const Network<float>& network);

}  // namespace ffzero
