// Optional refinement: a map whose output is affine in its parameters. Dependency level 2 (map).
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// z(theta + eps d) = z(theta) + eps z'(d), exactly: all directions come out of one stacked product  [spec.md section 5]. An exact
/// rewriting of the same forward evaluations, billed as what a device would have needed.
template <class S>
class LinearMap {
 public:
  virtual ~LinearMap() = default;

  /// theta (parameter_count)   directions (m, parameter_count)   x (B, input size)
  /// z (B, output size) = forward(theta, x)   p (B, m * output size): columns [j * output size, (j + 1) * output size) hold z'(d_j).
  virtual void forward_stacked(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                               MatrixRef<S> p) const = 0;
};

}  // namespace ffzero
