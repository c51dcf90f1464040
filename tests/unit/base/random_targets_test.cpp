// Random numbers are the same bits on every processor: each vector target against a scalar reference on Random123.
// SPDX-License-Identifier: MIT
#include <Random123/philox.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "ffzero/base/random.hpp"
#include "support/each_target.hpp"

namespace ffzero {
namespace {

constexpr std::uint64_t kSeed = 0x0123456789ABCDEFU, kStep = 0xA5'1234'5678U;
constexpr std::uint32_t kPart = 513;

std::uint32_t word_of(Index position) {
  const auto block = static_cast<std::uint64_t>(position / 4);
  const r123::Philox4x32::ctr_type counter{
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(kStep),
       static_cast<std::uint32_t>(kStep >> 32) << 24 | (static_cast<std::uint32_t>(block >> 32) & 0xFFFFFFU),
       static_cast<std::uint32_t>(Stream::test) << 16 | kPart}};
  const r123::Philox4x32::key_type key{{static_cast<std::uint32_t>(kSeed), static_cast<std::uint32_t>(kSeed >> 32)}};
  return r123::Philox4x32{}(counter, key)[static_cast<std::size_t>(position % 4)];
}

float uniform_of(std::uint32_t word) { return std::min((static_cast<float>(word >> 8) + 0.5F) * 0x1p-24F, 1.0F - 0x1p-24F); }

float log_of(float x) {
  const std::uint32_t shifted = std::bit_cast<std::uint32_t>(x) - 0x3F3504F3U;
  const auto exponent = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float m = std::bit_cast<float>((shifted & 0x007FFFFFU) + 0x3F3504F3U);
  const float t = (m - 1.0F) / (m + 1.0F), t2 = t * t;
  return exponent * 0.69314718F + t * (2.0F + t2 * (0.66666667F + t2 * (0.4F + t2 * (0.28571430F + t2 * 0.22222222F))));
}

float normal_of(Index position) {
  const Index even = position - position % 2;
  const float radius = std::sqrt(-2.0F * log_of(uniform_of(word_of(even))));
  const float quarter = uniform_of(word_of(even + 1)) * 4.0F;
  const auto q = static_cast<std::int32_t>(quarter + 0.5F);
  const float a = (quarter - static_cast<float>(q)) * 1.57079633F, a2 = a * a;
  const float s = a * (1.0F + a2 * (-0.16666667F + a2 * (8.3333333e-3F + a2 * (-1.9841270e-4F + a2 * 2.7557319e-6F))));
  const float c = 1.0F + a2 * (-0.5F + a2 * (4.1666667e-2F + a2 * (-1.3888889e-3F + a2 * 2.4801587e-5F)));
  const std::array<float, 4> cosines{c, -s, -c, s}, sines{s, c, -s, -c};
  return radius * (position == even ? cosines : sines)[static_cast<std::size_t>(q & 3)];
}

float sign_of(Index position) { return (word_of(position / 32) >> (position % 32) & 1U) != 0 ? 1.0F : -1.0F; }

/// Runs every test on one of the targets that this processor and this build have.
class RandomTargets : public test::OnTarget {
 protected:
  /// Odd offsets and lengths, and a position beyond 2^34, where the number of the block needs more than 32 bits.
  template <class T, class Fill, class Reference>
  void expect_reference(Fill fill, Reference reference) const {
    for (const Index first : {Index{0}, Index{1}, Index{3}, Index{31}, Index{1001}, (Index{1} << 34) - 70, (Index{5} << 36) + 3})
      for (const Index length : {0, 1, 2, 3, 5, 31, 64, 255, 777}) {
        std::vector<T> out(usize(length + 1), T{77});
        fill(std::span(out).first(usize(length)), first);
        for (Index i = 0; i < length; ++i)
          ASSERT_EQ(std::bit_cast<std::uint32_t>(out[usize(i)]), std::bit_cast<std::uint32_t>(reference(first + i)))
              << "position " << first << " + " << i << " of " << length;
        ASSERT_EQ(out.back(), T{77}) << "wrote beyond the end";
      }
  }
  const RandomStream stream_{kSeed, Stream::test, kPart, kStep};
};

TEST_P(RandomTargets, MakesTheWordsOfRandom123) {
  expect_reference<std::uint32_t>([&](auto out, Index first) { stream_.fill_bits(out, first); }, word_of);
}
TEST_P(RandomTargets, MakesTheUniformsOfTheReference) {
  expect_reference<float>([&](auto out, Index first) { stream_.fill_uniform(out, first); }, [](Index i) { return uniform_of(word_of(i)); });
}
TEST_P(RandomTargets, MakesTheNormalsOfTheReference) {
  expect_reference<float>([&](auto out, Index first) { stream_.fill_normal(out, first); }, normal_of);
}
TEST_P(RandomTargets, MakesTheSignsOfTheReference) {
  expect_reference<float>([&](auto out, Index first) { stream_.fill_sign(out, first, 0.25F); }, [](Index i) { return 0.25F * sign_of(i); });
}

/// Radii and angles of a million words, the largest and the smallest radius among them.
TEST_P(RandomTargets, AgreesOnAMillionNormals) {
  std::vector<float> here(1U << 20), plain(here.size());
  stream_.fill_normal(here);
  choose(HWY_STATIC_TARGET);
  stream_.fill_normal(plain);
  EXPECT_EQ(here, plain);
}

TEST_P(RandomTargets, DoublesHoldTheSameSigns) {
  std::vector<float> single(1001);
  std::vector<double> twice(single.size());
  stream_.fill_sign(std::span(single), 13, 0.5F);
  stream_.fill_sign(std::span(twice), 13, 0.5);
  EXPECT_TRUE(std::equal(single.begin(), single.end(), twice.begin(), [](float a, double b) { return static_cast<double>(a) == b; }));
}

INSTANTIATE_TEST_SUITE_P(OfThisProcessor, RandomTargets, testing::ValuesIn(test::targets_of_this_processor()), test::target_name);

}  // namespace
}  // namespace ffzero
