// Working memory that a thread keeps between evaluations. Private to map/mesh.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// `size` values of T (float or double), uninitialised, aligned for every vector type, for the lifetime of the object. The memory comes
/// from the thread's own store and goes back to it, so that a training step allocates nothing after the first one.
template <class T>
class Scratch {
 public:
  explicit Scratch(Index size) : bytes_(usize(size) * sizeof(T)), memory_(take(bytes_)) {}
  ~Scratch() { give_back(memory_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_); }

 private:
  /// `bytes` is raised to what the block can hold.
  static void* take(std::size_t& bytes);
  static void give_back(void* memory, std::size_t bytes) noexcept;

  std::size_t bytes_;
  void* memory_;
};

extern template class Scratch<float>;
extern template class Scratch<double>;

}  // namespace ffzero
