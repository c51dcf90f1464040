// Trained meshes in the reference's file format.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <vector>

#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// What a file holds: rectangular meshes on n ports, one a layer.
struct MeshFile {
  std::vector<Vector<double>> layers;        ///< theta in the order of the layout that was asked for
  std::vector<Matrix<double>> simplex_refs;  ///< (K, n) prototypes, one a layer; empty if the file has none
};

/// Reads theta_l, phi_l (n, floor(n/2)) and gamma_l (n) or (1, n) for l = 0, 1, .. until a number is missing, and simplex_refs, if
/// there: (layers, K, n), or (K, n) for all layers alike.
/// layout: rectangular; without dead parameters the dead entries of the file are dropped.
/// @throws DataError naming the array, the shape expected and the one found; ConfigError for a triangular layout
[[nodiscard]] MeshFile read_mesh_file(const std::filesystem::path& path, const MeshLayout& layout);
/// The same from arrays; `place` stands in messages.
[[nodiscard]] MeshFile read_mesh_arrays(const NpzArchive& arrays, const MeshLayout& layout, const std::string& place);

/// Writes float32 arrays as the reference does: theta_l, phi_l (n, floor(n/2)), dead entries 0 unless the layout has them; gamma_l (1, n);
/// simplex_refs (layers, K, n) unless empty. @throws DataError if a layer does not fit the layout, OutputError
void write_mesh_file(const std::filesystem::path& path, const MeshFile& file, const MeshLayout& layout);
[[nodiscard]] NpzArchive write_mesh_arrays(const MeshFile& file, const MeshLayout& layout);

}  // namespace ffzero
