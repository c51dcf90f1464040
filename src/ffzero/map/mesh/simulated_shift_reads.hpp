// The result of shifted reads without taking them: in simulation only.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

/// The same numbers as take_shift_reads with readout Intensity, up to rounding (a test pins it), by one pullback: the rule is exact, and so
/// is the adjoint. To be billed as the reads of a device: MeshLayout::shift_reads per sample and mesh.
/// mesh: InterferometerMesh or ParallelMeshes   x (B, 2n)   gI (B, powers): dL/dI   gtheta: added to. @throws ShapeError if gI does not fit
template <class S>
void simulate_shift_reads(const AdjointMap<S>& mesh, std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gI,
                          std::span<S> gtheta);

}  // namespace ffzero
