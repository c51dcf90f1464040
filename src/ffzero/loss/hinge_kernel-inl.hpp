// Sums of hinges over classes. Private to loss.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ffzero/base/index.hpp"

namespace ffzero::hinge_kernel {

/// Scores (rows, groups * classes), rows `stride` numbers apart, and a label in 0 .. classes - 1 for each row.
template <class S>
struct Scores {
  const S* data;
  Index stride, rows, groups, classes;
  const std::int32_t* labels;
};

/// losses[row * losses_stride + group] = margin + sum over the other classes k of max(0, margin + s_k - s_label), in double;
/// not-a-number stays.
void hinge_sums(const Scores<float>& scores, double margin, double* losses, Index losses_stride);
void hinge_sums(const Scores<double>& scores, double margin, double* losses, Index losses_stride);

}  // namespace ffzero::hinge_kernel
