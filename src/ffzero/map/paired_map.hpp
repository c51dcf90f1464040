// Optional refinement: both sides of a difference for less than two evaluations.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// Receives the outputs at theta + eps d_j and theta - eps d_j; valid only during the call.
template <class S>
using PairSink = std::function<void(Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus)>;

/// A map whose evaluations at theta + eps d and theta - eps d share work (convolutions of x with theta and with d, loads of the
/// input). Must agree with two calls of forward up to rounding; a property test pins it in double. Billed as two evaluations.
template <class S>
class PairedMap {
 public:
  virtual ~PairedMap() = default;

  /// True if this map can apply the fixed map `readout` (no parameters) to its outputs inside forward_pairs, cheaper than afterwards.
  [[nodiscard]] virtual bool fuses(const ForwardMap<S>& readout) const {
    static_cast<void>(readout);
    return false;
  }

  /// True if every row of a pair depends on its row of x alone, bit for bit: then forward_pairs may be asked for some rows of a batch.
  [[nodiscard]] virtual bool pairs_apart() const { return false; }

  /// Calls sink(j, plus, minus) once for each direction, in order.  theta (parameter_count)   directions (m, parameter_count)
  /// eps > 0   x (B, input size)   readout: null, or a map for which fuses() is true; plus and minus are then its outputs.
  virtual void forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                             const ForwardMap<S>* readout, const PairSink<S>& sink) const = 0;
  /// forward_pairs for directions [first, last) alone, with the bits that they have among all. Default: for maps in which directions never
  /// meet.
  virtual void forward_some_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, Index first, Index last, double eps,
                                  const ConstMatrixRef<S>& x, const ForwardMap<S>* readout, const PairSink<S>& sink) const {
    forward_pairs(theta, directions.middleRows(first, last - first), eps, x, readout,
                  [&](Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus) { sink(first + j, plus, minus); });
  }
};

}  // namespace ffzero
