// One-line checks of the sizes that a map is called with.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shape.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// x (B, input.size()) and y (B, output.size())? @throws ShapeError naming the map, the argument and both sizes
template <class S>
void require_shapes(std::string_view place, const ConstMatrixRef<S>& x, const Shape& input, const ConstMatrixRef<S>& y,
                    const Shape& output) {
  const auto found = [](const ConstMatrixRef<S>& m) { return std::to_string(m.rows()) + " x " + std::to_string(m.cols()); };
  if (x.cols() != input.size()) throw ShapeError(place, "x must have " + std::to_string(input.size()) + " columns", found(x));
  if (y.rows() != x.rows() || y.cols() != output.size())
    throw ShapeError(place, "y must be " + std::to_string(x.rows()) + " x " + std::to_string(output.size()), found(y));
}

/// The same for a result that is about to be written.
template <class S>
void require_shapes(std::string_view place, const ConstMatrixRef<S>& x, const Shape& input, const MatrixRef<S>& y, const Shape& output) {
  require_shapes<S>(place, x, input, ConstMatrixRef<S>(y), output);
}

}  // namespace ffzero
