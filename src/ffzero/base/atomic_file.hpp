// Files that are either whole or not there.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

namespace ffzero {

/// Writes `content` to a temporary file beside `path`, flushes it to the disk and renames it over `path`: a reader sees the old
/// file or the new one, never a part. @throws OutputError naming the path and the system's reason (read-only, full, missing folder).
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace ffzero
