// Optional refinement: a map that knows its exact derivative.
// Forward-only code (directional estimators, devices, votes, updates) must not include this header: tools/check_layers.py.
// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

#include "ffzero/map/forward_map.hpp"

namespace ffzero {

template <class S>
class AdjointMap : public ForwardMap<S> {
 public:
  /// gtheta += (dy/dtheta)^T gy,  gx = (dy/dx)^T gy.
  /// x (B, input size)   y (B, output size), what forward(theta, x) returned   gy (B, output size): dL/dy
  /// gtheta (parameter_count), added to, summed over the batch   gx (B, input size), overwritten; skipped if null.
  /// Complex quantities: real and imaginary parts are independent real numbers.
  virtual void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                        std::span<S> gtheta, MatrixRef<S>* gx) const = 0;

  /// Number of parts of gtheta that can be had side by side, for a whole batch at once; 0: only pullback gives it. Where it is not 0,
  /// pullback takes an empty gtheta for "not wanted", and the rows of gx are independent.
  [[nodiscard]] virtual Index gradient_pieces() const { return 0; }
  /// Part `piece` of gtheta += (dy/dtheta)^T gy; the others are left alone. From any thread.
  /// To be overridden together with gradient_pieces.
  virtual void add_gradient_piece(Index /*piece*/, const ConstMatrixRef<S>& /*x*/, const ConstMatrixRef<S>& /*gy*/,
                                  std::span<S> /*gtheta*/) const {
    throw std::logic_error("AdjointMap: gradient_pieces is 0 here");
  }
};

}  // namespace ffzero
