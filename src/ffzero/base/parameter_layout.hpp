// How a parameter vector splits into groups and units.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// A contiguous range of parameters.
struct Segment {
  Index begin = 0;
  Index size = 0;
};

/// Parameters that share one direction of unit length. Its gradient estimate is scaled by its own size  [docs/notation.md, Units, groups,
/// blocks].
struct Unit {
  Index group = 0;                ///< which loss sees these parameters, 0 .. groups - 1
  std::vector<Segment> segments;  ///< disjoint, in ascending order

  [[nodiscard]] Index size() const noexcept {
    Index n = 0;
    for (const Segment& s : segments) n += s.size;
    return n;
  }
};

/// Groups touch disjoint outputs and have losses of their own, so all of them are perturbed in the same evaluation and each gets its
/// own difference: the channels of a convolution, the output groups of a dense layer. Units split a group further: the theta, phi
/// and gamma of a mesh are three units of one group. Units never overlap; a parameter that is in no unit is held fixed
/// (batch norm in end-to-end training).
struct ParameterLayout {
  Index groups = 1;
  std::vector<Unit> units;

  /// One group, one unit: everything is perturbed along one unit direction.
  [[nodiscard]] static ParameterLayout whole(Index parameter_count) {
    return {.groups = 1, .units = {Unit{.group = 0, .segments = {{.begin = 0, .size = parameter_count}}}}};
  }
};

}  // namespace ffzero
