// Single pictures: PGM, PPM and PNG, read as grey bytes.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// height x width bytes, row-major, 0 black, 255 white.
struct GreyImage {
  Index height = 0;
  Index width = 0;
  std::vector<std::uint8_t> pixels;
};

/// Largest picture that is read: 16384 pixels along a side, 2^26 in all.
inline constexpr Index kMaxImageSide = 16384;
inline constexpr Index kMaxImagePixels = Index{1} << 26;

/// Reads a picture; the kind is recognised by content, never by name. PGM and PPM plain (P2, P3) and raw (P5, P6), of any depth; PNG of
/// every colour type, depth and interlacing. Colours become grey by (299 R + 587 G + 114 B) / 1000, 16 bits are rounded to 8, and what is
/// transparent is laid on black. @throws DataError naming the file: not there, another kind, absurd size, truncated, corrupt.
[[nodiscard]] GreyImage read_image(const std::filesystem::path& path);

/// The same from memory; `place` stands for the path in messages. Safe for any bytes whatsoever.
[[nodiscard]] GreyImage parse_image(std::span<const std::uint8_t> bytes, const std::string& place);

/// Writes an 8-bit grey PNG, whole or not at all. @throws OutputError if it cannot be written; ShapeError if the pixels do not match the
/// size.
void write_png(const std::filesystem::path& path, const GreyImage& image);

}  // namespace ffzero
