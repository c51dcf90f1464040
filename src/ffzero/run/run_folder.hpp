// The folder of a run: created whole or not at all, locked, written file by file.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "ffzero/base/folder_lock.hpp"
#include "ffzero/tensor/npz.hpp"

namespace ffzero {

/// True for a folder that is empty or holds what a run has written before its first checkpoint, and nothing else: there is nothing to lose
/// in it, and nothing that belongs to others.
[[nodiscard]] bool is_cut_off(const std::filesystem::path& folder);

/// Without a path, everything is accepted and nothing is written.
class RunFolder {
 public:
  /// numbered: where `path` is taken, path-2, path-3, .. is created.
  explicit RunFolder(std::filesystem::path path, bool numbered = false);

  /// Refuses before anything is loaded; create() is called when the settings have proved right, so that a refused run leaves nothing
  /// behind.
  /// @throws UsageError for a folder that exists or that another process holds, OutputError
  void require_creatable() const;
  /// What a folder holds from the start, beside an empty metrics.jsonl.
  struct FirstFiles {
    std::string config;     ///< config.toml
    NpzArchive checkpoint;  ///< checkpoint.npz
    std::string plugins{};  ///< plugins.json; empty: no such file
  };
  /// The folder with its first files, locked, or no folder at all: made beside its place and renamed, so that no other process ever sees
  /// one that could not be gone on with. @throws UsageError, OutputError
  void create(const FirstFiles& files);
  /// Removes what create() and the run so far have written, and the folder if nothing else is in it: for a run that is refused before its
  /// first epoch. Does nothing before create().
  void discard();
  /// Holds the existing folder from now on. @throws UsageError if another process does.
  void lock();
  /// Removes what a killed process may have left of a file that it was writing.
  void remove_leftovers() const;
  /// One file, at once. @throws OutputError
  void write(const char* name, const std::string& content) const;
  void write_checkpoint(const NpzArchive& archive) const;
  /// Compressed. @throws OutputError
  void write_arrays(const char* name, const NpzArchive& archive) const;
  /// One line of metrics.jsonl. @throws OutputError
  void append_metrics(const std::string& line) const;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  /// In the folder of a run that never had a checkpoint. False if it has become something else in the meantime.
  bool start_over(const FirstFiles& files);
  /// Gives the folder its name; of several processes that want it, one gets it.
  void take_place(const std::filesystem::path& made);
  [[nodiscard]] std::string with_final_place(std::string message, const std::string& made) const;

  std::filesystem::path path_;
  bool numbered_, made_ = false;
  std::unique_ptr<FolderLock> lock_;
};

}  // namespace ffzero
