// What the harnesses share: the entry that libFuzzer and replay_main.cpp call, and what counts as a refusal.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ffzero/base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace ffzero::fuzz {

/// Runs `parse`; an Error of ours other than a defect is a proper refusal of bad input. Everything else (another exception, a broken
/// invariant) flies on and ends the process, which is how a finding shows itself.
template <class Parse>
void refuse_or_accept(Parse&& parse) {
  try {
    parse();
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::defect) throw;
  }
}

/// Ends the process if a statement about an accepted input does not hold.
inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace ffzero::fuzz
