// What the published program reaches.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>

namespace ffzero {

/// Measurements: [{"panel", "solver", "seed", "epochs", "final", "layers": [[[epoch, test value], ..], ..]}, ..]; values are fractions.
/// `final` is the vote with local losses, R^2 of the last layer in regression. The panels are those of reproduce.hpp.
[[nodiscard]] const nlohmann::json& reference_results();

}  // namespace ffzero
