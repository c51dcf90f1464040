// Slow wandering of the numbers that an instrument stands at.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <mutex>
#include <span>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// `count` numbers that wander apart from one another: 0 when they are new; from the age `time` on normal with the standard deviation rms,
/// and what is further than `time` apart is independent. A function of the time alone, so that it can be asked for in any order, from any
/// thread  [docs/notation.md, Chips].
class Drift {
 public:
  /// rms in the units of what drifts, >= 0; 0: no drift   time > 0, seconds   age >= 0, seconds: at the nominal time 0
  /// seed, part: of the random numbers
  Drift(std::uint64_t seed, std::uint32_t part, Index count, double rms, double time, double age)
      : seed_(seed), part_(part), count_(count), rms_(rms), time_(time), age_(age) {}

  /// values (count) += the drift at this nominal time, seconds >= 0. S is float or double.
  template <class S>
  void add(double seconds, std::span<S> values) const;

 private:
  std::uint64_t seed_;
  std::uint32_t part_;
  Index count_;
  double rms_, time_, age_;
  // The two normal numbers of each between which the drift is now.
  mutable std::mutex busy_;
  mutable Index first_ = -1;
  mutable Vector<float> before_, after_;
};

extern template void Drift::add(double, std::span<float>) const;
extern template void Drift::add(double, std::span<double>) const;

}  // namespace ffzero
