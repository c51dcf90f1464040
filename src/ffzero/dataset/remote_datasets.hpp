// What can be downloaded, from where, and how it is recognised.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ffzero {

/// One file of a data set. It travels and is kept gzipped, under name + ".gz"; size and hash are those of the unpacked content, since
/// mirrors pack it differently.
struct RemoteFile {
  std::string name;        ///< without ".gz"
  std::uint64_t size = 0;  ///< bytes, unpacked
  std::string sha256;      ///< 64 lower-case hexadecimal digits, of the unpacked content
};

/// A downloadable data set; mirrors are base URLs that end in '/', tried in this order.
struct RemoteDataset {
  std::string name;
  std::string contents;  ///< one line for people: kind, counts, shape
  std::vector<RemoteFile> files;
  std::vector<std::string> mirrors;
};

/// The registry: mnist and fashion-mnist.
[[nodiscard]] std::span<const RemoteDataset> remote_datasets();

/// @throws ConfigError listing the names, for a data set that is not in the registry.
[[nodiscard]] const RemoteDataset& remote_dataset(std::string_view name);

/// Where a file of the data set is looked for: dir/<name>/file, dir/<name>/file.gz, dir/file, dir/file.gz; the first that exists, or
/// an empty path. The order is that of the loader, so what is verified is what is read.
[[nodiscard]] std::filesystem::path locate(const RemoteDataset& dataset, const RemoteFile& file, const std::filesystem::path& dir);

/// A line of `ffzero datasets list`.
struct DatasetEntry {
  std::string name;
  std::string contents;
  bool built_in = false;    ///< needs no file
  int files = 0;            ///< how many files it consists of (0: none, or the user's own)
  int files_present = 0;    ///< of these, how many exist below dir; their content is verify_dataset's business
  std::uint64_t bytes = 0;  ///< of all files, unpacked
};

/// Every name that dataset.name takes, with what is present in `dir`.
[[nodiscard]] std::vector<DatasetEntry> list_datasets(const std::filesystem::path& dir);

}  // namespace ffzero
