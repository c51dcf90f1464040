// Reading files that may be anything: a folder, a named pipe, a device without an end.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace ffzero {

/// A file's bytes, or why there are none.
struct FileContent {
  std::string bytes;
  std::string problem;  ///< empty: all bytes are here; else what stands in the way, as the value of an error message
  [[nodiscard]] bool ok() const noexcept { return problem.empty(); }
};

/// Reads a regular file of at most `most` bytes. Never waits for a writer and never reads without an end: pipes, devices, sockets and
/// folders are a problem, as are missing files and those without permission. Throws nothing but std::bad_alloc.
[[nodiscard]] FileContent read_regular_file(const std::filesystem::path& path, std::uint64_t most);

}  // namespace ffzero
