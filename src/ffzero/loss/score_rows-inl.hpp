// Scores as the kernels of losses see them. Private to loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// Scores (rows, groups * classes), rows `stride` numbers apart, and a label in 0 .. classes - 1 for each row.
template <class S>
struct ScoreRows {
  const S* data;
  Index stride, rows, groups, classes;
  const std::int32_t* labels;
};

}  // namespace ffzero
