// Large pages for large arrays.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace ffzero {

/// Asks the system to put large pages (2 MiB) behind the whole ones among these bytes, before they are touched for the first time: a data
/// set of 47 MB is then a few page faults and not 11,500. What the bytes hold stays; nothing happens where there are no such pages.
void prefer_huge_pages(void* memory, std::size_t bytes) noexcept;

}  // namespace ffzero
