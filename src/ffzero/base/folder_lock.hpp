// One writer a folder.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

namespace ffzero {

/// Holds a folder for this process: a kernel lock on the file ".lock" in it, which says who holds it (host and process). The lock ends with
/// its process, however that ends; what a killed process left is taken over. A record of another host is never taken over, because the
/// kernel may know nothing of locks there.
class FolderLock {
 public:
  static constexpr const char* kFile = ".lock";

  /// @throws UsageError naming host and process if another holds it, OutputError if the file cannot be written.
  explicit FolderLock(std::filesystem::path folder);
  /// Lets go and removes the file.
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// The folder was renamed; the lock went along with it.
  void moved_to(std::filesystem::path folder) { folder_ = std::move(folder); }

  /// Who holds the folder at the moment, as "process 123 on host a"; empty: nobody.
  [[nodiscard]] static std::string holder(const std::filesystem::path& folder);

 private:
  std::filesystem::path folder_;
  int descriptor_ = -1;
};

}  // namespace ffzero
