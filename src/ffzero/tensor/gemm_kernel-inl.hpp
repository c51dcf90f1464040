// Products in float with a long inner dimension, as the first dense layer needs them. Private to tensor.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/index.hpp"

namespace ffzero::gemm_kernel {

/// A row-major matrix: `stride` numbers from one row to the next.
struct View {
  const float* data;
  Index stride;
};

/// What a product is added to: nothing (all null), beta times the old result, or one number per column.
struct Start {
  float beta = 0.0F;
  const float* columns = nullptr;
};

struct Sizes {
  Index rows, columns, inner;
};

/// Longest inner dimension.
constexpr Index kMaxInner = 2048;

/// Name of the processor target that was chosen, as Highway names it: "AVX2", "AVX3_ZEN4".
const char* target_name();
/// Whether this processor has the vectors that make it worth while.
bool serves();
/// c (rows, columns) = a b^T + start.   a (rows, inner)   b (columns, inner)   1 <= inner <= kMaxInner. Every entry is summed in the same
/// order whatever the numbers of rows and columns.
void product_nt(View a, View b, Sizes sizes, Start start, float* c, Index c_stride);

}  // namespace ffzero::gemm_kernel
