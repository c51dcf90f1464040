// Optional refinement: a map whose output is affine in its parameters.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// The products of one step, prepared once for all pieces of a batch. Kept by its owner between steps: no allocation in a step.
template <class S>
class StackedProduct {
 public:
  virtual ~StackedProduct() = default;

  /// theta, directions and x as LinearMap::forward_stacked takes them, x the whole batch; directions may have no rows. All stay valid until
  /// the last call of `rows`.
  virtual void prepare(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x) = 0;
  /// z and p of the samples [first, first + z.rows()), as forward_stacked gives them: p of as many directions as it has room for, from
  /// `direction` on; what it gets for a direction depends on no other. From any thread.
  virtual void rows(Index first, Index direction, MatrixRef<S> z, MatrixRef<S> p) const = 0;
  /// z alone.
  void rows(Index first, MatrixRef<S> z) const {
    Matrix<S> none(0, 0);
    rows(first, 0, z, none);
  }
};

/// z(theta + eps d) = z(theta) + eps z'(d), exactly: all directions come out of one stacked product  [docs/notation.md, Gradient]. An exact
/// rewriting of the same forward evaluations, billed as what a device would have needed.
template <class S>
class LinearMap {
 public:
  virtual ~LinearMap() = default;

  /// theta (parameter_count)   directions (m, parameter_count)   x (B, input size)
  /// z (B, output size) = forward(theta, x)   p (B, m * output size): columns [j * output size, (j + 1) * output size) hold z'(d_j).
  virtual void forward_stacked(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                               MatrixRef<S> p) const = 0;

  /// What a training step uses instead of forward_stacked where pieces of a batch have work in common. Null: nothing in common. It refers
  /// to this map.
  [[nodiscard]] virtual std::unique_ptr<StackedProduct<S>> stacked_product() const { return nullptr; }

  /// True if forward_hadamard is faster than forward_stacked for m directions.
  [[nodiscard]] virtual bool serves_hadamard(Index m) const {
    static_cast<void>(m);
    return false;
  }
  /// forward_stacked for directions d_j[i] = signs[i] (-1)^(number of bits of i & j), j < m: rows of a signed Hadamard matrix. Only if
  /// serves_hadamard(m).
  virtual void forward_hadamard(std::span<const S> theta, std::span<const S> signs, Index m, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                                MatrixRef<S> p) const {
    static_cast<void>(signs);
    static_cast<void>(m);
    forward_stacked(theta, Matrix<S>(), x, z, p);
  }
};

}  // namespace ffzero
