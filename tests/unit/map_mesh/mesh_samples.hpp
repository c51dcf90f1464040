// Phases and light for the tests of meshes.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "ffzero/map/forward_map.hpp"
#include "support/property.hpp"

namespace ffzero::test {

/// The phases that a mesh begins with.
template <class S>
Vector<S> haar(const ForwardMap<S>& mesh, std::uint64_t seed = 1) {
  Vector<S> theta(mesh.parameter_count());
  mesh.initialise(as_span(theta), RandomStream(seed, Stream::test));
  return theta;
}

/// Random light, about 1 per sample.
template <class S>
Matrix<S> light(Index rows, Index ports, std::uint64_t seed) {
  return normal_matrix<S>(rows, 2 * ports, seed) / static_cast<S>(std::sqrt(2.0 * static_cast<double>(ports)));
}

template <class S>
Matrix<S> forward(const ForwardMap<S>& map, const Vector<S>& theta, const Matrix<S>& x) {
  Matrix<S> y(x.rows(), map.output_shape().size());
  map.forward(as_span(theta), x, y);
  return y;
}

}  // namespace ffzero::test
