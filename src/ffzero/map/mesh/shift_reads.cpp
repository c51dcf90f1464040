// Exact slopes of measured powers from reads at distant phases, taken or simulated.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/shift_reads.hpp"

#include <algorithm>
#include <numbers>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/simulated_shift_reads.hpp"

namespace ffzero {

namespace {

constexpr double kNearWeight = 0.42677669529663687;  // 1 / (16 sin^2(pi/8))
constexpr double kFarWeight = 0.07322330470336313;   // 1 / (16 sin^2(3 pi/8))

template <class S>
void require_powers(const ConstMatrixRef<S>& gI, Index rows, Index powers) {
  if (gI.rows() == rows && gI.cols() == powers) return;
  throw ShapeError("shift reads", "gI must be " + std::to_string(rows) + " x " + std::to_string(powers),
                   std::to_string(gI.rows()) + " x " + std::to_string(gI.cols()));
}

}  // namespace

template <class S>
void take_shift_reads(const ForwardMap<S>& device, const ForwardMap<S>* readout, std::span<const Segment> half_angles,
                      std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gI, std::span<S> gtheta) {
  const Index powers = (readout == nullptr ? device : *readout).output_shape().size();
  require_powers<S>(gI, x.rows(), powers);
  Matrix<S> output(x.rows(), device.output_shape().size());
  Matrix<S> read(x.rows(), powers);
  Vector<S> moved = as_vector(theta);
  const auto loss = [&] {
    device.forward(as_span(std::as_const(moved)), x, output);
    if (readout != nullptr) readout->forward({}, output, read);
    return (readout == nullptr ? output : read).template cast<double>().cwiseProduct(gI.template cast<double>()).sum();
  };
  const auto difference = [&](Index i, double shift) {
    const S at = moved[i];
    moved[i] = at + static_cast<S>(shift);
    const double plus = loss();
    moved[i] = at - static_cast<S>(shift);
    const double minus = loss();
    moved[i] = at;
    return plus - minus;
  };
  const auto is_half_angle = [&](Index i) {
    return std::any_of(half_angles.begin(), half_angles.end(), [i](const Segment& s) { return i >= s.begin && i < s.begin + s.size; });
  };
  constexpr double kQuarterTurn = 0.5 * std::numbers::pi;
  for (Index i = 0; i < moved.size(); ++i) {
    const double near = difference(i, kQuarterTurn);
    const double slope = is_half_angle(i) ? kNearWeight * near - kFarWeight * difference(i, 3.0 * kQuarterTurn) : 0.5 * near;
    gtheta[usize(i)] += static_cast<S>(slope);
  }
}

template <class S>
void simulate_shift_reads(const AdjointMap<S>& mesh, std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gI,
                          std::span<S> gtheta) {
  const Index powers = mesh.output_shape().size() / 2;
  require_powers<S>(gI, x.rows(), powers);
  Matrix<S> y(x.rows(), 2 * powers);
  mesh.forward(theta, x, y);
  Matrix<S> gy(x.rows(), 2 * powers);
  MatrixRef<S> gy_ref = gy;
  Intensity<S>(powers).pullback({}, y, Matrix<S>(), gI, {}, &gy_ref);
  mesh.pullback(theta, x, y, gy, gtheta, nullptr);
}

#define FFZERO_INSTANTIATE(S)                                                                                                         \
  template void take_shift_reads<S>(const ForwardMap<S>&, const ForwardMap<S>*, std::span<const Segment>, std::span<const S>,         \
                                    const ConstMatrixRef<S>&, const ConstMatrixRef<S>&, std::span<S>);                                \
  template void simulate_shift_reads<S>(const AdjointMap<S>&, std::span<const S>, const ConstMatrixRef<S>&, const ConstMatrixRef<S>&, \
                                        std::span<S>);
FFZERO_INSTANTIATE(float)
FFZERO_INSTANTIATE(double)
#undef FFZERO_INSTANTIATE

}  // namespace ffzero
