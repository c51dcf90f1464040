// A number that tells long arrays apart.
// SPDX-License-Identifier: MIT
#include "ffzero/base/digest.hpp"

#include <algorithm>
#include <cstring>

namespace ffzero {

std::uint64_t digest_of_bytes(std::span<const std::byte> bytes, std::uint64_t seed) noexcept {
  // Every step is a bijection of the lane, and of the word: what once differs stays different.
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15U;
  constexpr std::size_t kLanes = 4, kWord = sizeof(std::uint64_t);
  const auto mixed = [](std::uint64_t lane, std::uint64_t word) {
    const std::uint64_t product = (lane ^ word) * kFactor;
    return product ^ (product >> 32U);
  };
  std::uint64_t lanes[kLanes] = {seed, seed + 1, seed + 2, seed + 3};
  std::size_t at = 0;
  for (; at + kLanes * kWord <= bytes.size(); at += kLanes * kWord)
    for (std::size_t i = 0; i < kLanes; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at + i * kWord, kWord);
      lanes[i] = mixed(lanes[i], word);
    }
  std::uint64_t result = bytes.size();
  for (const std::uint64_t lane : lanes) result = mixed(result, lane);
  for (; at < bytes.size(); at += kWord) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(kWord, bytes.size() - at));
    result = mixed(result, word);
  }
  return result;
}

}  // namespace ffzero
