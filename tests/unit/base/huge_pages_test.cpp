// A wish for large pages changes no byte, wherever the memory begins and ends.
// SPDX-License-Identifier: MIT
#include "ffzero/base/huge_pages.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

namespace ffzero {
namespace {

TEST(HugePages, KeepWhatTheMemoryHolds) {
  constexpr std::size_t kPage = std::size_t{2} << 20;
  std::vector<std::uint8_t> memory(5 * kPage, 7);
  for (const std::size_t begin : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage})
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage, kPage + 1, 3 * kPage + 5}) {
      errno = 0;
      prefer_huge_pages(memory.data() + begin, bytes);
      EXPECT_EQ(errno, 0);
    }
  EXPECT_EQ(std::count(memory.begin(), memory.end(), 7), static_cast<std::ptrdiff_t>(memory.size()));
  prefer_huge_pages(nullptr, 0);
}

}  // namespace
}  // namespace ffzero
