// RapidCheck inside GoogleTest with a fixed seed, and random matrices for it. Link: rapidcheck.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero::test {

/// Fails the running test if `property` is falsified. The cases are the same in every run unless RC_PARAMS says otherwise.
template <class Property>
void expect_property(const std::string& sentence, Property&& property) {
  setenv("RC_PARAMS", "seed=20260101", 0);  // RapidCheck reads it when it checks for the first time
  EXPECT_TRUE(rc::check(sentence, std::forward<Property>(property))) << sentence;
}

/// Standard normal entries that depend on `seed` alone.
template <class S = double>
Matrix<S> normal_matrix(Index rows, Index cols, std::uint64_t seed) {
  Matrix<S> m(rows, cols);
  RandomStream(seed, Stream::test).fill_normal(std::span<S>(m.data(), usize(m.size())));
  return m;
}

/// Labels 0 .. classes - 1.
inline std::vector<std::int32_t> random_labels(Index count, Index classes, std::uint64_t seed) {
  std::vector<std::uint32_t> words(usize(count));
  RandomStream(seed, Stream::test, 1).fill_bits(words);
  std::vector<std::int32_t> labels;
  for (const std::uint32_t w : words) labels.push_back(static_cast<std::int32_t>(w % static_cast<std::uint32_t>(classes)));
  return labels;
}

/// The elements that a span shows, to be compared with a list.
template <class T>
std::vector<T> copy(std::span<const T> elements) {
  return {elements.begin(), elements.end()};
}

/// The root of the mean square of an array's entries.
double rms(const auto& values) { return std::sqrt(values.square().mean()); }

}  // namespace ffzero::test
