// Light on its way through the meshes of a photonic network.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// One mesh of a network; meshes side by side in a layer count one by one.
struct MeshView {
  std::string name;  ///< "mesh0", or "mesh0.1" for the second of several side by side
  Index layer = 0;
  MeshLayout layout;
  std::span<const float> theta;                                            ///< its parameters, of the network's own memory
  std::function<Matrix<float>(std::span<const float> x_row)> fields = {};  ///< its light; empty: that of its layout
};

/// All meshes in the order of the light; empty if the network is not photonic.
[[nodiscard]] std::vector<MeshView> meshes_of(const Network<float>& network);

/// Fields of one sample in every mesh.  x (2n): n real parts, then n imaginary parts.
/// returns one (columns + 2, 2n) a mesh: row 0 the input, row 1 behind gamma, row 2 + l behind column l.
/// Cost: one forward evaluation of a simulator a layer; no device can do this.
[[nodiscard]] std::vector<Matrix<float>> light_through(const Network<float>& network, std::span<const float> x);

/// |E|^2 of rows of fields: (R, 2n) -> (R, n).
[[nodiscard]] Matrix<float> powers_of(const ConstMatrixRef<float>& fields);

/// An angle in (-pi, pi]: how far a phase has drifted, modulo 2 pi.
[[nodiscard]] double wrapped(double angle);

}  // namespace ffzero
