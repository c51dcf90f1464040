// Exact slopes of measured powers from reads at distant phases.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// How the powers I behind a mesh depend on one of its phases, all others fixed.
///
/// phi, gamma: every field is A exp(i p) + C, so I = a + b cos p + c sin p, of period 2 pi, and two reads give the slope exactly:
///   dI/dp = (I(p + pi/2) - I(p - pi/2)) / 2.
/// theta: the arms get exp(+-i theta/2) and light that went around the interferometer joins later, so every field is
/// A exp(i theta/2) + B exp(-i theta/2) + C. With C = 0 (the interferometer is the last one on the way) two reads would do; in general I
/// has the frequencies 1/2 and 1, period 4 pi, and the slope takes four reads:
///   dI/dtheta = u (I(theta + pi/2) - I(theta - pi/2)) - v (I(theta + 3 pi/2) - I(theta - 3 pi/2)),
///   u = 1 / (16 sin^2(pi/8)) = 0.4268,   v = 1 / (16 sin^2(3 pi/8)) = 0.0732.
/// The reads stand far apart, so noise is multiplied by about 1, not divided by a small eps as in a difference.
///
/// take_shift_reads takes these reads, on any device of which that is true, for a loss of the powers: adds
/// dL/dp = sum over samples and ports of dL/dI dI/dp to gtheta.
/// device, readout: powers = readout(device(theta, x)); readout null: the device puts out powers itself
/// half_angles: where the phases of four reads stand in theta, in ascending order (MeshLayout::half_angles); all others get two
/// theta (parameter_count), rad   x (B, input size)   gI (B, powers): dL/dI at theta   gtheta (parameter_count)
/// Cost: 4 B forward evaluations per phase in half_angles, 2 B per phase outside. @throws ShapeError if gI does not fit
template <class S>
void take_shift_reads(const ForwardMap<S>& device, const ForwardMap<S>* readout, std::span<const Segment> half_angles,
                      std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gI, std::span<S> gtheta);

}  // namespace ffzero
