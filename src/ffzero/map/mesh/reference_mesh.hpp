// The mesh as the definition reads, one sample after the other: kernel of double maps and yardstick of the fast one. Level 3 (map/mesh).
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// y = x U.  theta (layout.parameter_count()), rad   x, y (B, 2n): n real parts, then n imaginary parts  [docs/notation.md, Photonic mesh]
template <class S>
void reference_forward(const MeshLayout& layout, std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y);

/// gtheta += (dy/dtheta)^T gy, summed in double; gx = gy U^H unless null.  y (B, 2n), what reference_forward returned: the light is run
/// backwards from it, so that no field needs storing.   gy (B, 2n): dL/dRe y, dL/dIm y
template <class S>
void reference_pullback(const MeshLayout& layout, std::span<const S> theta, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                        std::span<S> gtheta, MatrixRef<S>* gx);

/// The light of one sample on its way: row 0 the input, row 1 behind gamma, row 2 + l behind column l.
/// x_row (2n)   returns (columns + 2, 2n)
template <class S>
[[nodiscard]] Matrix<S> reference_fields(const MeshLayout& layout, std::span<const S> theta, std::span<const S> x_row);

}  // namespace ffzero
