// Rows of weights and biases of each group.
// SPDX-License-Identifier: MIT
#include "ffzero/map/dense_layout.hpp"

#include <string>

#include "ffzero/base/error.hpp"

namespace ffzero {

ParameterLayout dense_layout(Index inputs, Index outputs, Index groups) {
  ParameterLayout layout{.groups = groups, .units = {}};
  const Index rows = outputs / groups;
  for (Index g = 0; g < groups; ++g)
    layout.units.push_back(
        {.group = g,
         .segments = {{.begin = g * rows * inputs, .size = rows * inputs}, {.begin = outputs * inputs + g * rows, .size = rows}}});
  return layout;
}

void require_groups(Index outputs, Index groups) {
  if (groups < 1 || outputs % groups != 0)
    throw ConfigError("model.groups", "the number of groups must divide the width " + std::to_string(outputs), std::to_string(groups),
                      "choose a divisor of the width");
}

}  // namespace ffzero
