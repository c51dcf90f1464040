// Tells whether the files of a data set are whole and unaltered.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/dataset/remote_datasets.hpp"

namespace ffzero {

enum class FileState {
  ok,             ///< size and hash of the content are right
  missing,        ///< no such file
  damaged,        ///< cannot be read or unpacked to its end
  wrong_size,     ///< unpacks to more or fewer bytes
  wrong_content,  ///< right size, other bytes
};

/// "ok", "missing", "damaged", "wrong size", "wrong content".
[[nodiscard]] std::string to_string(FileState state);

struct FileReport {
  std::string name;            ///< of the file, without ".gz"
  std::filesystem::path path;  ///< what was looked at; empty if missing
  FileState state = FileState::missing;
  std::string detail;  ///< what was found instead; empty if ok or missing
};

/// Unpacks (gzip is recognised by content) and hashes one file. Never throws for its content; reads no more than `file.size` and a bit.
[[nodiscard]] FileReport verify_file(const RemoteFile& file, const std::filesystem::path& path);

/// One report per file of the data set, in the order of the registry; files are looked for as locate() says. About 0.2 s for MNIST.
[[nodiscard]] std::vector<FileReport> verify_dataset(const RemoteDataset& dataset, const std::filesystem::path& dir);

/// The same by name. @throws ConfigError for a name that is not in the registry.
[[nodiscard]] std::vector<FileReport> verify_dataset(std::string_view name, const std::filesystem::path& dir);

[[nodiscard]] bool all_ok(const std::vector<FileReport>& reports);

}  // namespace ffzero
