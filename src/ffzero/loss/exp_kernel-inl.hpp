// Exponentials of many numbers at once. Private to loss.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/index.hpp"

namespace ffzero::exp_kernel {

/// v[i] = exp(v[i]) to about one unit in the last place; not-a-number stays.
void exp_in_place(double* v, Index n);

}  // namespace ffzero::exp_kernel
