// Down-sampling by adaptive average pooling.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// out (n, n): cell (i, j) is the mean of the rows floor(i height/n) .. ceil((i + 1) height/n) - 1 of `plane` (height, width), columns
/// likewise: cells overlap where n does not divide the size. Sums in double.                           [spec section 2]
/// @throws ShapeError  sizes of the spans do not fit, or n is not within 1 .. min(height, width)
template <class S>
void adaptive_average_pool(std::span<const S> plane, Index height, Index width, Index n, std::span<S> out);

}  // namespace ffzero
