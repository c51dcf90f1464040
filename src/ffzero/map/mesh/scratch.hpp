// Working memory that a thread keeps between evaluations. Private to map/mesh.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// Pieces of memory aligned for every vector type; those that are given back wait for the thread's next request.
class ScratchStore {
 public:
  /// `bytes` is raised to what the piece can hold.
  [[nodiscard]] static void* take(std::size_t& bytes);
  static void give_back(void* memory, std::size_t bytes) noexcept;
};

/// `size` values of a trivial type, uninitialised, for the lifetime of the object: a training step allocates nothing after the first one.
template <class T>
class Scratch {
 public:
  explicit Scratch(Index size) : bytes_(usize(size) * sizeof(T)), memory_(ScratchStore::take(bytes_)) {}
  ~Scratch() { ScratchStore::give_back(memory_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_); }

 private:
  std::size_t bytes_;
  void* memory_;
};

}  // namespace ffzero
