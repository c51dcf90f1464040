// Pixels from bytes to floats. Private to encode.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ffzero/base/index.hpp"

namespace ffzero::byte_kernel {

/// out = (bytes / 255 - low) / range, every operation rounded once, on every processor.
void scale(const std::uint8_t* bytes, Index n, float low, float range, float* out);

}  // namespace ffzero::byte_kernel
