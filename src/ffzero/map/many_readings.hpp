// Optional refinement: several parameter vectors on one batch in one call.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// A map whose readings belong together: overlapped where the hardware can, told apart by their order where they have noise or drift.
template <class S>
class ManyReadings {
 public:
  virtual ~ManyReadings() = default;
  /// ForwardMap::forward for several parameter vectors on one batch, in their order.  thetas (m)   x (B, inputs)   ys (m), each becomes
  /// (B, outputs)   Cost: m B forward evaluations. may_miss: the caller can do without rows that are NaN, and a map that is set up so hands
  /// on what it could not read in that way. @throws DeviceError, ShapeError if there are not as many ys as thetas
  virtual void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                         bool may_miss) const = 0;
};

}  // namespace ffzero
