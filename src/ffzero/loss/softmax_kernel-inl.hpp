// Exponentials and softmax losses of many scores at once. Private to loss.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/loss/score_rows-inl.hpp"

namespace ffzero::softmax_kernel {

/// v[i] = exp(v[i]) to about one unit in the last place; not-a-number stays.
void exp_in_place(double* v, Index n);

struct Options {
  double inverse_temperature, smoothing, margin;
};

/// losses[row * losses_stride + group] = log sum_k exp(t_k) - (1 - smoothing) t_label - smoothing * mean of t, in double, where t_k is
/// s_k / temperature, and (s_label - margin) / temperature for the label; not-a-number stays.
void softmax_losses(const ScoreRows<float>& scores, const Options& options, double* losses, Index losses_stride);
void softmax_losses(const ScoreRows<double>& scores, const Options& options, double* losses, Index losses_stride);

}  // namespace ffzero::softmax_kernel
