// Parameters of a layer of weights and biases, in groups of outputs.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/parameter_layout.hpp"

namespace ffzero {

/// theta is W row-major (outputs, inputs), then b (outputs). Group g has the rows g outputs / groups .. (g + 1) outputs / groups of both.
[[nodiscard]] ParameterLayout dense_layout(Index inputs, Index outputs, Index groups);
/// @throws ConfigError naming model.groups unless groups is at least 1 and divides outputs
void require_groups(Index outputs, Index groups);

}  // namespace ffzero
