// The conformance test of the device protocol (docs/device-protocol.md).
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ffzero/device/client.hpp"

namespace ffzero {

enum class CheckStatus {
  passed,
  failed,
  not_observed,  ///< the device offers no way to see it, or says that it lacks it
  skipped,       ///< not asked for
  not_reached    ///< a step before it has left no device to look at
};
[[nodiscard]] const char* to_string(CheckStatus status) noexcept;

struct CheckStep {
  std::string name;
  CheckStatus status = CheckStatus::passed;
  std::string detail;  ///< foreign text in it is cleaned
};

struct CheckOptions {
  bool out_of_range = false;  ///< also send values out of range: may harm a device without limits of its own
  double drift_s = 0.0;       ///< watch a reading for so long
  double silence_s = 5.0;     ///< wait for a watchdog of at most so long
  Index calls = 1000;         ///< evaluations without growth of memory
  std::uint64_t seed = 1;     ///< of parameters and inputs
  Milliseconds hello{30000};
  bool serial = false;  ///< a serial line: hello is repeated, and nothing tells the device that the host has gone
};

/// Runs all steps. A step that fails does not keep the others from running: they get a new stream. What cannot be reached any more, because
/// the device does not start again, does not become ready or stalls in every step, is not_reached. on_step: called as each
/// ends. The device is left in its safe state. @throws DeviceError if the stream cannot be opened at all
[[nodiscard]] std::vector<CheckStep> check_device(const DeviceAddress& address, const CheckOptions& options, Clock& clock = system_clock(),
                                                  const std::function<void(const CheckStep&)>& on_step = {});
/// The same over streams of the caller's own: `open` is called for each start.
[[nodiscard]] std::vector<CheckStep> check_device(const DeviceClient::Open& open, const CheckOptions& options, Clock& clock,
                                                  const std::function<void(const CheckStep&)>& on_step = {});

}  // namespace ffzero
