// From what a layer puts out to class scores.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>
#include <string>

#include "ffzero/base/random.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// A fixed (never trained) function z (B, d) -> scores (B, G * K), row by row. Group g owns columns [g K, (g + 1) K).
template <class S>
class Head {
 public:
  virtual ~Head() = default;
  [[nodiscard]] virtual std::string kind() const = 0;
  [[nodiscard]] virtual Index input_size() const = 0;
  [[nodiscard]] virtual Index classes() const = 0;  ///< K; 1 in regression
  [[nodiscard]] virtual Index groups() const = 0;   ///< G

  /// scores, overwritten. A zero z gives scores 0, never NaN.
  virtual void scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const = 0;
  /// gz (B, d) = (dscores/dz)^T gs, overwritten.
  virtual void pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const = 0;

  /// All fixed numbers in one vector (prototypes, projections): part of the checkpoint; same size for the same construction.
  [[nodiscard]] virtual std::span<const S> state() const = 0;
  [[nodiscard]] virtual std::span<S> state() = 0;
};

}  // namespace ffzero
