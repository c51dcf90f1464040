// Optional refinement: what a piece of hardware says and does beside answering.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/device_receipt.hpp"
#include "ffzero/map/many_readings.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// What an instrument is, as far as records keep it. Texts are foreign: cleaned and bounded by whoever fills them in.
struct InstrumentInfo {
  std::string address;   ///< where it was reached
  std::string identity;  ///< what it calls itself
  double noise = 0.0;    ///< largest declared standard deviation of a reading; 0: not declared
};

/// A map behind which stands hardware, or its simulated twin: it has limits, readings that cost time and repeat only within a noise, and a
/// state to be left in.
template <class S>
class Instrument : public virtual ManyReadings<S> {
 public:
  [[nodiscard]] virtual InstrumentInfo info() const = 0;
  /// What it was asked to do so far.
  [[nodiscard]] virtual DeviceReceipt receipt() const = 0;
  /// The run goes on in which an earlier session asked for this much. Default: nothing follows from it.
  virtual void go_on(const DeviceReceipt& earlier) const { static_cast<void>(earlier); }
  /// What it said beside its answers, cleaned and bounded.
  [[nodiscard]] virtual std::vector<std::string> log() const = 0;
  /// Every parameter to its safe value until the next evaluation. @throws DeviceError
  virtual void safe() const = 0;

  /// The readings that follow are number 0, 1, .. of this step of this stream: a simulated instrument then gives the same noise to the same
  /// reading, in a run that was interrupted too. lasting: every session of the run asks for them again, so that a checkpoint does not make
  /// a kept reading superfluous.
  virtual void begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const = 0;
  /// The batches that follow are rows first, first + 1, .. of larger ones, until the next begin_readings: several instruments share them,
  /// and a simulated one has the noise of these rows. Default: rows have no numbers.
  virtual void begin_rows(Index first) const { static_cast<void>(first); }
  /// So many of the readings are taken by others alone, because the batch has no row for this instrument or because it is at rest
  /// (ReplicatedMap). Default: readings have no numbers.
  virtual void pass_over(std::size_t readings) const { static_cast<void>(readings); }
  /// True if readings with an address are kept: then a step that is repeated does not ask for them again. Default: they are not.
  [[nodiscard]] virtual bool keeps_readings() const { return false; }
  /// One fixed input, read `repeats` times in one evaluation at theta: what noise and drift are judged by. (repeats, outputs)
  /// Cost: `repeats` forward evaluations. @throws DeviceError
  [[nodiscard]] virtual Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const = 0;

  /// Moves every limited parameter so far inside its range that theta +- margin is inside too.  theta (parameter_count)   margin >= 0
  virtual void keep_inside(std::span<S> theta, double margin) const = 0;
  /// Largest step between two values of a parameter that the instrument tells apart, in the units of theta; 0: continuous.
  [[nodiscard]] virtual double resolution() const = 0;
};

}  // namespace ffzero
