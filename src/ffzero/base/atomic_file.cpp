// Write, flush, rename: the only way in which ffzero replaces a file.
// SPDX-License-Identifier: MIT
#include "ffzero/base/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

std::string remedy_for(int code) {
  switch (code) {
    case ENOENT:
    case ENOTDIR:
      return "create the folder first";
    case ENOSPC:
    case EDQUOT:
      return "free some space or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "choose a folder that you may write to";
    default:
      return "choose another place";
  }
}

[[noreturn]] void fail(const std::filesystem::path& path, int code) {
  throw OutputError(path.string(), "must be writable", std::strerror(code), remedy_for(code));
}

// The half-written file: closed and removed unless it was renamed.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& target) : target_(target), name_(unused_name(target)) {
    descriptor_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail(target_, errno);
  }
  ~Temporary() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(name_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  void write(std::string_view content) {
    while (!content.empty()) {
      const ssize_t written = ::write(descriptor_, content.data(), content.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(target_, errno);
      content.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void finish() {
    if (::fsync(descriptor_) != 0) fail(target_, errno);
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail(target_, errno);
    if (::rename(name_.c_str(), target_.c_str()) != 0) fail(target_, errno);
    renamed_ = true;
  }

 private:
  // Unique among processes and threads that write the same target.
  static std::string unused_name(const std::filesystem::path& target) {
    static std::atomic<unsigned> counter{0};
    return target.string() + ".part-" + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
  }

  const std::filesystem::path& target_;
  std::string name_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// Makes the rename itself survive a power cut. Some file systems cannot flush a folder: the content is whole either way.
void flush_folder(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  Temporary file(path);
  file.write(content);
  file.finish();
  flush_folder(path);
}

}  // namespace ffzero
