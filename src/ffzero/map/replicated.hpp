// Several instruments of one size that hold the same parameters and share the samples of a batch.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ffzero/map/instrument_set.hpp"

namespace ffzero {

/// Rows [first, first + rows) of a batch.
struct RowShare {
  Index first = 0, rows = 0;
  friend bool operator==(const RowShare&, const RowShare&) = default;
};

/// What the i-th of `shares` takes of a batch of `rows`: contiguous, in order, the first rows mod shares of them one row more than the
/// others. 0 <= i < shares   rows >= 0
[[nodiscard]] RowShare share_of(Index rows, Index shares, Index i);

/// y = f(theta, x) with the rows of x shared out over the instruments by share_of, in the order of their numbers: which rows one reads
/// depends on the size of the batch alone, never on time. Every instrument sets all parameter vectors of a call in their order, so that
/// both sides of a pair are read on one instrument, back to back. What is written once is one parameter vector: training it finds what
/// suits all of them. S is float or double.
///
/// One that gives not one row of three calls in a row, of which the caller can do without some and which others answered, is at rest: it is
/// not asked until ask_all(), so that no call waits for a device that is gone. Its rows are NaN, like those that it lost. A call to which
/// nobody has an answer is the fault of none, and wakes all.
template <class S>
class ReplicatedMap final : public InstrumentSet<S> {
 public:
  /// Calls in a row without a row, after which a replica is not asked any more.
  static constexpr Index kMostLost = 3;
  /// How a replica has answered what the caller can do without.
  struct Attendance {
    Index lost = 0;            ///< calls in a row without a row, up to kMostLost
    std::int64_t unasked = 0;  ///< rows that it was not asked for since then, all parameter vectors counted
    [[nodiscard]] bool at_rest() const noexcept { return lost >= kMostLost; }
    friend bool operator==(const Attendance&, const Attendance&) = default;
  };

  /// replicas: at least one with a map, of equal shapes and numbers of parameters. @throws ConfigError naming the one that does not fit
  explicit ReplicatedMap(std::vector<NumberedInstrument<S>> replicas);

  [[nodiscard]] Segment parameters_of(std::size_t /*i*/) const override { return {.begin = 0, .size = parameter_count()}; }
  [[nodiscard]] Shape output_shape() const override { return this->first().output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return this->first().parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return this->first().parameter_layout(); }
  void initialise(std::span<S> theta, const RandomStream& random) const override { this->first().initialise(theta, random); }

  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override;
  /// Of member i; one that is left out has never lost anything.
  [[nodiscard]] Attendance attendance(std::size_t i) const;
  /// Member i has lost so many calls in a row in an earlier session of the run. lost >= 0
  void resume_attendance(std::size_t i, Index lost) const;
  /// Nobody is at rest.
  void ask_all() const;
  /// Shared out like a batch.
  [[nodiscard]] Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const override;

 private:
  void require_equal_sizes() const;
  void take_attendance(const std::vector<RowShare>& shares, const std::vector<bool>& asked,
                       const std::vector<std::vector<Matrix<S>>>& found) const;
  [[nodiscard]] std::string remedy_without(const std::vector<Index>& failed) const override;

  mutable std::mutex noting_;
  mutable std::vector<Attendance> attendance_;  ///< one for each member
};

extern template class ReplicatedMap<float>;
extern template class ReplicatedMap<double>;

}  // namespace ffzero
