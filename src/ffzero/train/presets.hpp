// Named sets of values. Dependency level 4 (train).
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "ffzero/train/keys.hpp"

namespace ffzero {

using PresetValues = std::vector<std::pair<std::string, nlohmann::json>>;

/// The values of a preset for a kind of model. How the ones that are not the paper's were chosen: docs/results.md.
[[nodiscard]] PresetValues preset_values(std::string_view preset, std::string_view kind);
/// True for the presets that reproduce the published program, with its reductions.
[[nodiscard]] bool is_paper_preset(std::string_view preset);

}  // namespace ffzero
