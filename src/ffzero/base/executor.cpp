// Fork-join pool. A round is one number that says which it is and how many of its shards nobody has taken yet; whoever lowers it owns a
// shard. A round ends when its shards are done, not when every worker has looked at it: a worker that sleeps or that the system runs
// elsewhere holds nobody up. Between rounds workers watch for the next one for the distance of two rounds of a training step, then sleep.
// SPDX-License-Identifier: MIT
#include "ffzero/base/executor.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace ffzero {

namespace {
// True while this thread works on a shard: a nested run() must not wait for workers that wait for it.
thread_local bool inside_shard = false;

// About a tenth of a millisecond: waking a thread takes longer than most rounds, and so do the pieces between two rounds.
constexpr int kSpins = 4000;

template <class Condition>
void spin_until(Condition condition) {
  for (int i = 0; i < kSpins && !condition(); ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

constexpr std::uint64_t kRound = std::uint64_t{1} << 32;  // the upper half of a ticket counts rounds, the lower half holds shards left
constexpr Index left_of(std::uint64_t ticket) noexcept { return static_cast<Index>(ticket % kRound); }
}  // namespace

struct Executor::Pool {
  // Written by the caller while no shard is left; a worker trusts what it read only if it then takes a shard of the same round.
  std::atomic<void (*)(void*, Index)> call{nullptr};
  std::atomic<void*> work{nullptr};
  std::atomic<Index> shards{0};

  alignas(64) std::atomic<std::uint64_t> ticket{0};
  alignas(64) std::atomic<Index> unfinished{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};

  std::mutex caller;  ///< held by the one thread whose round it is
  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<std::thread> workers;
  Index failed_shard = -1;
  std::exception_ptr failure;

  [[nodiscard]] bool has_shards() const { return left_of(ticket) > 0; }

  /// Takes shards until none is left.
  void work_off() {
    inside_shard = true;
    for (std::uint64_t seen = ticket; left_of(seen) > 0;) {
      auto* const function = call.load();
      void* const argument = work;
      const Index count = shards;
      if (!ticket.compare_exchange_weak(seen, seen - 1)) continue;
      run_shard(function, argument, count - left_of(seen));
      if (unfinished.fetch_sub(1) == 1 && caller_sleeps) {
        const std::lock_guard lock(mutex);
        done.notify_one();
      }
      seen = ticket;
    }
    inside_shard = false;
  }

  void run_shard(void (*function)(void*, Index), void* argument, Index i) {
    try {
      function(argument, i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (failed_shard < 0 || i < failed_shard) {
        failed_shard = i;
        failure = std::current_exception();
      }
    }
  }

  void loop() {
    while (!stop) {
      spin_until([&] { return stop || has_shards(); });
      if (!stop && !has_shards()) {
        std::unique_lock lock(mutex);
        ++sleepers;
        wake.wait(lock, [&] { return stop || has_shards(); });
        --sleepers;
      }
      work_off();
    }
  }

  void wake_sleepers() {
    if (sleepers == 0) return;
    // Whoever counted itself in before the new ticket was written holds the mutex until it waits.
    { const std::lock_guard lock(mutex); }
    wake.notify_all();
  }

  /// Until every shard is done.
  void wait() {
    spin_until([&] { return unfinished == 0; });
    if (unfinished == 0) return;
    caller_sleeps = true;
    {
      std::unique_lock lock(mutex);
      done.wait(lock, [&] { return unfinished == 0; });
    }
    caller_sleeps = false;
  }
};

Executor::Executor(int threads, std::shared_ptr<Exchange> ranks)
    : pool_(std::make_unique<Pool>()), ranks_(ranks ? std::move(ranks) : std::make_shared<AloneExchange>()) {
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t wanted = threads > 0 ? static_cast<std::size_t>(threads) : cores;
  pool_->workers.reserve(wanted - 1);
  try {
    while (pool_->workers.size() + 1 < wanted) pool_->workers.emplace_back([pool = pool_.get()] { pool->loop(); });
  } catch (const std::system_error&) {
    // A limit on threads or on memory. Shards do not depend on how many there are: the same work is done by those that did start.
  }
}

Executor::~Executor() {
  {
    const std::lock_guard lock(pool_->mutex);
    pool_->stop = true;
  }
  pool_->wake.notify_all();
  for (auto& worker : pool_->workers) worker.join();
}

int Executor::threads() const noexcept { return static_cast<int>(pool_->workers.size()) + 1; }

void Executor::run_erased(Index shards, void (*call)(void*, Index), void* work) const {
  if (shards <= 1 || pool_->workers.empty() || inside_shard) {
    for (Index i = 0; i < shards; ++i) call(work, i);
    return;
  }
  Pool& pool = *pool_;
  // Another thread's round is under way: a second caller works by itself rather than wait for workers that are busy.
  const std::unique_lock round(pool.caller, std::try_to_lock);
  if (!round) {
    for (Index i = 0; i < shards; ++i) call(work, i);
    return;
  }
  pool.call = call;
  pool.work = work;
  pool.shards = shards;
  pool.unfinished = shards;
  pool.ticket = (pool.ticket / kRound + 1) * kRound + static_cast<std::uint64_t>(shards);
  pool.wake_sleepers();
  pool.work_off();
  pool.wait();
  if (pool.failure) {
    pool.failed_shard = -1;
    std::rethrow_exception(std::exchange(pool.failure, nullptr));
  }
}

}  // namespace ffzero
