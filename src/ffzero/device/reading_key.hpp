// Which reading of a run it is.
// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>

namespace ffzero {

/// The same for the same reading in a run that is gone on with (Instrument::begin_readings). Within one step of one stream readings are
/// numbered in the order in which they are asked for.
struct ReadingKey {
  std::uint32_t device = 0;  ///< position of the layer, where several devices share a book; else 0
  std::uint64_t stream = 0, step = 0, number = 0;
  friend auto operator<=>(const ReadingKey&, const ReadingKey&) = default;
};

}  // namespace ffzero
