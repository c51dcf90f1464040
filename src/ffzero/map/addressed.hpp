// Optional refinement: answers that depend on which reading they are, as those of a simulated instrument with noise and drift.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>
#include <mutex>
#include <span>

#include "ffzero/base/random.hpp"

namespace ffzero {

/// Where a series of readings begins. The same series gives the same answers, in a run that was interrupted too.
struct ReadingSeries {
  std::uint64_t stream = 0;  ///< what the readings are for
  std::uint64_t step = 0;    ///< of the training
  double rows = 0.0;         ///< samples that the device was shown before, by the plan of the training
  double writes = 0.0;       ///< times that its parameters were set before, by the same plan
  /// Place of the first row in the whole batch, >= 0: what is drawn row by row begins there, so that a batch that is read in parts has the
  /// noise of the batch that is read at once.
  std::int64_t first_row = 0;
};

/// One reading of a series: a batch at one setting of the parameters.
struct Reading {
  ReadingSeries series;
  std::uint64_t number = 0;  ///< 0, 1, .. in its series

  /// Random numbers of this reading alone.  seed: of the instrument   part: which of several, 0 .. 65535
  [[nodiscard]] RandomStream random(std::uint64_t seed, std::uint32_t part) const noexcept {
    // SplitMix64, so that neighbouring addresses share nothing.
    const auto mix = [](std::uint64_t z) {
      z += 0x9E3779B97F4A7C15U;
      z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
      z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
      return z ^ (z >> 31U);
    };
    return {mix(mix(mix(seed) ^ series.stream) ^ series.step), Stream::device, part, number};
  }
  /// Nominal time since the first reading: a write takes write_s, a row of a batch of `rows` row_s seconds.
  [[nodiscard]] double seconds(double write_s, double row_s, double rows) const noexcept {
    const auto n = static_cast<double>(number);
    return (series.writes + n) * write_s + (series.rows + n * rows) * row_s;
  }
};

/// In place of `reading` for what is random in setting these parameters: the same ones stand as they were written within one series.
template <class S>
[[nodiscard]] Reading as_written(Reading reading, std::span<const S> theta) noexcept {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const S t : theta) {
    if constexpr (sizeof(S) == sizeof(std::uint32_t))
      hash ^= std::bit_cast<std::uint32_t>(t);
    else
      hash ^= std::bit_cast<std::uint64_t>(t);
    hash *= 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29U;
  }
  // Numbers of readings have 40 bits.
  reading.number = hash >> 24U;
  return reading;
}

class AddressedReadings {
 public:
  virtual ~AddressedReadings() = default;
  /// The readings that follow are number 0, 1, .. of this series.
  virtual void begin_series(const ReadingSeries& series) const = 0;
  /// True if answers repeat and follow the parameters without steps: neither noise nor drift nor converters.
  [[nodiscard]] virtual bool smooth() const = 0;
};

/// Gives readings their numbers. From any thread, though the numbers follow the order of the calls.
class ReadingCounter {
 public:
  void begin(const ReadingSeries& series) {
    const std::lock_guard lock(busy_);
    next_ = {.series = series, .number = 0};
  }
  /// The first of `count` readings.
  [[nodiscard]] Reading take(std::uint64_t count = 1) {
    const std::lock_guard lock(busy_);
    const Reading first = next_;
    next_.number += count;
    return first;
  }
  /// The latest reading; the first of the series if there was none.
  [[nodiscard]] Reading latest() {
    const std::lock_guard lock(busy_);
    Reading last = next_;
    last.number -= last.number > 0 ? 1 : 0;
    return last;
  }

 private:
  std::mutex busy_;
  Reading next_;
};

}  // namespace ffzero
