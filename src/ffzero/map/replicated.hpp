// Several instruments of one size that hold the same parameters and share the samples of a batch.
// SPDX-License-Identifier: MIT
#pragma once

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
template <class S>
class ReplicatedMap final : public InstrumentSet<S> {
 public:
  /// replicas: at least one with a map, of equal shapes and numbers of parameters. @throws ConfigError naming the one that does not fit
  explicit ReplicatedMap(std::vector<NumberedInstrument<S>> replicas);

  [[nodiscard]] Segment parameters_of(std::size_t /*i*/) const override { return {.begin = 0, .size = parameter_count()}; }
  [[nodiscard]] Shape output_shape() const override { return this->first().output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return this->first().parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return this->first().parameter_layout(); }
  void initialise(std::span<S> theta, const RandomStream& random) const override { this->first().initialise(theta, random); }

  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override;
  /// Shared out like a batch.
  [[nodiscard]] Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const override;

 private:
  void require_equal_sizes() const;
  [[nodiscard]] std::string remedy_without(const std::vector<Index>& failed) const override;
};

extern template class ReplicatedMap<float>;
extern template class ReplicatedMap<double>;

}  // namespace ffzero
