// Words that may have been meant.
// SPDX-License-Identifier: MIT
#include "ffzero/base/spelling.hpp"

#include <gtest/gtest.h>

namespace ffzero::test {
namespace {

TEST(Spelling, CountsTheEditsBetweenTwoWords) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("train", ""), 5U);
  EXPECT_EQ(edit_distance("", "train"), 5U);
  EXPECT_EQ(edit_distance("train", "train"), 0U);
  EXPECT_EQ(edit_distance("trian", "train"), 1U) << "neighbours that are swapped";
  EXPECT_EQ(edit_distance("rain", "train"), 1U);
  EXPECT_EQ(edit_distance("traim", "train"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Spelling, NamesTheNearestWord) {
  const std::vector<std::string> words{"eval", "train", "inspect"};
  EXPECT_EQ(nearest_word("tarin", words), "train");
  EXPECT_EQ(nearest_word("inspekt", words), "inspect");
  EXPECT_EQ(nearest_word("zzzz", words), "eval") << "the first of equal ones";
}

}  // namespace
}  // namespace ffzero::test
