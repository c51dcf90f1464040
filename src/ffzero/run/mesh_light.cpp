// Meshes of a network, and their light.
// SPDX-License-Identifier: MIT
#include "ffzero/run/mesh_light.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

std::vector<MeshView> meshes_of(const Network<float>& network) {
  std::vector<MeshView> meshes;
  for (Index i = 0; i < network.layers(); ++i) {
    const ForwardMap<float>* map = &innermost(std::as_const(*network.layer(i).map));
    const auto theta = network.theta(i, i + 1);
    if (const auto* mesh = dynamic_cast<const InterferometerMesh<float>*>(map))
      meshes.push_back({network.layer(i).name, i, mesh->layout(), theta, {}});
    if (const auto* chips = dynamic_cast<const ChipMesh<float>*>(map))
      for (Index m = 0; m < chips->count(); ++m) {
        const Index size = chips->layout().parameter_count();
        const std::string name = chips->count() == 1 ? network.layer(i).name : fmt::format("{}.{}", network.layer(i).name, m);
        const auto own = theta.subspan(usize(m * size), usize(size));
        meshes.push_back(
            {name, i, chips->layout(), own, [chips, m, own](std::span<const float> row) { return chips->fields(m, own, row); }});
      }
    if (const auto* several = dynamic_cast<const ParallelMeshes<float>*>(map)) {
      const Index size = several->mesh().parameter_count();
      for (Index m = 0; m < several->count(); ++m)
        meshes.push_back(
            {fmt::format("{}.{}", network.layer(i).name, m), i, several->mesh().layout(), theta.subspan(usize(m * size), usize(size)), {}});
    }
  }
  return meshes;
}

std::vector<Matrix<float>> light_through(const Network<float>& network, std::span<const float> x) {
  Matrix<float> light = as_vector(x).transpose();
  std::vector<Matrix<float>> fields;
  LayerOutput<float> out;
  Index layer = 0;
  for (const MeshView& mesh : meshes_of(network)) {
    network.pass_on(layer, mesh.layer, light, out);
    layer = std::max(layer, mesh.layer);
    const std::span<const float> row{light.data(), usize(light.size())};
    fields.push_back(mesh.fields ? mesh.fields(row) : InterferometerMesh<float>(mesh.layout).fields(mesh.theta, row));
  }
  return fields;
}

Matrix<float> powers_of(const ConstMatrixRef<float>& fields) {
  const Index n = fields.cols() / 2;
  return fields.leftCols(n).cwiseAbs2() + fields.rightCols(n).cwiseAbs2();
}

double wrapped(double angle) {
  constexpr double turn = 2.0 * std::numbers::pi;
  const double rest = angle - turn * std::floor(angle / turn);
  return rest > std::numbers::pi ? rest - turn : rest;
}

}  // namespace ffzero
