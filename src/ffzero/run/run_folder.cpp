// The folder of a run.
// SPDX-License-Identifier: MIT
#include "ffzero/run/run_folder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <system_error>
#include <vector>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/run/run_plugins.hpp"
#include "ffzero/settings/config.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

// True for settings as a run writes them, which read back as they are: nobody's own file, which has comments and leaves keys out.
bool is_written_config(const fs::path& file) {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 20;
  const FileContent content = read_regular_file(file, kLongest);
  if (!content.ok()) return false;
  try {
    return Config::parse(content.bytes, "config").to_toml() == content.bytes;
  } catch (const Error&) {
    return false;
  }
}

// runs/a -> runs/a-2, runs/a-3, ...
fs::path numbered_path(const fs::path& path, int number) {
  return number < 2 ? path : fs::path(fmt::format("{}-{}", path.string(), number));
}

constexpr const char* kUnborn = ".unborn";

void write_first(const fs::path& folder, const RunFolder::FirstFiles& files) {
  write_file_atomically(folder / "config.toml", files.config);
  write_file_atomically(folder / "metrics.jsonl", "");
  std::error_code ignored;
  if (files.plugins.empty())
    fs::remove(folder / kPluginsFile, ignored);  // of a run that was cut off here
  else
    write_file_atomically(folder / kPluginsFile, files.plugins);
  write_npz(folder / "checkpoint.npz", files.checkpoint);
}

// What processes that were killed while they made this folder have left beside it.
void remove_stillborn(const fs::path& parent, const std::string& suffix) {
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(".") || !name.ends_with("-" + suffix)) continue;
    const long process = std::strtol(name.c_str() + 1, nullptr, 10);
    if (process > 0 && ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH) left.push_back(entry->path());
  }
  for (const fs::path& folder : left) {
    try {
      const FolderLock ours(folder);
      fs::remove_all(folder, error);
    } catch (const Error&) {
      // Of another host, or not ours to remove.
    }
  }
}

}  // namespace

bool is_cut_off(const fs::path& folder) {
  std::error_code error;
  if (fs::symlink_status(folder, error).type() != fs::file_type::directory) return false;
  const bool ours = is_written_config(folder / "config.toml");
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const auto is_part_of = [&](const char* file) { return name.starts_with(std::string(file) + ".part-"); };
    const bool first = name == FolderLock::kFile || is_part_of("config.toml");
    const bool later = name == "config.toml" || name == "log.txt" || name == kPluginsFile || is_part_of(kPluginsFile) ||
                       is_part_of("checkpoint.npz") || is_part_of("metrics.jsonl") ||
                       (name == "metrics.jsonl" && fs::file_size(entry->path(), error) == 0);
    if (error || !fs::is_regular_file(entry->symlink_status(error)) || !(first || (ours && later))) return false;
  }
  return !error;
}

RunFolder::RunFolder(fs::path path, bool numbered) : path_(std::move(path)), numbered_(numbered) {
  while (!path_.empty() && !path_.has_filename() && path_.has_relative_path()) path_ = path_.parent_path();
}

void RunFolder::require_creatable() const {
  if (path_.empty()) return;
  std::error_code error;
  const auto refuse = [&](const std::string& why) {
    throw OutputError(path_.string(), "the run folder must be creatable", why, "choose another --out");
  };
  const fs::file_status status = fs::symlink_status(path_, error);
  if (status.type() == fs::file_type::none) refuse(error.message());
  if (fs::exists(status) && !numbered_) {
    if (const std::string holder = FolderLock::holder(path_); !holder.empty())
      throw UsageError(path_.string(), "one process at a time may write into a run folder", holder + ", which is at work there",
                       "choose another --out");
    if (!is_cut_off(path_))
      throw UsageError(path_.string(), "the run folder must not exist yet", "an existing one",
                       "choose another --out, or go on with --resume " + path_.string());
  }
  fs::path above = fs::absolute(path_, error).parent_path();
  while (!fs::exists(above, error) && above != above.root_path()) above = above.parent_path();
  if (!fs::is_directory(above, error)) refuse(above.string() + " is not a folder");
  if (::access(above.c_str(), W_OK | X_OK) != 0) refuse(above.string() + " is read-only");
}

void RunFolder::create(const FirstFiles& files) {
  if (path_.empty()) return;
  require_creatable();
  if (!numbered_ && is_cut_off(path_) && start_over(files)) return;
  std::error_code error;
  const fs::path parent = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  fs::create_directories(parent, error);
  if (error) throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
  const std::string suffix = path_.filename().string().substr(0, 200) + kUnborn;
  remove_stillborn(parent, suffix);
  const fs::path made = parent / fmt::format(".{}-{}", ::getpid(), suffix);
  if (!fs::create_directory(made, error))
    throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
  try {
    lock_ = std::make_unique<FolderLock>(made);
    write_first(made, files);
    take_place(made);
    made_ = true;
  } catch (const Error& e) {
    lock_.reset();
    fs::remove_all(made, error);
    throw Error(e.kind(), with_final_place(e.what(), made.string()));
  } catch (...) {
    lock_.reset();
    fs::remove_all(made, error);
    throw;
  }
}

void RunFolder::discard() {
  if (!made_) return;
  std::error_code ignored;
  for (const char* name : {"config.toml", "metrics.jsonl", "checkpoint.npz", "journal.bin", "log.txt", kPluginsFile})
    fs::remove(path_ / name, ignored);
  lock_.reset();
  fs::remove(path_, ignored);  // only an empty one
  made_ = false;
}

void RunFolder::lock() { lock_ = std::make_unique<FolderLock>(path_); }
void RunFolder::remove_leftovers() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path_, ignored))
    if (entry.path().filename().string().find(".part-") != std::string::npos) fs::remove(entry.path(), ignored);
}

void RunFolder::write(const char* name, const std::string& content) const {
  if (!path_.empty()) write_file_atomically(path_ / name, content);
}

void RunFolder::write_checkpoint(const NpzArchive& archive) const {
  if (!path_.empty()) write_npz(path_ / "checkpoint.npz", archive);
}

void RunFolder::write_arrays(const char* name, const NpzArchive& archive) const {
  if (!path_.empty()) write_npz(path_ / name, archive, true);
}

void RunFolder::append_metrics(const std::string& line) const {
  if (path_.empty()) return;
  std::ofstream out(path_ / "metrics.jsonl", std::ios::app);
  out << line << '\n' << std::flush;
  if (!out)
    throw OutputError((path_ / "metrics.jsonl").string(), "must be writable", "a failed write", "free space or choose another --out");
}

bool RunFolder::start_over(const FirstFiles& files) {
  lock();
  if (!is_cut_off(path_)) {
    lock_.reset();
    return false;
  }
  remove_leftovers();
  write_first(path_, files);
  made_ = true;
  return true;
}

void RunFolder::take_place(const fs::path& made) {
  for (int number = 1;; ++number) {
    const fs::path wanted = numbered_path(path_, numbered_ ? number : 1);
    std::error_code error;
    // Renaming replaces an empty folder, which is not ours if the name may be another.
    if (!numbered_ || !fs::exists(fs::symlink_status(wanted, error))) {
      fs::rename(made, wanted, error);
      if (!error) {
        path_ = wanted;
        lock_->moved_to(wanted);
        return;
      }
      if (error != std::errc::file_exists && error != std::errc::directory_not_empty)
        throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
    }
    if (!numbered_) {
      require_creatable();
      throw UsageError(path_.string(), "the run folder must not exist yet", "one that another process has just made",
                       "choose another --out");
    }
  }
}

std::string RunFolder::with_final_place(std::string message, const std::string& made) const {
  if (const auto at = message.find(made); at != std::string::npos) message.replace(at, made.size(), path_.string());
  return message;
}

}  // namespace ffzero
