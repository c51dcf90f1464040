// What every call of the BLAS begins with.
// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>

namespace ffzero {

/// Lets the BLAS be called. Under a limit on the address space one call at a time, so that it takes one buffer, for which there is room.
/// @throws std::bad_alloc if there is none
[[nodiscard]] std::unique_lock<std::mutex> admit_to_blas();

}  // namespace ffzero
