// Checks of a pooling window. Internal to map/conv.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shape.hpp"

namespace ffzero {

/// size = 0: no pooling, any stride. Otherwise 1 <= size <= height, width and stride >= 1. Returns the input.
/// @throws ConfigError (model.conv.pool, model.conv.pool_stride) with the value and a remedy
[[nodiscard]] inline Shape checked_window(Shape input, Index size, Index stride) {
  if (size < 0) throw ConfigError("model.conv.pool", "must not be negative", std::to_string(size), "0 switches pooling off");
  if (size > input.height || size > input.width)
    throw ConfigError("model.conv.pool", "pooling would leave nothing of maps of " + to_string(input), std::to_string(size),
                      "choose a window that fits, or 0 for none");
  if (size > 0 && stride < 1)
    throw ConfigError("model.conv.pool_stride", "must be at least 1", std::to_string(stride), "the size of the window is usual");
  return input;
}

}  // namespace ffzero
