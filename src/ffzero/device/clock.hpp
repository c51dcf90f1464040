// The clock of time-outs, replaceable in tests.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace ffzero {

using Microseconds = std::chrono::microseconds;
using Milliseconds = std::chrono::milliseconds;

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
