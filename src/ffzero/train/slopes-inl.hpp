// Lengths that the self-check and the search for step sizes measure slopes by.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Root mean square over the units of their lengths; 1 if all parameters are 0.
template <class S>
[[nodiscard]] double unit_length(const ParameterLayout& layout, std::span<const S> theta) {
  double squared = 0.0;
  for (const Unit& unit : layout.units)
    for (const Segment& s : unit.segments) squared += as_vector(theta).segment(s.begin, s.size).template cast<double>().squaredNorm();
  return squared > 0.0 ? std::sqrt(squared / static_cast<double>(layout.units.size())) : 1.0;
}

/// Root mean square of the entries; 0 without any.
[[nodiscard]] inline double rms(const Matrix<double>& m) {
  return std::sqrt(m.squaredNorm() / static_cast<double>(std::max<Index>(1, m.size())));
}

}  // namespace ffzero
