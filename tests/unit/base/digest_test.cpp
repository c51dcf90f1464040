// Digests of arrays.
// SPDX-License-Identifier: MIT
#include "ffzero/base/digest.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {
namespace {

TEST(Digest, TellsArraysApartThatDifferInOneBitOrInLength) {
  std::vector<std::byte> bytes(77);
  std::set<std::uint64_t> seen;
  for (std::size_t length = 0; length <= bytes.size(); ++length) seen.insert(digest_of_bytes(std::span(bytes).first(length)));
  EXPECT_EQ(seen.size(), bytes.size() + 1);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] = static_cast<std::byte>(1 << bit);
      seen.insert(digest_of_bytes(bytes));
      bytes[i] = std::byte{0};
    }
  EXPECT_EQ(seen.size(), bytes.size() + 1 + 8 * bytes.size());
  EXPECT_EQ(digest_of_bytes(bytes), digest_of_bytes(bytes));
  EXPECT_NE(digest_of_bytes(bytes, 1), digest_of_bytes(bytes, 2));
}

}  // namespace
}  // namespace ffzero
