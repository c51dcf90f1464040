// What ranks tell one another after a step.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ffzero/base/exchange.hpp"

namespace ffzero {

/// Where a rank is after a step.
struct RankStep {
  std::uint64_t number = 0;  ///< tells the steps of a training apart
  bool stop = false;         ///< this rank was asked to stop
  std::span<const std::byte> parameters;
};

/// True on all ranks if one of them was asked to stop. Collective: 16 bytes of each rank. @throws DivergedError naming `place` and the rank
/// if a rank is at another step or holds other parameters than rank 0
[[nodiscard]] bool agree_to_stop(Exchange& ranks, const RankStep& own, const std::string& place);

}  // namespace ffzero
