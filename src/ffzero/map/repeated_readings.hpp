// Optional refinement: a map that reads some rows more than once.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ffzero {

/// A map that decides by what it reads whether to read a row again.
class RepeatedReadings {
 public:
  virtual ~RepeatedReadings() = default;
  /// Rows read so far beyond those that were asked for: whoever trains with the map bills them, as they come.
  [[nodiscard]] virtual std::int64_t repeated_rows() const = 0;
};

}  // namespace ffzero
