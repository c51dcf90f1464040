// Where the interferometers of a mesh sit and which parameter drives which.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/layout.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "ffzero/base/error.hpp"

namespace ffzero {

MeshGeometry mesh_geometry(std::string_view word) {
  if (word == "rectangular") return MeshGeometry::rectangular;
  if (word == "triangular") return MeshGeometry::triangular;
  throw ConfigError("model.mesh.layout", "must be rectangular or triangular", word);
}

std::string_view to_string(MeshGeometry geometry) noexcept { return geometry == MeshGeometry::rectangular ? "rectangular" : "triangular"; }

MeshDirection mesh_direction(std::string_view word) {
  if (word == "joint") return MeshDirection::joint;
  if (word == "separate") return MeshDirection::separate;
  throw ConfigError("model.mesh.direction", "must be joint or separate", word);
}

MeshLayout::MeshLayout(Index ports, MeshGeometry geometry, bool dead_parameters, MeshDirection direction)
    : ports_(ports), geometry_(geometry), dead_parameters_(dead_parameters), direction_(direction) {
  if (ports < 2) throw ConfigError("model.mesh", "a mesh needs at least 2 ports", std::to_string(ports));
}

Index MeshLayout::pairs(Index column) const noexcept {
  if (geometry_ == MeshGeometry::rectangular) return neighbours(column);
  return std::min(column, 2 * ports_ - 4 - column) / 2 + 1;
}

Index MeshLayout::offset(Index column) const noexcept {
  if (dead_parameters_) return column * (ports_ / 2);
  if (geometry_ == MeshGeometry::rectangular) return ((column + 1) / 2) * (ports_ / 2) + (column / 2) * ((ports_ - 1) / 2);
  // Columns 0, 1, 2, .. hold 1, 1, 2, 2, 3, .. interferometers up to column n - 2, and the same mirrored behind it.
  const auto rising = [](Index c) { return (c / 2) * (c / 2 + 1) + (c % 2) * (c / 2 + 1); };
  return column <= ports_ - 1 ? rising(column) : interferometers() - rising(columns() - column);
}

ParameterLayout MeshLayout::parameter_layout(Index first, Index group) const {
  const auto unit = [&](Index begin, Index size) { return Unit{.group = group, .segments = {{.begin = first + begin, .size = size}}}; };
  if (direction_ == MeshDirection::joint) return {.groups = 1, .units = {unit(0, parameter_count())}};
  return {.groups = 1, .units = {unit(0, block_size()), unit(phi_begin(), block_size()), unit(gamma_begin(), ports_)}};
}

namespace {

/// Entry `position` of the sequence along a diagonal of length L: the odd part in ascending order, then the even part in descending
/// order; reversed when the number of ports is odd  [photonic-mesh.md section 4].
Index checkerboard_entry(Index length, Index position, bool reversed) {
  const Index odd_count = (length + 1) / 2;
  const Index largest_odd = 2 * odd_count - 1;
  const Index i = reversed ? length - 1 - position : position;
  const Index taken = i < odd_count ? largest_odd - 2 * i : 2 * (i - odd_count + 1);
  return length + 1 - taken;
}

}  // namespace

double MeshLayout::haar_alpha(Index column, Index pair) const noexcept {
  const Index top = top_waveguide(column, pair);
  if (geometry_ == MeshGeometry::triangular) return static_cast<double>(top + 1);
  Index length = ports_ - std::abs(top - column);
  if (column < top) --length;
  if (column == top) length = ports_ - 1;
  return length == 1 ? 1.0 : static_cast<double>(checkerboard_entry(length, std::min(top, column), ports_ % 2 != 0));
}

double MeshLayout::haar_theta(Index column, Index pair, double u) const noexcept {
  return std::numbers::pi - 2.0 * std::asin(std::pow(u, 0.5 / haar_alpha(column, pair)));
}

}  // namespace ffzero
