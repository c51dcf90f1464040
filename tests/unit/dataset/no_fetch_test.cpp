// A build without downloads.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ffzero/base/error.hpp"
#include "ffzero/dataset/fetch.hpp"

namespace ffzero {

TEST(Fetch, SaysThatTheBuildHasNoDownloads) {
  try {
    static_cast<void>(fetch_dataset("mnist", "data"));
    FAIL() << "must throw";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), testing::AllOf(testing::HasSubstr("FFZERO_FETCH=OFF"), testing::HasSubstr("data/mnist")));
  }
}

}  // namespace ffzero
