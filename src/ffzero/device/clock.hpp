// The clock of time-outs, replaceable in tests.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

namespace ffzero {

using Microseconds = std::chrono::microseconds;
using Milliseconds = std::chrono::milliseconds;

/// Of a number of milliseconds that need not be whole; what is shorter than a microsecond is dropped.
[[nodiscard]] constexpr Microseconds of_ms(double ms) noexcept { return Microseconds(static_cast<std::int64_t>(ms * 1000.0)); }

/// Time since some fixed moment; never goes back.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Microseconds now() const = 0;
  virtual void sleep(Microseconds duration) = 0;
};

/// The machine's monotonic clock.
[[nodiscard]] Clock& system_clock();

}  // namespace ffzero
