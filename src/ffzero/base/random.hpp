// Counter-based random numbers (Philox 4x32-10).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// What a random number is for. Streams never share numbers; the values are part of the checkpoint format.
enum class Stream : std::uint8_t {
  data = 1,        ///< built-in and synthetic data sets
  order = 2,       ///< order of the training samples, per epoch
  initial = 3,     ///< initial parameters
  prototype = 4,   ///< rotations of the prototypes
  direction = 5,   ///< directions of the estimators
  dropout = 6,     ///< dropout masks
  augment = 7,     ///< shifts of training images
  projection = 8,  ///< fixed projections of convolutional layers
  device = 9,      ///< noise and fabrication of simulated devices
  split = 10,      ///< train/validation split
  readout = 11,    ///< digital readouts
  test = 12,       ///< tests and benchmarks
};

/// A position-addressable sequence: value number i depends on (seed, stream, part, step, i) and on nothing else, so any piece can
/// be made again at any time, on any thread, and is the same on every machine. Copying costs nothing; there is no state.
class RandomStream {
 public:
  /// seed: any; part: which layer, group or data split (0 .. 65535); step: which training step or epoch (below 2^40).
  RandomStream(std::uint64_t seed, Stream stream, std::uint32_t part = 0, std::uint64_t step = 0) noexcept
      : seed_(seed), stream_(stream), part_(part), step_(step) {}

  /// The same sequence at another step / of another part.
  [[nodiscard]] RandomStream at(std::uint64_t step) const noexcept { return {seed_, stream_, part_, step}; }
  [[nodiscard]] RandomStream of(std::uint32_t part) const noexcept { return {seed_, stream_, part, step_}; }

  /// Words number first .. first + out.size() - 1, uniform over all 32-bit words.
  void fill_bits(std::span<std::uint32_t> out, Index first = 0) const noexcept;
  /// Uniform in (0, 1): (word >> 8 + 1/2) 2^-24 rounded to float, at most 1 - 2^-24. The double version holds the same float values.
  void fill_uniform(std::span<float> out, Index first = 0) const noexcept;
  void fill_uniform(std::span<double> out, Index first = 0) const noexcept;
  /// Standard normal: Box-Muller on pairs of words with the library's own logarithm and sine, so that no libm enters. The double
  /// version holds the same float values.
  void fill_normal(std::span<float> out, Index first = 0) const noexcept;
  void fill_normal(std::span<double> out, Index first = 0) const noexcept;
  /// +scale or -scale, one bit each.
  void fill_sign(std::span<float> out, Index first = 0, float scale = 1.0F) const noexcept;
  void fill_sign(std::span<double> out, Index first = 0, double scale = 1.0) const noexcept;
  /// A uniform random permutation of 0 .. out.size() - 1 (Fisher-Yates, unbiased multiply-shift).
  void permutation(std::span<std::uint32_t> out) const;

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

 private:
  std::uint64_t seed_;
  Stream stream_;
  std::uint32_t part_;
  std::uint64_t step_;
};

/// out, overwritten: +scale where bits first .. first + out.size() - 1 of `words` are set, -scale where not; lowest bit of a word first.
void spread_signs(std::span<const std::uint32_t> words, Index first, float scale, std::span<float> out) noexcept;
void spread_signs(std::span<const std::uint32_t> words, Index first, double scale, std::span<double> out) noexcept;

}  // namespace ffzero
