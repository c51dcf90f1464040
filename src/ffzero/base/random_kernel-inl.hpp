// Kernels of RandomStream: many Philox blocks at once. Private to base; used by random.cpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ffzero/base/index.hpp"

namespace ffzero::random_kernel {

/// Everything of a Philox 4x32-10 counter and key but the number of the block: counter words are {block, step, high, part}, where the low
/// 24 bits of `high` are those of block >> 32.
struct Source {
  std::uint32_t key[2];
  std::uint32_t step, high, part;
};

/// out (4 blocks), overwritten: what blocks first .. first + blocks - 1 hold. Same bits on every processor.
void fill_bits(const Source& source, std::uint64_t first, Index blocks, std::uint32_t* out);
void fill_uniform(const Source& source, std::uint64_t first, Index blocks, float* out);
void fill_normal(const Source& source, std::uint64_t first, Index blocks, float* out);

/// out (32 words): +scale where a bit of words (words) is set, -scale where not, lowest bit first.
void spread_signs(const std::uint32_t* bits, Index words, float scale, float* out);
void spread_signs(const std::uint32_t* bits, Index words, double scale, double* out);

}  // namespace ffzero::random_kernel
