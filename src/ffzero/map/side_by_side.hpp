// Several instruments that look at the same inputs, each a group of outputs with parameters of its own.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ffzero/map/instrument_set.hpp"

namespace ffzero {

/// y = [f_0(theta_0, x), f_1(theta_1, x), ..]: every instrument reads the whole batch, with its own part of the parameters. Each is a group
/// (ParameterLayout), so that all are perturbed in the same evaluation, and with a loss of its own (prototypes in groups) each gets a
/// difference of its own. None can be left out for a while, as a replica can: without one of the groups a row has no output. Cost of
/// forward: B forward evaluations of the map, in which every instrument reads B rows. S is float or double.
template <class S>
class SideBySideMap final : public InstrumentSet<S> {
 public:
  /// members: all with a map, of equal inputs and outputs; their parameters may differ in number. @throws ConfigError naming the one that
  /// does not fit
  explicit SideBySideMap(std::vector<NumberedInstrument<S>> members);

  [[nodiscard]] Segment parameters_of(std::size_t i) const override { return segments_[i]; }
  [[nodiscard]] Shape output_shape() const override { return {.width = isize(segments_.size()) * outputs()}; }
  [[nodiscard]] Index parameter_count() const override { return segments_.back().begin + segments_.back().size; }
  /// The units of each, as a group of their own.
  [[nodiscard]] ParameterLayout parameter_layout() const override;
  /// Independent values; the first instrument gets what it would get alone.
  void initialise(std::span<S> theta, const RandomStream& random) const override;

  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override;
  /// Of all of them, side by side. Cost: `repeats` readings of each.
  [[nodiscard]] Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const override;

 private:
  [[nodiscard]] Index outputs() const { return this->first().output_shape().size(); }
  template <class T>
  [[nodiscard]] std::span<T> part_of(std::span<T> theta, std::size_t i) const {
    return theta.subspan(usize(segments_[i].begin), usize(segments_[i].size));
  }
  [[nodiscard]] std::string remedy_without(const std::vector<Index>& failed) const override;

  std::vector<Segment> segments_;
};

extern template class SideBySideMap<float>;
extern template class SideBySideMap<double>;

}  // namespace ffzero
