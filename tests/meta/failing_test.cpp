// Fails on purpose: proves that a failing expectation reaches ctest as a failure.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

TEST(DeliberateFailure, ReachesTheExitCode) { EXPECT_EQ(1, 2); }
