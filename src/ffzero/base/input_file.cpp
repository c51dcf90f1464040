// Reading with a look at what it is first.
// SPDX-License-Identifier: MIT
#include "ffzero/base/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ffzero {

namespace {

class Descriptor {
 public:
  // Without O_NONBLOCK, to open a named pipe is to wait for its writer.
  explicit Descriptor(const std::filesystem::path& path) : number_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const noexcept { return number_; }

 private:
  int number_;
};

std::string kind_of(mode_t mode) {
  if (S_ISREG(mode)) return {};
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  return S_ISSOCK(mode) ? "a socket" : "a device";
}

}  // namespace

FileContent read_regular_file(const std::filesystem::path& path, std::uint64_t most) {
  const Descriptor file(path);
  struct stat status {};
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0) return {{}, std::strerror(errno)};
  if (const std::string kind = kind_of(status.st_mode); !kind.empty()) return {{}, kind};
  const auto too_large = [&](std::uint64_t size) {
    return FileContent{{}, std::to_string(size) + " bytes, at most " + std::to_string(most) + " are read"};
  };
  if (static_cast<std::uint64_t>(status.st_size) > most) return too_large(static_cast<std::uint64_t>(status.st_size));
  // The size is a hint only: files of /proc say 0, and a file may grow while it is read.
  FileContent content;
  constexpr std::size_t kPiece = 1U << 16;
  std::size_t have = 0;
  while (true) {
    if (content.bytes.size() - have < kPiece)
      content.bytes.resize(std::max(have + kPiece, static_cast<std::size_t>(status.st_size) + kPiece));
    const ssize_t got = ::read(file.number(), content.bytes.data() + have, content.bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {{}, std::strerror(errno)};
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
    if (have > most) return too_large(have);
  }
  content.bytes.resize(have);
  return content;
}

}  // namespace ffzero
