// A mesh with imperfect interferometers as the definition reads: kernel of double maps and yardstick of the fast one. Private to map/mesh.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/map/mesh/chip.hpp"

namespace ffzero {

/// The light of x (B, 2n) behind the mesh whose phases are `set`, with the couplers and losses of the chip.  errors: ErrorLayout
void reference_chip_forward(const MeshLayout& layout, std::span<const double> errors, const Vector<double>& amplitude,
                            std::span<const double> set, const ConstMatrixRef<double>& x, MatrixRef<double> y);

/// gset (parameter_count) += dL/dset, gerrors (ErrorLayout) += those of the couplers; gx unless null.  gy (B, 2n)
void reference_chip_pullback(const MeshLayout& layout, std::span<const double> errors, const Vector<double>& amplitude,
                             std::span<const double> set, const ConstMatrixRef<double>& x, const ConstMatrixRef<double>& gy,
                             std::span<double> gset, std::span<double> gerrors, MatrixRef<double>* gx);

/// As reference_fields: (columns + 2, 2n).
[[nodiscard]] Matrix<double> reference_chip_fields(const MeshLayout& layout, std::span<const double> errors,
                                                   const Vector<double>& amplitude, std::span<const double> set,
                                                   std::span<const double> x_row);

}  // namespace ffzero
