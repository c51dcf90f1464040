// The pen strokes of the built-in digits, as tables. Part of dataset/glyphs; dependency level 2 (dataset).
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

namespace ffzero {

/// A control point in percent of the digit's box, x to the right and y downwards. x < 0 lifts the pen.
struct GlyphPoint {
  float x;
  float y;
};

/// One way of writing a digit: control points of smooth curves, stroke after stroke. A point that is repeated at once makes a corner, a
/// stroke that ends where it began is closed, and equal coordinates are one point: they move together when the shape is disturbed.
using GlyphShape = std::span<const GlyphPoint>;

/// The ways of writing `digit` (0 .. 9); never empty. At most kMaxGlyphPoints points each.
[[nodiscard]] std::span<const GlyphShape> glyph_shapes(int digit);

inline constexpr int kMaxGlyphPoints = 24;

}  // namespace ffzero
