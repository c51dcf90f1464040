// Downloads the files of a data set: resumable, verified, whole or not there.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/dataset/remote_datasets.hpp"

namespace ffzero {

/// How far a download has come.
struct FetchProgress {
  std::string file;            ///< name on the disk, "train-images-idx3-ubyte.gz"
  std::string mirror;          ///< host that sends it
  int number = 0;              ///< 1 .. files
  int files = 0;               ///< of the data set
  std::uint64_t received = 0;  ///< bytes of the packed file that are here, those of an earlier attempt included
  std::uint64_t total = 0;     ///< bytes of the packed file; 0: not known yet
};

struct FetchOptions {
  std::vector<std::string> mirrors;  ///< base URLs ending in '/'; empty: those of the registry
  long connect_timeout_s = 15;       ///< per mirror
  long stall_timeout_s = 30;         ///< a transfer that hardly moves for so long is given up
  /// Called several times a second from the calling thread; false stops the download and keeps what has come so far (Ctrl-C). An
  /// exception stops it as well and passes through.
  std::function<bool(const FetchProgress&)> progress;
};

struct FetchSummary {
  int fetched = 0;           ///< files downloaded now
  int kept = 0;              ///< files that were here and right, not touched
  bool interrupted = false;  ///< stopped by the progress callback; the next call goes on where this one ended
};

/// Brings every file of the data set into dir/<name>/ as <file>.gz, creating the folder. Files that are already right, wherever locate()
/// finds them, stay as they are. A file is written to <file>.gz.part, resumed from there after a break, and takes its name only when its
/// unpacked content has the right SHA-256; a file of that name with other content is first set aside as <file>.damaged. Mirrors are
/// tried in turn.
/// @throws DataError if no mirror delivers a file (offline: says so and names the alternatives) or another process is fetching it;
/// OutputError if the folder cannot be written; ConfigError in a build without downloads (FFZERO_FETCH=OFF).
FetchSummary fetch_dataset(const RemoteDataset& dataset, const std::filesystem::path& dir, const FetchOptions& options = {});

/// The same by name. @throws ConfigError for a name that is not in the registry.
FetchSummary fetch_dataset(std::string_view name, const std::filesystem::path& dir, const FetchOptions& options = {});

}  // namespace ffzero
