// A number that tells long arrays apart.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ffzero {

/// 64 bits that follow from the bytes and their number, for comparisons within one job: not for files, not against an adversary. Arrays
/// that differ in one word of eight bytes have different digests. A few bytes a nanosecond.
[[nodiscard]] std::uint64_t digest_of_bytes(std::span<const std::byte> bytes, std::uint64_t seed = 0) noexcept;

}  // namespace ffzero
