// Edit distance.
// SPDX-License-Identifier: MIT
#include "ffzero/base/spelling.hpp"

#include <algorithm>
#include <numeric>

namespace ffzero {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, above(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above = row;
    row[0] = i;
    for (std::size_t k = 1; k <= b.size(); ++k) {
      row[k] = std::min({above[k] + 1, row[k - 1] + 1, above[k - 1] + (a[i - 1] == b[k - 1] ? 0 : 1)});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) row[k] = std::min(row[k], before[k - 2] + 1);
    }
  }
  return row[b.size()];
}

const std::string& nearest_word(std::string_view asked, const std::vector<std::string>& words) {
  return *std::min_element(words.begin(), words.end(),
                           [&](const std::string& a, const std::string& b) { return edit_distance(asked, a) < edit_distance(asked, b); });
}

}  // namespace ffzero
