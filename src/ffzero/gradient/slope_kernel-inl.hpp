// The derivative of the slopes of powers in a generator, and its transpose. Private to gradient.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/index.hpp"

namespace ffzero::slope_kernel {

/// Complex numbers are kept as real, then imaginary parts of `stride` numbers each: those of the outputs, and zeros up to a multiple of
/// kPad.
inline constexpr Index kPad = 16;

/// Fields behind U: y (samples, 2, stride).
template <class S>
struct Fields {
  const S* y;
  Index samples, stride;
};

/// A generator V S V^+: v (rank, 2, stride), rank 1 or 2; seen (samples, rank, 2): S V^+ y, which `miss` writes.
template <class S>
struct Point {
  const S* v;
  S* seen;
  Index rank;
};

/// misses (samples, stride) = 2 Re(conj(y) i V S V^+ y) - slopes. returns the sum of their squares
double miss(const Fields<double>& fields, const Point<double>& at, const double* slopes, double* misses);
/// out (rank, 2, stride) = J^T misses, J the derivative of the misses in the parts of V.
void backward(const Fields<double>& fields, const Point<double>& at, const double* misses, double* out);
/// out (rank, 2, stride) = J^T J change.     change (rank, 2, stride)
void normal(const Fields<float>& fields, const Point<float>& at, const float* change, float* out);
void normal(const Fields<double>& fields, const Point<double>& at, const double* change, double* out);

}  // namespace ffzero::slope_kernel
