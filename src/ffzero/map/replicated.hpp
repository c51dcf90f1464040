// Several instruments of one size that hold the same parameters and share the samples of a batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ffzero/map/addressed.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/map/instrument.hpp"

namespace ffzero {

/// Rows [first, first + rows) of a batch.
struct RowShare {
  Index first = 0, rows = 0;
  friend bool operator==(const RowShare&, const RowShare&) = default;
};

/// What the i-th of `shares` takes of a batch of `rows`: contiguous, in order, the first rows mod shares of them one row more than the
/// others. 0 <= i < shares   rows >= 0
[[nodiscard]] RowShare share_of(Index rows, Index shares, Index i);

/// One of the instruments of a ReplicatedMap.
template <class S>
struct Replica {
  Index number = 0;                    ///< of the device in its run: how messages and records call it
  std::shared_ptr<ForwardMap<S>> map;  ///< an Instrument; null: the run does without it
  std::string address;                 ///< where it would be reached: for records
};

/// y = f(theta, x) with the rows of x shared out over the instruments by share_of, in the order of their numbers: which rows one reads
/// depends on the size of the batch alone, never on time. Every instrument sets all parameter vectors of a call in their order, so that
/// both sides of a pair are read on one instrument, back to back. All read at the same time, each in a thread of its own. What is written
/// once is one parameter vector: training it finds what suits all of them. S is float or double.
///
/// If one fails, the others end what they read, are put into their safe state, and the DeviceError names the one that failed. If all fail,
/// the error is that of the first.
template <class S>
class ReplicatedMap final : public ForwardMap<S>, public Instrument<S>, public AddressedReadings {
 public:
  /// replicas: at least one with a map, of equal shapes and numbers of parameters. @throws ConfigError naming the one that does not fit
  explicit ReplicatedMap(std::vector<Replica<S>> replicas);

  /// In their order, those left out as well.
  [[nodiscard]] const std::vector<Replica<S>>& replicas() const noexcept { return replicas_; }
  /// Replica i as an instrument; null: left out.
  [[nodiscard]] const Instrument<S>* instrument(std::size_t i) const;

  [[nodiscard]] Shape input_shape() const override { return first().input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return first().output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return first().parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return first().parameter_layout(); }
  void initialise(std::span<S> theta, const RandomStream& random) const override { first().initialise(theta, random); }
  [[nodiscard]] std::string kind() const override { return first().kind(); }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;

  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override;
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
  /// Shared out like a batch.
  [[nodiscard]] Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const override;
  void keep_inside(std::span<S> theta, double margin) const override;
  [[nodiscard]] double resolution() const override;

  void begin_series(const ReadingSeries& series) const override;
  [[nodiscard]] bool smooth() const override;

 private:
  /// An instrument that is there.
  struct Present {
    std::size_t replica;
    const Instrument<S>* instrument;
  };
  [[nodiscard]] const ForwardMap<S>& first() const { return *replicas_[present_.front().replica].map; }
  [[nodiscard]] Index number_of(std::size_t p) const { return replicas_[present_[p].replica].number; }
  /// work(p) for each of the chosen ones of present_, at the same time. What each threw, null for nothing.
  [[nodiscard]] std::vector<std::exception_ptr> at_once(const std::function<void(std::size_t p)>& work) const;
  /// Makes one error of those of a call, after the others have been made safe.
  void require_none(const std::vector<std::exception_ptr>& failures) const;
  void require_equal_sizes() const;

  std::vector<Replica<S>> replicas_;
  std::vector<Present> present_;
  mutable std::mutex busy_;
};

extern template class ReplicatedMap<float>;
extern template class ReplicatedMap<double>;

}  // namespace ffzero
