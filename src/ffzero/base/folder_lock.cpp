// A lock of the kernel, with a name tag.
// SPDX-License-Identifier: MIT
#include "ffzero/base/folder_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

namespace fs = std::filesystem;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("unknown");
}

/// What the file says: "host process\n".
struct Record {
  std::string host;
  long process = 0;
  [[nodiscard]] std::string text() const { return "process " + std::to_string(process) + " on host " + host; }
};

std::optional<Record> read_record(int descriptor) {
  std::array<char, 512> bytes{};
  const ssize_t got = ::pread(descriptor, bytes.data(), bytes.size() - 1, 0);
  if (got <= 0) return std::nullopt;
  const std::string text(bytes.data(), static_cast<std::size_t>(got));
  const auto space = text.find(' ');
  if (space == std::string::npos || space == 0 || text.find('\n') == std::string::npos) return std::nullopt;
  return Record{text.substr(0, space), std::strtol(text.c_str() + space + 1, nullptr, 10)};
}

bool write_record(int descriptor) {
  const std::string text = host_name() + " " + std::to_string(::getpid()) + "\n";
  return ::ftruncate(descriptor, 0) == 0 && ::pwrite(descriptor, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

// Somebody may have removed the file between our opening and our locking it.
bool is_still_there(int descriptor, const fs::path& file) {
  struct stat mine {
  }, there{};
  return ::fstat(descriptor, &mine) == 0 && ::stat(file.c_str(), &there) == 0 && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

enum class Answer { ours, held, unknown };

// Some file systems of networks have no locks; there the record alone decides.
Answer ask_kernel(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? Answer::held : Answer::unknown;
  }
  return Answer::ours;
}

bool is_held(Answer answer, const std::optional<Record>& record) {
  if (answer == Answer::held) return true;
  if (!record) return false;
  if (record->host != host_name()) return true;
  return answer == Answer::unknown && record->process != ::getpid() &&
         (::kill(static_cast<pid_t>(record->process), 0) == 0 || errno == EPERM);
}

[[noreturn]] void refuse(const fs::path& folder, const std::optional<Record>& record) {
  const bool elsewhere = record && record->host != host_name();
  throw UsageError(folder.string(), "one process at a time may write into a folder",
                   record ? record->text() + (elsewhere ? ", which cannot be asked whether it still runs" : ", which is at work there")
                          : std::string("another process at work there"),
                   elsewhere ? "if it does not, remove " + (folder / FolderLock::kFile).string() : "wait for it, or choose another folder");
}

}  // namespace

FolderLock::FolderLock(fs::path folder) : folder_(std::move(folder)) {
  const fs::path file = folder_ / kFile;
  while (true) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (descriptor < 0) throw OutputError(file.string(), "must be writable", std::strerror(errno), "check the folder's permissions");
    const Answer answer = ask_kernel(descriptor);
    const auto record = read_record(descriptor);
    if (is_held(answer, record)) {
      ::close(descriptor);
      refuse(folder_, record);
    }
    if (!is_still_there(descriptor, file)) {
      ::close(descriptor);
      continue;
    }
    if (!write_record(descriptor)) {
      const std::string why = std::strerror(errno);
      ::unlink(file.c_str());
      ::close(descriptor);
      throw OutputError(file.string(), "must be writable", why, "free some space or choose another folder");
    }
    descriptor_ = descriptor;
    return;
  }
}

FolderLock::~FolderLock() {
  // Removed while it is held: who opened it in between finds that it is gone, and opens anew.
  if (is_still_there(descriptor_, folder_ / kFile)) ::unlink((folder_ / kFile).c_str());
  ::close(descriptor_);
}

std::string FolderLock::holder(const fs::path& folder) {
  const int descriptor = ::open((folder / kFile).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return {};
  const Answer answer = ask_kernel(descriptor);
  const auto record = read_record(descriptor);
  ::close(descriptor);
  if (!is_held(answer, record)) return {};
  return record ? record->text() : std::string("another process");
}

}  // namespace ffzero
