// Several instruments that are one map together.
// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/map/addressed.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/map/instrument.hpp"

namespace ffzero {

/// One of the instruments of an InstrumentSet.
template <class S>
struct NumberedInstrument {
  Index number = 0;                    ///< of the device in its run: how messages and records call it
  std::shared_ptr<ForwardMap<S>> map;  ///< an Instrument; null: the run does without it
  std::string address;                 ///< where it would be reached: for records
};

/// What maps of several instruments have in common; who reads what is said by those that derive from it. All read at the same time, each in
/// a thread of its own, and nothing depends on which is ready first. S is float or double.
///
/// If one fails, the others end what they read, are put into their safe state, and the DeviceError names the one that failed. If all fail,
/// the error is that of the first.
template <class S>
class InstrumentSet : public ForwardMap<S>, public Instrument<S>, public AddressedReadings {
 public:
  /// In their order, those left out as well.
  [[nodiscard]] const std::vector<NumberedInstrument<S>>& members() const noexcept { return members_; }
  /// Member i as an instrument; null: left out.
  [[nodiscard]] const Instrument<S>* instrument(std::size_t i) const;
  /// Those parameters of this map that member i holds.
  [[nodiscard]] virtual Segment parameters_of(std::size_t i) const = 0;

  [[nodiscard]] Shape input_shape() const override { return first().input_shape(); }
  [[nodiscard]] std::string kind() const override { return first().kind(); }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;

  /// Addresses and identities of all of them; the largest noise.
  [[nodiscard]] InstrumentInfo info() const override;
  /// The sum of theirs.
  [[nodiscard]] DeviceReceipt receipt() const override;
  /// Lines of each, after its number.
  [[nodiscard]] std::vector<std::string> log() const override;
  /// All of them, also if one of them fails. @throws DeviceError of the first that does not answer
  void safe() const override;
  void begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const override;
  [[nodiscard]] bool keeps_readings() const override;
  void keep_inside(std::span<S> theta, double margin) const override;
  [[nodiscard]] double resolution() const override;

  void begin_series(const ReadingSeries& series) const override;
  [[nodiscard]] bool smooth() const override;

 protected:
  /// An instrument that is there.
  struct Present {
    std::size_t member;
    const Instrument<S>* instrument;
  };
  /// members: at least one with a map. @throws ConfigError naming one that is no instrument
  explicit InstrumentSet(std::vector<NumberedInstrument<S>> members);

  [[nodiscard]] const std::vector<Present>& present() const noexcept { return present_; }
  [[nodiscard]] const ForwardMap<S>& map_of(std::size_t p) const { return *members_[present_[p].member].map; }
  [[nodiscard]] const ForwardMap<S>& first() const { return map_of(0); }
  [[nodiscard]] Index number_of(std::size_t p) const { return members_[present_[p].member].number; }
  /// How messages call present()[p]: "device 3".
  [[nodiscard]] std::string name_of(std::size_t p) const;
  /// work(p) for each of present(), at the same time. Ends with one error for those that it threw, after the others have been made safe.
  /// One call at a time.
  void read_at_once(const std::function<void(std::size_t p)>& work) const;
  /// What is left to do when these numbers have failed: the end of the message.
  [[nodiscard]] virtual std::string remedy_without(const std::vector<Index>& failed) const = 0;

 private:
  /// What each threw, null for nothing.
  [[nodiscard]] std::vector<std::exception_ptr> at_once(const std::function<void(std::size_t p)>& work) const;
  void require_none(const std::vector<std::exception_ptr>& failures) const;

  std::vector<NumberedInstrument<S>> members_;
  std::vector<Present> present_;
  mutable std::mutex busy_;
};

extern template class InstrumentSet<float>;
extern template class InstrumentSet<double>;

}  // namespace ffzero
