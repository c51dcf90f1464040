// Mesh files into networks and back.
// SPDX-License-Identifier: MIT
#include "ffzero/train/mesh_start.hpp"

#include <fmt/format.h>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

namespace {

/// Null if the map is not one mesh.
template <class S>
const MeshLayout* layout_of(const ForwardMap<S>& outer) {
  const ForwardMap<S>& map = innermost(outer);
  if (const auto* mesh = dynamic_cast<const InterferometerMesh<S>*>(&map)) return &mesh->layout();
  const auto* chip = dynamic_cast<const ChipMesh<S>*>(&map);
  return chip != nullptr && chip->count() == 1 ? &chip->layout() : nullptr;
}

template <class S>
const MeshLayout& only_layout(const Network<S>& network, const std::string& place) {
  for (Index i = 0; i < network.layers(); ++i)
    if (layout_of<S>(*network.layer(i).map) == nullptr)
      throw ConfigError(place, "mesh files hold meshes in a row", fmt::format("layer {} ('{}')", i, network.layer(i).map->kind()),
                        "use model.kind = \"photonic\" and model.mesh.parallel = 1");
  const MeshLayout& layout = *layout_of<S>(*network.layer(0).map);
  if (layout.geometry() != MeshGeometry::rectangular)
    throw ConfigError(place, "mesh files hold rectangular meshes", to_string(layout.geometry()), "use model.mesh.layout = \"rectangular\"");
  return layout;
}

}  // namespace

template <class S>
void start_from_mesh_file(const std::filesystem::path& mesh_file, Network<S>& network) {
  const std::string path = mesh_file.string();
  const MeshFile file = read_mesh_file(path, only_layout(network, "model.mesh.file"));
  if (isize(file.layers.size()) != network.layers())
    throw DataError(path, fmt::format("must hold {} meshes, one a layer", network.layers()), std::to_string(file.layers.size()),
                    fmt::format("set model.mesh.layers = {}", file.layers.size()));
  NpzArchive state;
  network.save(state);
  for (Index i = 0; i < network.layers(); ++i) {
    const Vector<S> theta = file.layers[usize(i)].template cast<S>();
    state[fmt::format("layer{}.theta", i)] = NpyArray::of<S>({theta.data(), usize(theta.size())}, {theta.size()});
    if (file.simplex_refs.empty() || network.layer(i).head->kind() != "prototypes") continue;
    const Matrix<S> refs = file.simplex_refs[usize(i)].template cast<S>();
    if (refs.rows() != network.classes())
      throw DataError(path, fmt::format("simplex_refs must hold {} prototypes a layer, one a class", network.classes()),
                      std::to_string(refs.rows()), "choose dataset.classes to match");
    state[fmt::format("layer{}.prototypes", i)] = NpyArray::of<S>({refs.data(), usize(refs.size())}, {refs.size()});
  }
  network.load(state, path);
}

MeshExport mesh_export(const Network<float>& network) {
  MeshExport result(only_layout(network, "export"));
  for (Index i = 0; i < network.layers(); ++i) {
    result.file.layers.emplace_back(as_vector(network.theta(i, i + 1)).template cast<double>());
    // A readout that learned along with its mesh has taken the place of the prototypes.
    if (const auto* head = dynamic_cast<const PrototypeHead<float>*>(network.layer(i).head.get()))
      result.file.simplex_refs.emplace_back(head->prototypes(0).template cast<double>());
  }
  return result;
}

template void start_from_mesh_file(const std::filesystem::path&, Network<float>&);
template void start_from_mesh_file(const std::filesystem::path&, Network<double>&);

}  // namespace ffzero
