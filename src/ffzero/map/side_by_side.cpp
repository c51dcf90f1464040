// Several instruments that look at the same inputs, each a group of outputs with parameters of its own.
// SPDX-License-Identifier: MIT
#include "ffzero/map/side_by_side.hpp"

#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

template <class S>
SideBySideMap<S>::SideBySideMap(std::vector<NumberedInstrument<S>> members) : InstrumentSet<S>(std::move(members)) {
  if (this->present().size() != this->members().size())
    throw ConfigError("devices", "each is a group of outputs, without which there is no layer", "one that is left out", "mend it");
  const auto sizes = [](const ForwardMap<S>& map) {
    return "[" + std::to_string(map.input_shape().size()) + "," + std::to_string(map.output_shape().size()) + "]";
  };
  for (std::size_t p = 0; p < this->present().size(); ++p) {
    const ForwardMap<S>& map = this->map_of(p);
    if (sizes(map) != sizes(this->first()))
      throw ConfigError(
          this->name_of(p),
          "must have the inputs and outputs of " + this->name_of(0) + ", " + sizes(this->first()) + ", beside which it stands", sizes(map),
          "make it a layer of its own");
    const Index begin = segments_.empty() ? 0 : segments_.back().begin + segments_.back().size;
    segments_.push_back({.begin = begin, .size = map.parameter_count()});
  }
}

template <class S>
ParameterLayout SideBySideMap<S>::parameter_layout() const {
  ParameterLayout all{.groups = isize(segments_.size()), .units = {}};
  for (std::size_t i = 0; i < segments_.size(); ++i)
    for (Unit unit : this->map_of(i).parameter_layout().units) {
      unit.group = isize(i);
      for (Segment& segment : unit.segments) segment.begin += segments_[i].begin;
      all.units.push_back(std::move(unit));
    }
  return all;
}

template <class S>
void SideBySideMap<S>::initialise(std::span<S> theta, const RandomStream& random) const {
  for (std::size_t i = 0; i < segments_.size(); ++i)
    this->map_of(i).initialise(part_of(theta, i), i == 0 ? random : random.at(static_cast<std::uint64_t>(i)));
}

template <class S>
std::string SideBySideMap<S>::remedy_without(const std::vector<Index>& /*failed*/) const {
  return "a group has no substitute: mend it and resume";
}

template <class S>
void SideBySideMap<S>::read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                                 bool may_miss) const {
  if (ys.size() != thetas.size()) throw ShapeError(this->kind(), "as many results as parameter vectors", std::to_string(ys.size()));
  for (const std::span<const S> theta : thetas)
    if (isize(theta.size()) != parameter_count())
      throw ShapeError(this->kind(), "theta must have " + std::to_string(parameter_count()) + " entries", std::to_string(theta.size()));
  std::vector<std::vector<Matrix<S>>> found(segments_.size());
  this->read_at_once([&](std::size_t p) {
    std::vector<std::span<const S>> own;
    for (const std::span<const S> theta : thetas) own.push_back(part_of(theta, p));
    found[p].resize(thetas.size());
    this->present()[p].instrument->read_many(own, x, found[p], may_miss);
  });
  for (std::size_t i = 0; i < ys.size(); ++i) {
    ys[i].resize(x.rows(), output_shape().size());
    for (std::size_t p = 0; p < found.size(); ++p) ys[i].middleCols(isize(p) * outputs(), outputs()) = found[p][i];
  }
}

template <class S>
Matrix<S> SideBySideMap<S>::reference_readings(std::span<const S> theta, Index repeats) const {
  Matrix<S> y(repeats, output_shape().size());
  this->read_at_once([&](std::size_t p) {
    y.middleCols(isize(p) * outputs(), outputs()) = this->present()[p].instrument->reference_readings(part_of(theta, p), repeats);
  });
  return y;
}

template class SideBySideMap<float>;
template class SideBySideMap<double>;

}  // namespace ffzero
