// What the four cells of a study say, in words.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "ffzero/report/study_results.hpp"

namespace ffzero {

/// Sentences computed from the numbers, for a study whose only axis is the cell and that holds all four: what each choice (local losses
/// instead of one for the network; directional differences instead of exact gradients) gains or costs. A difference whose quartiles over
/// seeds overlap (with one seed: below 0.01) is called none. Empty for other studies, and while results are missing.
[[nodiscard]] std::vector<std::string> cell_findings(const std::vector<SettingResult>& results);

/// One line a setting: a bar as long as the median test value. For terminals.
[[nodiscard]] std::vector<std::string> text_bars(const std::vector<SettingResult>& results);

}  // namespace ffzero
