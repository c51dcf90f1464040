// A map in front of and behind which something happens.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ffzero/map/addressed.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// What happens to the parameters on their way into a map and to the outputs on their way out of it. Everything has a default that changes
/// nothing. Called from any thread; what is random is drawn from the reading (Reading::random), so that it is the same again in a run that
/// was stopped. S is float or double.
template <class S>
class MapEffects {
 public:
  virtual ~MapEffects() = default;

  /// True if set() changes parameters; false: it is never called.
  [[nodiscard]] virtual bool of_parameters() const { return false; }
  /// True if read() changes outputs; false: it is never called.
  [[nodiscard]] virtual bool of_outputs() const { return false; }
  /// True if the same parameters and inputs always give the same answer, wherever a row stands in its batch: neither noise nor drift.
  [[nodiscard]] virtual bool repeatable() const { return true; }
  /// True if, besides, answers follow the parameters without steps.
  [[nodiscard]] virtual bool smooth() const { return repeatable(); }
  /// Largest step between two values of a parameter that are told apart, in the units of theta; 0: continuous.
  [[nodiscard]] virtual double resolution() const { return 0.0; }

  /// What the map stands at when it is asked for theta.  theta, standing (parameter_count); standing is overwritten   rows: of the batch
  virtual void set(const Reading& reading, Index rows, std::span<const S> theta, std::span<S> standing) const;
  /// What is read.  y (B, outputs): what the map gave, replaced
  virtual void read(const Reading& reading, MatrixRef<S> y) const;

  /// dL/dstanding to dL/dtheta, in place.  theta, gradient (parameter_count). Default: the same.
  virtual void pull_set(std::span<const S> theta, std::span<S> gradient) const;
  /// dL/dread to dL/dy, in place.  y (B, outputs): what the map gave   gy (B, outputs). Default: the same.
  virtual void pull_read(const ConstMatrixRef<S>& y, MatrixRef<S> gy) const;
};

/// Readings that do not come back.
struct ReadingFailures {
  double probability = 0.0;  ///< of each attempt, 0 .. 1
  int retries = 3;           ///< times that a reading is repeated before it is given up, >= 0
  bool drop = false;         ///< what the caller can do without comes back as NaN; else, and then, DeviceError
  std::uint64_t seed = 0;
  std::uint32_t part = 0;  ///< of the random numbers, 0 .. 65535
};

/// What a wrapper says about itself to whoever needs to see through it.
template <class S>
class MapWrapper {
 public:
  virtual ~MapWrapper() = default;
  /// The map that it stands around.
  [[nodiscard]] virtual ForwardMap<S>& inner() const = 0;
};

/// `inner` with these effects. The result is all that the wrapped map is, as far as that stays true:
/// - shapes, parameters, their layout, initial values, kind and state (StatefulMap) are those of the wrapped map;
/// - it is an AdjointMap if the wrapped map is one: pullback goes through MapEffects::pull_set and pull_read, at the same reading, and asks
///   the wrapped map once more for its outputs (simulation: not billed);
/// - it is an Instrument if the wrapped map is one (limits, receipts, addresses, the safe state are handed on), or if readings fail;
/// - it has AddressedReadings: smooth() if the effects and the wrapped map are; begin_series() reaches the wrapped map;
/// - it has ManyReadings: handed on in one call where the wrapped map has them;
/// - rows are independent if those of the wrapped map are, effects are repeatable and readings do not fail.
/// It is neither a LinearMap nor a PairedMap: what those save is lost. Cost of forward: B forward evaluations, repeated ones not counted
/// (see Instrument::receipt). Without effects and failures `inner` itself is given back.
/// inner, effects: not null. @throws ConfigError (place "ReadingFailures") for numbers out of range
template <class S>
[[nodiscard]] std::shared_ptr<ForwardMap<S>> wrapped_map(std::shared_ptr<ForwardMap<S>> inner, std::shared_ptr<const MapEffects<S>> effects,
                                                         const ReadingFailures& failures = {});

/// The map inside all wrappers; the map itself if it is none.
template <class S>
[[nodiscard]] const ForwardMap<S>& innermost(const ForwardMap<S>& map);
template <class S>
[[nodiscard]] ForwardMap<S>& innermost(ForwardMap<S>& map);

extern template class MapEffects<float>;
extern template class MapEffects<double>;

}  // namespace ffzero
