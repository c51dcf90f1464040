// Trained meshes in the reference's file format.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/mesh_file.hpp"

#include <cmath>
#include <string>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

void require_rectangular(const MeshLayout& layout, const std::string& place) {
  if (layout.geometry() == MeshGeometry::rectangular) return;
  throw ConfigError(place, "the reference's files hold rectangular meshes", to_string(layout.geometry()),
                    "set model.mesh.layout = \"rectangular\"");
}

/// Values of the array `name`, which must have one of the shapes.
std::vector<double> values_of(const NpzArchive& arrays, const std::string& name, const std::vector<std::vector<Index>>& shapes,
                              const std::string& place) {
  const auto found = arrays.find(name);
  if (found == arrays.end()) throw DataError(place, "needs an array " + name + " of shape " + shape_text(shapes.front()), "no such array");
  for (const auto& shape : shapes) {
    if (found->second.shape != shape) continue;
    std::vector<double> values = found->second.to<double>();
    for (const double v : values) {
      if (!std::isfinite(v)) throw DataError(place, "array " + name + " must be finite", std::to_string(v));
    }
    return values;
  }
  throw DataError(place, "array " + name + " must have shape " + shape_text(shapes.front()), shape_text(found->second.shape),
                  "check the number of ports");
}

/// Calls visit(position in the reference's array, position in a block of the layout) for every entry that both have.
template <class Visit>
void for_each_entry(const MeshLayout& layout, Visit&& visit) {
  for (Index l = 0; l < layout.columns(); ++l) {
    for (Index k = 0; k < layout.entries(l); ++k) visit(usize(l * (layout.ports() / 2) + k), layout.offset(l) + k);
  }
}

Vector<double> read_layer(const NpzArchive& arrays, const MeshLayout& layout, const std::string& number, const std::string& place) {
  const Index n = layout.ports();
  const auto theta = values_of(arrays, "theta_" + number, {{n, n / 2}}, place);
  const auto phi = values_of(arrays, "phi_" + number, {{n, n / 2}}, place);
  const auto gamma = values_of(arrays, "gamma_" + number, {{1, n}, {n}}, place);
  Vector<double> layer(layout.parameter_count());
  for_each_entry(layout, [&](std::size_t from, Index to) {
    layer[to] = theta[from];
    layer[layout.phi_begin() + to] = phi[from];
  });
  for (Index w = 0; w < n; ++w) layer[layout.gamma_begin() + w] = gamma[usize(w)];
  return layer;
}

std::vector<Matrix<double>> read_refs(const NpzArchive& arrays, Index ports, Index layers, const std::string& place) {
  const auto found = arrays.find("simplex_refs");
  if (found == arrays.end()) return {};
  const auto& shape = found->second.shape;
  const bool shared = shape.size() == 2;
  const Index classes = shape.size() == 2 ? shape[0] : shape.size() == 3 ? shape[1] : 0;
  const auto values =
      values_of(arrays, "simplex_refs", {shared ? std::vector<Index>{classes, ports} : std::vector<Index>{layers, classes, ports}}, place);
  std::vector<Matrix<double>> refs;
  for (Index l = 0; l < layers; ++l) {
    refs.emplace_back(Eigen::Map<const Matrix<double>>(values.data() + (shared ? 0 : l * classes * ports), classes, ports));
  }
  return refs;
}

NpyArray float_array(const std::vector<float>& values, std::vector<Index> shape) {
  return NpyArray::of<float>(std::span<const float>(values), std::move(shape));
}

}  // namespace

MeshFile read_mesh_file(const std::filesystem::path& path, const MeshLayout& layout) {
  return read_mesh_arrays(read_npz(path), layout, path.string());
}

MeshFile read_mesh_arrays(const NpzArchive& arrays, const MeshLayout& layout, const std::string& place) {
  require_rectangular(layout, place);
  MeshFile file;
  do {
    file.layers.push_back(read_layer(arrays, layout, std::to_string(file.layers.size()), place));
  } while (arrays.contains("theta_" + std::to_string(file.layers.size())));
  file.simplex_refs = read_refs(arrays, layout.ports(), isize(file.layers.size()), place);
  return file;
}

void write_mesh_file(const std::filesystem::path& path, const MeshFile& file, const MeshLayout& layout) {
  write_npz(path, write_mesh_arrays(file, layout));
}

NpzArchive write_mesh_arrays(const MeshFile& file, const MeshLayout& layout) {
  require_rectangular(layout, "write_mesh_file");
  const Index n = layout.ports();
  NpzArchive arrays;
  for (std::size_t l = 0; l < file.layers.size(); ++l) {
    const Vector<float> layer = file.layers[l].cast<float>();
    if (layer.size() != layout.parameter_count()) {
      throw DataError("write_mesh_file",
                      "layer " + std::to_string(l) + " must have " + std::to_string(layout.parameter_count()) + " parameters",
                      std::to_string(layer.size()));
    }
    std::vector<float> theta(usize(n * (n / 2)), 0.0F), phi(theta.size(), 0.0F);
    for_each_entry(layout, [&](std::size_t to, Index from) {
      theta[to] = layer[from];
      phi[to] = layer[layout.phi_begin() + from];
    });
    const std::vector<float> gamma(layer.data() + layout.gamma_begin(), layer.data() + layer.size());
    const std::string number = std::to_string(l);
    arrays["theta_" + number] = float_array(theta, {n, n / 2});
    arrays["phi_" + number] = float_array(phi, {n, n / 2});
    arrays["gamma_" + number] = float_array(gamma, {1, n});
  }
  if (file.simplex_refs.empty()) return arrays;
  const Index classes = file.simplex_refs.front().rows();
  std::vector<float> refs;
  for (const auto& one : file.simplex_refs) {
    if (one.rows() != classes || one.cols() != n)
      throw DataError("write_mesh_file", "simplex_refs must all have shape " + shape_text({classes, n}),
                      shape_text({one.rows(), one.cols()}));
    for (Index i = 0; i < one.size(); ++i) refs.push_back(static_cast<float>(one.data()[i]));
  }
  arrays["simplex_refs"] = float_array(refs, {isize(file.simplex_refs.size()), classes, n});
  return arrays;
}

}  // namespace ffzero
