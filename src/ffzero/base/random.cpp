// Scalar implementation of RandomStream. Compiled with -ffp-contract=off: the bits must not depend on the machine.
// SPDX-License-Identifier: MIT
#include "ffzero/base/random.hpp"

#include <Random123/philox.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

namespace ffzero {

namespace {

using Block = std::array<std::uint32_t, 4>;

Block philox(std::uint64_t seed, Stream stream, std::uint32_t part, std::uint64_t step, std::uint64_t block) noexcept {
  const r123::Philox4x32::ctr_type counter{{static_cast<std::uint32_t>(block),
                                            static_cast<std::uint32_t>(step),
                                            (static_cast<std::uint32_t>(step >> 32) & 0xFFU) << 24 |
                                                (static_cast<std::uint32_t>(block >> 32) & 0xFFFFFFU),
                                            static_cast<std::uint32_t>(stream) << 16 | (part & 0xFFFFU)}};
  const r123::Philox4x32::key_type key{{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  const auto out = r123::Philox4x32{}(counter, key);
  return {out[0], out[1], out[2], out[3]};
}

// The largest words round up to 1, which the interval leaves out.
float uniform_of(std::uint32_t word) noexcept { return std::min((static_cast<float>(word >> 8) + 0.5F) * 0x1p-24F, 1.0F - 0x1p-24F); }

// ln x for x in (0, 1): exponent by bits, then atanh series on the mantissa in [sqrt(1/2), sqrt(2)).
float log_of(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t shifted = bits - 0x3F3504F3U;
  const auto exponent = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float m = std::bit_cast<float>((shifted & 0x007FFFFFU) + 0x3F3504F3U);
  const float t = (m - 1.0F) / (m + 1.0F);
  const float t2 = t * t;
  const float series = 2.0F + t2 * (0.66666667F + t2 * (0.4F + t2 * (0.28571430F + t2 * 0.22222222F)));
  return exponent * 0.69314718F + t * series;
}

// cos and sin of 2 pi u for u in (0, 1): quadrant by rounding, Taylor polynomials on [-pi/4, pi/4].
std::pair<float, float> cos_sin_turn(float u) noexcept {
  const float quarter = u * 4.0F;
  const auto q = static_cast<std::int32_t>(quarter + 0.5F);
  const float a = (quarter - static_cast<float>(q)) * 1.57079633F;
  const float a2 = a * a;
  const float s = a * (1.0F + a2 * (-0.16666667F + a2 * (8.3333333e-3F + a2 * (-1.9841270e-4F + a2 * 2.7557319e-6F))));
  const float c = 1.0F + a2 * (-0.5F + a2 * (4.1666667e-2F + a2 * (-1.3888889e-3F + a2 * 2.4801587e-5F)));
  switch (q & 3) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

std::array<float, 4> normals_of(const Block& words) noexcept {
  std::array<float, 4> out{};
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const float radius = std::sqrt(-2.0F * log_of(uniform_of(words[2 * pair])));
    const auto [c, s] = cos_sin_turn(uniform_of(words[2 * pair + 1]));
    out[2 * pair] = radius * c;
    out[2 * pair + 1] = radius * s;
  }
  return out;
}

// Walks the blocks of 4 that cover [first, first + n) and hands position, block and lane range to `use`.
template <class Use>
void for_blocks(Index first, Index n, Use use) {
  for (Index done = 0; done < n;) {
    const Index at = first + done;
    const Index lane = at % 4;
    const Index count = std::min<Index>(4 - lane, n - done);
    use(static_cast<std::uint64_t>(at / 4), lane, done, count);
    done += count;
  }
}

}  // namespace

void RandomStream::fill_bits(std::span<std::uint32_t> out, Index first) const noexcept {
  for_blocks(first, isize(out.size()), [&](std::uint64_t block, Index lane, Index at, Index count) {
    const Block words = philox(seed_, stream_, part_, step_, block);
    for (Index i = 0; i < count; ++i) out[usize(at + i)] = words[usize(lane + i)];
  });
}

namespace {

template <class S, class Convert>
void fill_words(const RandomStream& stream, std::span<S> out, Index first, Convert convert) noexcept {
  std::array<std::uint32_t, 256> words{};
  for (Index at = 0; at < isize(out.size()); at += 256) {
    const Index count = std::min<Index>(256, isize(out.size()) - at);
    stream.fill_bits(std::span(words).first(usize(count)), first + at);
    for (Index i = 0; i < count; ++i) out[usize(at + i)] = static_cast<S>(convert(words[usize(i)]));
  }
}

template <class S>
void fill_signs(const RandomStream& stream, std::span<S> out, Index first) noexcept {
  std::array<std::uint32_t, 8> words{};
  for (Index at = 0; at < isize(out.size());) {
    const Index word = (first + at) / 32;
    stream.fill_bits(words, word);
    const Index end = std::min<Index>(isize(out.size()), (word + 8) * 32 - first);
    for (; at < end; ++at) {
      const Index bit = first + at - word * 32;
      out[usize(at)] = ((words[usize(bit / 32)] >> (bit % 32)) & 1U) != 0 ? S{1} : S{-1};
    }
  }
}

}  // namespace

void RandomStream::fill_uniform(std::span<float> out, Index first) const noexcept {
  fill_words(*this, out, first, uniform_of);
}
void RandomStream::fill_uniform(std::span<double> out, Index first) const noexcept {
  fill_words(*this, out, first, uniform_of);
}

void RandomStream::fill_normal(std::span<float> out, Index first) const noexcept {
  for_blocks(first, isize(out.size()), [&](std::uint64_t block, Index lane, Index at, Index count) {
    const auto values = normals_of(philox(seed_, stream_, part_, step_, block));
    for (Index i = 0; i < count; ++i) out[usize(at + i)] = values[usize(lane + i)];
  });
}
void RandomStream::fill_normal(std::span<double> out, Index first) const noexcept {
  std::array<float, 256> values{};
  for (Index at = 0; at < isize(out.size()); at += 256) {
    const Index count = std::min<Index>(256, isize(out.size()) - at);
    fill_normal(std::span(values).first(usize(count)), first + at);
    for (Index i = 0; i < count; ++i) out[usize(at + i)] = static_cast<double>(values[usize(i)]);
  }
}

void RandomStream::fill_sign(std::span<float> out, Index first) const noexcept { fill_signs(*this, out, first); }
void RandomStream::fill_sign(std::span<double> out, Index first) const noexcept { fill_signs(*this, out, first); }

void RandomStream::permutation(std::span<std::uint32_t> out) const {
  std::iota(out.begin(), out.end(), 0U);
  std::array<std::uint32_t, 512> words{};
  Index used = isize(words.size());
  Index drawn = 0;
  const auto next = [&] {
    if (used == isize(words.size())) {
      fill_bits(words, drawn);
      drawn += used;
      used = 0;
    }
    return words[usize(used++)];
  };
  for (std::size_t left = out.size(); left > 1; --left) {
    // Lemire's multiply-shift with rejection: exact for every size below 2^32.
    const auto bound = static_cast<std::uint32_t>(left);
    const std::uint32_t threshold = (0U - bound) % bound;
    std::uint64_t product = 0;
    do {
      product = static_cast<std::uint64_t>(next()) * bound;
    } while (static_cast<std::uint32_t>(product) < threshold);
    std::swap(out[left - 1], out[static_cast<std::size_t>(product >> 32)]);
  }
}

}  // namespace ffzero
