// File descriptors that close themselves.
// SPDX-License-Identifier: MIT
#include "ffzero/device/descriptor.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>

namespace ffzero {

namespace {

// A library must not change what a signal does to the process: SIGPIPE is held back in this thread and taken away if it came.
std::ptrdiff_t write_pipe(int descriptor, std::string_view bytes) noexcept {
  sigset_t pipe, before, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
  const int reason = errno;
  if (written < 0 && reason == EPIPE && !was_pending) {
    const timespec at_once{};
    sigtimedwait(&pipe, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = reason;
  return written;
}

bool try_again(int reason) { return reason == EAGAIN || reason == EWOULDBLOCK || reason == EINTR; }

}  // namespace

void Descriptor::reset() noexcept {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

std::ptrdiff_t write_quietly(int descriptor, std::string_view bytes, bool socket) noexcept {
  const std::ptrdiff_t written = socket ? ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL) : write_pipe(descriptor, bytes);
  if (written >= 0) return written;
  return try_again(errno) ? 0 : -1;
}

std::ptrdiff_t read_some(int descriptor, std::span<char> bytes) noexcept {
  const ssize_t count = ::read(descriptor, bytes.data(), bytes.size());
  if (count > 0) return count;
  return count < 0 && try_again(errno) ? 0 : -1;
}

void make_nonblocking(int descriptor) noexcept { ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK); }

std::string system_reason(int number) { return std::generic_category().message(number); }

}  // namespace ffzero
