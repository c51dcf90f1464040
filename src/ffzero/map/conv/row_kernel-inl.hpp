// Passes over contiguous maps, in SIMD registers. Internal to map/conv.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/index.hpp"

namespace ffzero::conv {

/// One plane (height, width) -> (out_height, out_width): largest of 2 x 2 windows side by side; NaN wins. width >= 2 out_width.
template <class S>
void max_pool_pairs(const S* plane, Index width, Index out_height, Index out_width, S* out);

/// sums[0] += sum of g, sums[1] += sum of g v: partial sums of at most 2^10 numbers in S, all others in double.
template <class S>
void add_slope_sums(const S* g, const S* v, Index size, double* sums);

/// v = a g + b v + c.
template <class S>
void combine(const S* g, Index size, S a, S b, S c, S* v);

/// plus = a0 z + a1 p + a2 one, minus likewise with b; one may be null: 1.
template <class S>
void combine_sides(const S* z, const S* p, const S* one, Index size, const S* a, const S* b, S* plus, S* minus);

}  // namespace ffzero::conv
