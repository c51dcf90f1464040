// RandomStream: pieces of any length and offset from the kernels, which make whole blocks.
// SPDX-License-Identifier: MIT
#include "ffzero/base/random.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "ffzero/base/random_kernel-inl.hpp"

namespace ffzero {

namespace {

constexpr Index kBlock = 4;  // values of one counter
constexpr Index kWord = 32;  // signs of one word
constexpr Index kPiece = 256;

/// Values first .. first + out.size() - 1 of a sequence that `blocks(block, count, out)` makes four at a time.
template <class T, class Blocks>
void fill_from_blocks(std::span<T> out, Index first, Blocks blocks) noexcept {
  const auto fill_part = [&](std::span<T> part, Index at) {
    std::array<T, kBlock> values{};
    blocks(static_cast<std::uint64_t>(at / kBlock), 1, values.data());
    std::copy_n(values.begin() + at % kBlock, part.size(), part.begin());
  };
  const Index n = isize(out.size());
  Index done = std::min(n, (kBlock - first % kBlock) % kBlock);
  if (done > 0) fill_part(out.first(usize(done)), first);
  if (const Index whole = (n - done) / kBlock; whole > 0) {
    blocks(static_cast<std::uint64_t>((first + done) / kBlock), whole, out.data() + done);
    done += whole * kBlock;
  }
  if (done < n) fill_part(out.subspan(usize(done)), first + done);
}

/// The double version of a sequence of floats.
template <class Fill>
void fill_widened(std::span<double> out, Index first, Fill fill) noexcept {
  std::array<float, kPiece> values{};
  for (Index at = 0; at < isize(out.size()); at += kPiece) {
    const auto part = std::span(values).first(usize(std::min(kPiece, isize(out.size()) - at)));
    fill(part, first + at);
    std::copy(part.begin(), part.end(), out.begin() + at);
  }
}

template <class S>
void fill_signs(const RandomStream& stream, std::span<S> out, Index first, S scale) noexcept {
  std::array<std::uint32_t, kPiece> words{};
  for (Index at = 0; at < isize(out.size());) {
    const Index word = (first + at) / kWord, bit = (first + at) % kWord;
    const Index count = std::min(isize(out.size()) - at, kPiece * kWord - bit);
    const auto used = std::span(words).first(usize((bit + count + kWord - 1) / kWord));
    stream.fill_bits(used, word);
    spread_signs(used, bit, scale, out.subspan(usize(at), usize(count)));
    at += count;
  }
}

template <class S>
void spread(std::span<const std::uint32_t> words, Index first, S scale, std::span<S> out) noexcept {
  const auto spread_part = [&](std::span<S> part, Index at) {
    std::array<S, kWord> values{};
    random_kernel::spread_signs(&words[usize(at / kWord)], 1, scale, values.data());
    std::copy_n(values.begin() + at % kWord, part.size(), part.begin());
  };
  const Index n = isize(out.size());
  Index done = std::min(n, (kWord - first % kWord) % kWord);
  if (done > 0) spread_part(out.first(usize(done)), first);
  if (const Index whole = (n - done) / kWord; whole > 0) {
    random_kernel::spread_signs(&words[usize((first + done) / kWord)], whole, scale, out.data() + done);
    done += whole * kWord;
  }
  if (done < n) spread_part(out.subspan(usize(done)), first + done);
}

random_kernel::Source source_of(std::uint64_t seed, Stream stream, std::uint32_t part, std::uint64_t step) noexcept {
  return {.key = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
          .step = static_cast<std::uint32_t>(step),
          .high = (static_cast<std::uint32_t>(step >> 32) & 0xFFU) << 24,
          .part = static_cast<std::uint32_t>(stream) << 16 | (part & 0xFFFFU)};
}

}  // namespace

void spread_signs(std::span<const std::uint32_t> words, Index first, float scale, std::span<float> out) noexcept {
  spread(words, first, scale, out);
}
void spread_signs(std::span<const std::uint32_t> words, Index first, double scale, std::span<double> out) noexcept {
  spread(words, first, scale, out);
}

void RandomStream::fill_bits(std::span<std::uint32_t> out, Index first) const noexcept {
  const auto source = source_of(seed_, stream_, part_, step_);
  fill_from_blocks(out, first, [&](auto block, Index count, auto* values) { random_kernel::fill_bits(source, block, count, values); });
}

void RandomStream::fill_uniform(std::span<float> out, Index first) const noexcept {
  const auto source = source_of(seed_, stream_, part_, step_);
  fill_from_blocks(out, first, [&](auto block, Index count, auto* values) { random_kernel::fill_uniform(source, block, count, values); });
}
void RandomStream::fill_uniform(std::span<double> out, Index first) const noexcept {
  fill_widened(out, first, [&](std::span<float> part, Index at) { fill_uniform(part, at); });
}

void RandomStream::fill_normal(std::span<float> out, Index first) const noexcept {
  const auto source = source_of(seed_, stream_, part_, step_);
  fill_from_blocks(out, first, [&](auto block, Index count, auto* values) { random_kernel::fill_normal(source, block, count, values); });
}
void RandomStream::fill_normal(std::span<double> out, Index first) const noexcept {
  fill_widened(out, first, [&](std::span<float> part, Index at) { fill_normal(part, at); });
}

void RandomStream::fill_sign(std::span<float> out, Index first, float scale) const noexcept { fill_signs(*this, out, first, scale); }
void RandomStream::fill_sign(std::span<double> out, Index first, double scale) const noexcept { fill_signs(*this, out, first, scale); }

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
