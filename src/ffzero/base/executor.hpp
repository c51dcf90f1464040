// A small fork-join pool with a fixed number of threads.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "ffzero/base/exchange.hpp"
#include "ffzero/base/index.hpp"

namespace ffzero {

/// Runs numbered pieces of work ("shards") side by side. The shards are the caller's and never depend on the number of
/// threads, so results that are reduced in the order of the shards are the same bits for any number of threads.
class Executor {
 public:
  /// threads >= 1: how many work at once, the calling one included; 0: one per core. Fewer where the system starts no more of them.
  /// ranks: the processes that the work of a training step is shared out to; null: this one does it all.
  explicit Executor(int threads = 1, std::shared_ptr<Exchange> ranks = nullptr);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  [[nodiscard]] int threads() const noexcept;
  /// Only losses and slopes of a step are shared out to ranks (BlockLoss); all that calls run() is done by every rank.
  [[nodiscard]] Exchange& ranks() const noexcept { return *ranks_; }

  /// Calls `work(i)` once for each 0 <= i < shards and returns when all are done. An exception of a shard is rethrown here
  /// (that of the lowest-numbered shard that threw). A nested call runs its shards on the calling thread, and so does a call while another
  /// thread's is under way: any number of threads may call, none waits for another.
  template <class Work>
  void run(Index shards, Work&& work) const {
    using Stored = std::remove_reference_t<Work>;
    run_erased(
        shards, [](void* w, Index i) { (*static_cast<Stored*>(w))(i); }, const_cast<void*>(static_cast<const void*>(std::addressof(work))));
  }

 private:
  void run_erased(Index shards, void (*call)(void*, Index), void* work) const;
  struct Pool;
  std::unique_ptr<Pool> pool_;
  std::shared_ptr<Exchange> ranks_;
};

}  // namespace ffzero
