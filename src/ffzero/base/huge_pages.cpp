// Large pages by madvise.
// SPDX-License-Identifier: MIT
#include "ffzero/base/huge_pages.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

namespace ffzero {

void prefer_huge_pages(void* memory, std::size_t bytes) noexcept {
  constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20;
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t lead = (kPage - address % kPage) % kPage;
  if (bytes < lead + kPage) return;
  const std::size_t whole = (bytes - lead) / kPage * kPage;
  // A wish: kernels that know no large pages refuse it.
  const int before = errno;
  static_cast<void>(::madvise(static_cast<char*>(memory) + lead, whole, MADV_HUGEPAGE));
  errno = before;
}

}  // namespace ffzero
