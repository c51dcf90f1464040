// IDX files put together by hand, good ones and bad ones.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"

namespace ffzero::test {

inline std::string big_endian(std::uint32_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((value >> shift) & 0xFFU);
  return out;
}

/// Images with the pixels 0, 1, 2, .. 250, 0, 1, ..
inline std::string idx_images(std::uint32_t count, std::uint32_t height, std::uint32_t width) {
  std::string out = big_endian(0x803) + big_endian(count) + big_endian(height) + big_endian(width);
  for (std::uint32_t i = 0; i < count * height * width; ++i) out += static_cast<char>(i % 251);
  return out;
}

inline std::string idx_labels(const std::vector<std::uint8_t>& labels) {
  return big_endian(0x801) + big_endian(static_cast<std::uint32_t>(labels.size())) + std::string(labels.begin(), labels.end());
}

/// 0, 1, .. classes - 1, 0, 1, ..
inline std::vector<std::uint8_t> cyclic_labels(int count, int classes) {
  std::vector<std::uint8_t> labels;
  for (int i = 0; i < count; ++i) labels.push_back(static_cast<std::uint8_t>(i % classes));
  return labels;
}

/// A whole data set of small images: 30 for training, 10 for the test, ten classes.
inline void write_idx_set(const TemporaryFolder& folder, const std::string& under, std::uint32_t side) {
  folder.write(under + "/train-images-idx3-ubyte", idx_images(30, side, side));
  folder.write(under + "/train-labels-idx1-ubyte", idx_labels(cyclic_labels(30, 10)));
  folder.write(under + "/t10k-images-idx3-ubyte", idx_images(10, side, side));
  folder.write(under + "/t10k-labels-idx1-ubyte", idx_labels(cyclic_labels(10, 10)));
}

}  // namespace ffzero::test
