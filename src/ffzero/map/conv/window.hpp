// Where windows stand in a plane: the geometry of convolutions and of pooling.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shape.hpp"

namespace ffzero {

/// Windows of size x size pixels, one every `stride` pixels, over a plane with `padding` zeros on every side.
struct Window {
  Index size = 1, stride = 1, padding = 0;
};

/// Windows that fit along one side of this length: floor((side + 2 padding - size) / stride) + 1; 0 if none does or the stride is below 1.
[[nodiscard]] inline Index window_count(Index side, const Window& w) {
  const Index room = side + 2 * w.padding - w.size;
  return w.stride < 1 || room < 0 ? 0 : room / w.stride + 1;
}

/// What windows over planes of this shape give: `channels` planes with one value a window.
[[nodiscard]] inline Shape window_outputs(const Shape& input, Index channels, const Window& w) {
  return {channels, window_count(input.height, w), window_count(input.width, w)};
}

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
