// Sums over vectors, on every target of this processor.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/reduce.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/random.hpp"
#include "support/each_target.hpp"

namespace ffzero {
namespace {

template <class S>
void expect_right_sums() {
  for (std::size_t n = 0; n < 200; ++n) {
    std::vector<S> v(n), w(n);
    RandomStream(n, Stream::test, 0, 0).fill_normal(std::span<S>(v));
    RandomStream(n, Stream::test, 1, 0).fill_normal(std::span<S>(w));
    const double centre = 0.25;
    long double sum = 0.0L, squares = 0.0L, around = 0.0L, product = 0.0L, size = 0.0L;
    for (std::size_t i = 0; i < n; ++i) {
      const long double x = v[i];
      sum += x;
      size += std::fabs(x);
      squares += x * x;
      around += (x - centre) * (x - centre);
      product += x * static_cast<long double>(w[i]);
    }
    const std::span<const S> values(v), others(w);
    const Moments m = moments(values);
    const double off = 1e-14;
    EXPECT_NEAR(m.sum, static_cast<double>(sum), off * static_cast<double>(size)) << n;
    EXPECT_NEAR(m.squares, static_cast<double>(squares), off * static_cast<double>(squares)) << n;
    EXPECT_EQ(m.squares, squared_norm(values)) << n;
    EXPECT_NEAR(squared_distance(values, centre), static_cast<double>(around), off * static_cast<double>(around)) << n;
    EXPECT_NEAR(inner_product(values, others), static_cast<double>(product), off * static_cast<double>(squares + 10.0L)) << n;
  }
}

class Reduce : public test::OnTarget {};

TEST_P(Reduce, GivesTheSumsOfAnyNumberOfValues) {
  expect_right_sums<float>();
  expect_right_sums<double>();
}

INSTANTIATE_TEST_SUITE_P(OfThisProcessor, Reduce, testing::ValuesIn(test::targets_of_this_processor()), test::target_name);

}  // namespace
}  // namespace ffzero
