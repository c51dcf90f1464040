// What a device says about itself in answer to hello.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/index.hpp"
#include "ffzero/base/parameter_range.hpp"
#include "ffzero/device/wire.hpp"

namespace ffzero {

/// Times in milliseconds, as declared.
struct DeviceTimes {
  double set_ms = 0.0;        ///< a set takes effect within
  double row_ms = 0.0;        ///< a row takes
  double answer_ms = 5000.0;  ///< silence after which a device has stalled
  double safe_ms = 500.0;     ///< the safe state is reached within
  double watchdog_ms = 0.0;   ///< silence of the host after which the device goes to its safe state by itself; 0: never
};

struct DeviceCapabilities {
  Index linemax = static_cast<Index>(kFirstLinemax);  ///< longest line in bytes, its end included
  Index rows = 1;                                     ///< most rows of one eval
  Index pipeline = 1;                                 ///< most evaluations under way
  Index store = 0;                                    ///< inputs that the device keeps
  bool get = false, f32le = false, crc = false, ping = false, address = false;
};

struct DeviceDescription {
  Index protocol = 0;
  std::string identity;  ///< foreign text, cleaned
  Index inputs = 0, outputs = 0, parameters = 0;
  std::vector<ParameterRange> parameter_ranges, input_ranges, output_ranges;  ///< disjoint; what is in none is unlimited
  DeviceTimes times;
  DeviceCapabilities can;
  std::string said;  ///< what was taken in, word and rest, one line each: taking it in again gives the same

  /// Takes in one line of the answer: its word and what follows. place: for messages. Unknown names are passed over.
  /// @throws DeviceError for what cannot be meant: numbers that are none, min >= max, a step of 0, positions outside the shape
  void absorb(AnswerWord word, std::string_view rest, const std::string& place);
  /// After the last line. @throws DeviceError if protocol or shape are missing or a range does not fit the shape
  void finish(const std::string& place);

  /// One range for each parameter (input, output): `ranges` spread out; unlimited where they say nothing.
  [[nodiscard]] static std::vector<ParameterRange> spread(const std::vector<ParameterRange>& ranges, Index count);
  /// Every parameter's value in the safe state.
  [[nodiscard]] std::vector<float> safe_values() const;
};

}  // namespace ffzero
