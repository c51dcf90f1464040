// The built-in data set: digits drawn from a seed, no file and no network needed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "ffzero/base/index.hpp"
#include "ffzero/dataset/dataset.hpp"

namespace ffzero {

inline constexpr int kGlyphSide = 28;                         ///< pixels in a row and in a column
inline constexpr int kGlyphPixels = kGlyphSide * kGlyphSide;  ///< bytes of one image

/// Which half of the data an image belongs to; the two never share a random number.
enum class GlyphSplit : std::uint32_t { train = 0, test = 1 };

/// The digit shown by image `index`: every ten consecutive images hold each digit once, in random order.
[[nodiscard]] int glyph_label(std::uint64_t seed, GlyphSplit split, Index index);

/// Draws image `index` into `image` (28 x 28 bytes, row-major, ink bright on dark). Depends on the arguments alone, so any part of the set
/// can be drawn at any time; the same bytes on every machine (own polynomials instead of libm, no fused products).
/// index: 0 .. 2^40 - 1. About 30 us.
void draw_glyph(std::uint64_t seed, GlyphSplit split, Index index, std::span<std::uint8_t, kGlyphPixels> image);

/// The whole data set: info().name "glyphs", 10 classes, bytes of shape 1x28x28, no validation split. A smaller set is the beginning of a
/// larger one. Its difficulty (linear, nearest neighbour, dense, convolutional): docs/glyphs.md. About 0.3 s for 12,000 images.
/// @throws ConfigError if a count is negative.
[[nodiscard]] Splits make_glyphs(std::uint64_t seed, int train = 10000, int test = 2000);

}  // namespace ffzero
