// Which known word somebody may have meant.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ffzero {

/// Insertions, deletions, replacements and swaps of neighbours that turn a into b.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The word that is fewest edits away from `asked`, the first of equal ones. words: at least one
[[nodiscard]] const std::string& nearest_word(std::string_view asked, const std::vector<std::string>& words);

}  // namespace ffzero
