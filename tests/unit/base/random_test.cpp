// Random numbers: the generator itself, the transforms behind it, and that any piece can be made again.
// SPDX-License-Identifier: MIT
#include "ffzero/base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <vector>

namespace ffzero {
namespace {

using Words = std::array<std::uint32_t, 4>;

/// Philox 4x32-10 as published, written out.
Words plain_philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ULL * counter[0], b = 0xCD9E8D57ULL * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(a)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

TEST(Philox, PlainVersionGivesThePublishedAnswers) {
  EXPECT_EQ(plain_philox({0, 0, 0, 0}, 0, 0), (Words{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(plain_philox({~0U, ~0U, ~0U, ~0U}, ~0U, ~0U), (Words{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(plain_philox({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, 0xA4093822, 0x299F31D0),
            (Words{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(RandomStream, WordsArePhiloxOfSeedStreamPartStepAndPosition) {
  const std::uint64_t seed = 0x0123456789ABCDEFULL, step = 0xAB12345678ULL;
  const RandomStream stream(seed, Stream::dropout, 513, step);
  for (const std::uint64_t block : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 20, (std::uint64_t{5} << 32) + 7}) {
    Words words{};
    stream.fill_bits(words, static_cast<Index>(4 * block));
    const Words counter{static_cast<std::uint32_t>(block), 0x12345678U, 0xABU << 24 | static_cast<std::uint32_t>(block >> 32),
                        static_cast<std::uint32_t>(Stream::dropout) << 16 | 513U};
    EXPECT_EQ(words, plain_philox(counter, 0x89ABCDEFU, 0x01234567U)) << block;
  }
}

TEST(RandomStream, StreamsPartsStepsAndSeedsShareNoNumbers) {
  std::vector<Words> all;
  const auto add = [&](const RandomStream& s) {
    Words w{};
    s.fill_bits(w);
    all.push_back(w);
  };
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (const Stream stream : {Stream::data, Stream::order, Stream::direction})
      for (std::uint32_t part = 0; part < 4; ++part)
        for (std::uint64_t step = 0; step < 4; ++step) add({seed, stream, part, step});
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  const RandomStream base(3, Stream::order);
  Words a{}, b{};
  base.of(2).at(9).fill_bits(a);
  RandomStream(3, Stream::order, 2, 9).fill_bits(b);
  EXPECT_EQ(a, b);
}

template <class T, class Fill>
void expect_pieces(Fill fill) {
  const Index n = 1000;
  std::vector<T> whole(usize(n));
  fill(std::span<T>(whole), 0);
  for (const Index first : {0, 1, 3, 31, 32, 33, 255, 256, 257, 700})
    for (const Index count : {1, 2, 5, 63, 64, 257}) {
      std::vector<T> piece(usize(count));
      fill(std::span<T>(piece), first);
      ASSERT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + first)) << "first " << first << " count " << count;
    }
}

TEST(RandomStream, AnyPieceCanBeMadeAgain) {
  const RandomStream s(11, Stream::test, 3, 4);
  expect_pieces<std::uint32_t>([&](auto out, Index first) { s.fill_bits(out, first); });
  expect_pieces<float>([&](auto out, Index first) { s.fill_uniform(out, first); });
  expect_pieces<double>([&](auto out, Index first) { s.fill_uniform(out, first); });
  expect_pieces<float>([&](auto out, Index first) { s.fill_normal(out, first); });
  expect_pieces<double>([&](auto out, Index first) { s.fill_normal(out, first); });
  expect_pieces<float>([&](auto out, Index first) { s.fill_sign(out, first); });
  expect_pieces<double>([&](auto out, Index first) { s.fill_sign(out, first); });
}

TEST(RandomStream, FloatAndDoubleVersionsAreTheSameNumbers) {
  const RandomStream s(5, Stream::test);
  std::vector<float> f(777);
  std::vector<double> d(777);
  const auto same = [&] {
    return std::equal(f.begin(), f.end(), d.begin(), [](float a, double b) { return static_cast<double>(a) == b; });
  };
  s.fill_uniform(f), s.fill_uniform(d);
  EXPECT_TRUE(same());
  s.fill_normal(f), s.fill_normal(d);
  EXPECT_TRUE(same());
  s.fill_sign(f), s.fill_sign(d);
  EXPECT_TRUE(same());
}

constexpr Index kMany = 1 << 20;

TEST(RandomStream, UniformsStayInsideTheOpenIntervalAndFillIt) {
  std::vector<float> u(usize(kMany));
  std::array<int, 64> cells{};
  double sum = 0.0;
  for (std::uint64_t step = 0; step < 2; ++step) {
    RandomStream(1, Stream::test, 0, step).fill_uniform(u);
    for (const float v : u) {
      ASSERT_GT(v, 0.0F);
      ASSERT_LT(v, 1.0F);
      ++cells[static_cast<std::size_t>(v * 64.0F)];
      sum += static_cast<double>(v);
    }
  }
  const double n = 2.0 * kMany, expected = n / 64.0;
  EXPECT_NEAR(sum / n, 0.5, 5.0 * std::sqrt(1.0 / 12.0 / n));
  double chi_squared = 0.0;
  for (const int count : cells) chi_squared += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi_squared, 63.0 + 5.0 * std::sqrt(2.0 * 63.0));
}

TEST(RandomStream, LargestWordsStayBelowOne) {
  std::uint32_t word = 0;
  const RandomStream s(0, Stream::test);
  const Index position = 3117656;  // one of the words of a share of 2^-24 that round to 1
  s.fill_bits({&word, 1}, position);
  ASSERT_EQ(word >> 8, 0xFFFFFFU);
  float single = 0.0F;
  double both = 0.0;
  s.fill_uniform({&single, 1}, position);
  s.fill_uniform({&both, 1}, position);
  EXPECT_EQ(single, 1.0F - 0x1p-24F);
  EXPECT_EQ(both, 1.0 - 0x1p-24);
}

TEST(RandomStream, NormalsAreBoxMullerToFloatRounding) {
  const RandomStream s(2, Stream::test);
  std::vector<std::uint32_t> words(usize(kMany));
  std::vector<float> z(usize(kMany));
  s.fill_bits(words);
  s.fill_normal(z);
  double worst = 0.0;
  for (std::size_t i = 0; i < z.size(); i += 2) {
    const auto uniform = [](std::uint32_t w) {
      return static_cast<double>(std::min((static_cast<float>(w >> 8) + 0.5F) * 0x1p-24F, 1.0F - 0x1p-24F));
    };
    const double radius = std::sqrt(-2.0 * std::log(uniform(words[i]))), turn = 2.0 * std::numbers::pi * uniform(words[i + 1]);
    worst = std::max(worst, std::abs(static_cast<double>(z[i]) - radius * std::cos(turn)) / radius);
    worst = std::max(worst, std::abs(static_cast<double>(z[i + 1]) - radius * std::sin(turn)) / radius);
  }
  RecordProperty("worst_error_over_radius_in_1e-9", static_cast<int>(worst * 1e9));
  EXPECT_LT(worst, 4e-7) << "largest error over the radius";
}

TEST(RandomStream, NormalsHaveTheMomentsAndTheDistributionOfANormal) {
  std::vector<double> z(usize(kMany));
  RandomStream(3, Stream::test).fill_normal(z);
  const auto n = static_cast<double>(kMany);
  std::array<double, 5> moment{};
  double neighbours = 0.0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    for (std::size_t k = 1; k < 5; ++k) moment[k] += std::pow(z[i], static_cast<double>(k)) / n;
    if (i + 1 < z.size()) neighbours += z[i] * z[i + 1] / n;
  }
  EXPECT_NEAR(moment[1], 0.0, 5.0 / std::sqrt(n));
  EXPECT_NEAR(moment[2], 1.0, 5.0 * std::sqrt(2.0 / n));
  EXPECT_NEAR(moment[3], 0.0, 5.0 * std::sqrt(15.0 / n));
  EXPECT_NEAR(moment[4], 3.0, 5.0 * std::sqrt(96.0 / n));
  EXPECT_NEAR(neighbours, 0.0, 5.0 / std::sqrt(n));
  std::sort(z.begin(), z.end());
  double distance = 0.0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double p = 0.5 * std::erfc(-z[i] / std::numbers::sqrt2);
    distance = std::max({distance, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  EXPECT_LT(distance * std::sqrt(n), 1.95) << "Kolmogorov-Smirnov at p = 0.001";
}

TEST(RandomStream, SignsAreFairAndIndependentOfTheirNeighbours) {
  std::vector<double> s(usize(kMany));
  RandomStream(4, Stream::test).fill_sign(s);
  double sum = 0.0, neighbours = 0.0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    ASSERT_EQ(std::abs(s[i]), 1.0);
    sum += s[i];
    if (i + 1 < s.size()) neighbours += s[i] * s[i + 1];
  }
  EXPECT_LT(std::abs(sum), 5.0 * std::sqrt(static_cast<double>(kMany)));
  EXPECT_LT(std::abs(neighbours), 5.0 * std::sqrt(static_cast<double>(kMany)));
}

TEST(RandomStream, PermutationsHoldEveryNumberOnce) {
  for (const std::size_t n : {0U, 1U, 2U, 3U, 511U, 512U, 513U, 60000U}) {
    std::vector<std::uint32_t> p(n), sorted(n);
    RandomStream(5, Stream::order, 0, n).permutation(p);
    sorted = p;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(sorted[i], i);
    if (n > 500U) {
      EXPECT_FALSE(std::is_sorted(p.begin(), p.end()));
    }
  }
}

TEST(RandomStream, PermutationsAreEquallyLikely) {
  std::map<std::array<std::uint32_t, 4>, int> seen;
  const int draws = 24000;
  for (int i = 0; i < draws; ++i) {
    std::array<std::uint32_t, 4> p{};
    RandomStream(6, Stream::order, 0, static_cast<std::uint64_t>(i)).permutation(p);
    ++seen[p];
  }
  ASSERT_EQ(seen.size(), 24U);
  double chi_squared = 0.0;
  for (const auto& [p, count] : seen) chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_squared, 23.0 + 5.0 * std::sqrt(46.0));
}

}  // namespace
}  // namespace ffzero
