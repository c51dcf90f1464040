// The digital readout.
// SPDX-License-Identifier: MIT
#include "ffzero/train/readout.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace ffzero {
namespace {

// One feature that says nothing: what is learnt are the logarithms of the shares of the classes.
double log_odds(std::span<const float> weights) {
  const Matrix<double> features = Matrix<double>::Zero(60, 1);
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 60; ++i) labels.push_back(i % 3 == 0 ? 1 : 0);
  const Matrix<double> readout =
      fit_readout<double>(features, labels, 2, {.epochs = 400, .batch_size = 20, .lr = 0.05, .weights = weights});
  return readout(1, 1) - readout(0, 1);
}

TEST(Readout, CountsSamplesByTheirWeights) {
  EXPECT_NEAR(log_odds({}), std::log(0.5), 0.05);
  const std::vector<float> alike(60, 0.25F);
  EXPECT_DOUBLE_EQ(log_odds(alike), log_odds({}));
  std::vector<float> balanced(60, 1.0F);
  for (std::size_t i = 0; i < 60; i += 3) balanced[i] = 4.0F;
  EXPECT_NEAR(log_odds(balanced), std::log(2.0), 0.05);
}

}  // namespace
}  // namespace ffzero
