// Optional refinement: fixed numbers that belong to a checkpoint.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

namespace ffzero {

/// A map that carries numbers which are neither inputs nor trained: fixed projections, fitted components, running statistics. The
/// size of the span is the same for the same construction, so a checkpoint can write it and read it back.
template <class S>
class FixedState {
 public:
  virtual ~FixedState() = default;
  [[nodiscard]] virtual std::span<const S> state() const = 0;
  [[nodiscard]] virtual std::span<S> state() = 0;
};

}  // namespace ffzero
