// Sums of hinges over classes. Private to loss.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/loss/score_rows-inl.hpp"

namespace ffzero::hinge_kernel {

/// losses[row * losses_stride + group] = margin + sum over the other classes k of max(0, margin + s_k - s_label), in double;
/// not-a-number stays.
void hinge_sums(const ScoreRows<float>& scores, double margin, double* losses, Index losses_stride);
void hinge_sums(const ScoreRows<double>& scores, double margin, double* losses, Index losses_stride);

}  // namespace ffzero::hinge_kernel
