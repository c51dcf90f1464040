// Working memory that a thread keeps between evaluations. Private to map/mesh.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/scratch.hpp"

#include <algorithm>
#include <new>
#include <vector>

namespace ffzero {

namespace {

constexpr std::align_val_t kAlignment{128};

struct Piece {
  void* memory;
  std::size_t bytes;
};

/// Pieces that nobody holds at the moment.
struct Store {
  std::vector<Piece> pieces;
  Store() { pieces.reserve(16); }
  ~Store() {
    for (const Piece& p : pieces) ::operator delete(p.memory, kAlignment);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
};

thread_local Store own_store;

}  // namespace

void* ScratchStore::take(std::size_t& bytes) {
  // The smallest piece that is large enough; if none is, the largest one makes room for its successor.
  const auto smaller = [](const Piece& a, const Piece& b) { return a.bytes < b.bytes; };
  std::sort(own_store.pieces.begin(), own_store.pieces.end(), smaller);
  const auto fit = std::find_if(own_store.pieces.begin(), own_store.pieces.end(), [&](const Piece& p) { return p.bytes >= bytes; });
  if (fit != own_store.pieces.end()) {
    const Piece found = *fit;
    own_store.pieces.erase(fit);
    bytes = found.bytes;
    return found.memory;
  }
  if (!own_store.pieces.empty()) {
    ::operator delete(own_store.pieces.back().memory, kAlignment);
    own_store.pieces.pop_back();
  }
  bytes = std::max<std::size_t>(bytes, 64);
  return ::operator new(bytes, kAlignment);
}

void ScratchStore::give_back(void* memory, std::size_t bytes) noexcept {
  if (own_store.pieces.size() < own_store.pieces.capacity()) {
    own_store.pieces.push_back({memory, bytes});
  } else {
    ::operator delete(memory, kAlignment);
  }
}

}  // namespace ffzero
