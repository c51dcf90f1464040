// File descriptors that close themselves.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ffzero {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] bool open() const noexcept { return number_ >= 0; }
  void reset() noexcept;

 private:
  int number_ = -1;
};

/// Writes without ever raising SIGPIPE. Bytes written, 0 if there is no room, -1 if nobody reads any more.
[[nodiscard]] std::ptrdiff_t write_quietly(int descriptor, std::string_view bytes, bool socket) noexcept;
/// Bytes read, 0 if there is nothing yet, -1 at the end of the stream or if it broke.
[[nodiscard]] std::ptrdiff_t read_some(int descriptor, std::span<char> bytes) noexcept;
void make_nonblocking(int descriptor) noexcept;
/// The system's words for errno.
[[nodiscard]] std::string system_reason(int number);

}  // namespace ffzero
