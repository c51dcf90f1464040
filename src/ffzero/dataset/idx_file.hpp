// The IDX files of MNIST and its relatives, gzipped or not.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// `count` images of height x width bytes, image after image, row-major.
struct IdxImages {
  Index count = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;
};

/// Reads images (magic number 2051) or labels (2049); gzip is recognised by content, never by name, and is unpacked straight into the
/// result, so that the pixels are in memory once. @throws DataError naming the file for anything but a complete, undamaged file of
/// that kind: missing, truncated, too long, wrong checksum, labels in the place of images, no items.
[[nodiscard]] IdxImages read_idx_images(const std::filesystem::path& path);
[[nodiscard]] std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& path);

/// The same from memory; `place` stands for the path in messages. Safe for any bytes whatsoever.
[[nodiscard]] IdxImages parse_idx_images(std::span<const std::byte> bytes, const std::string& place);
[[nodiscard]] std::vector<std::uint8_t> parse_idx_labels(std::span<const std::byte> bytes, const std::string& place);

}  // namespace ffzero
