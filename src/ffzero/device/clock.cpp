// The machine's monotonic clock.
// SPDX-License-Identifier: MIT
#include "ffzero/device/clock.hpp"

#include <thread>

namespace ffzero {

namespace {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Microseconds now() const override {
    return std::chrono::duration_cast<Microseconds>(std::chrono::steady_clock::now().time_since_epoch());
  }
  void sleep(Microseconds duration) override { std::this_thread::sleep_for(duration); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace ffzero
