// Fork-join pool. The shards of a round are dealt out in order: each thread has its range of them, the same part of the whole in every
// round. So what a thread wrote in one round (its rows, its parameters) is what it reads in the next one, and few cache lines go from core
// to core: a quarter of a microsecond each where the cores do not share a cache. A range is one number that says which round it is of and
// how many of its shards nobody has taken yet; whoever lowers it owns a shard. A thread without work left takes from the ranges of others:
// a worker that sleeps or that the system runs elsewhere holds nobody up. Between rounds workers watch for the next one for the distance of
// two rounds of a training step, then sleep.
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

/// True if the condition was met in time.
template <class Condition>
bool spin_until(Condition condition, int spins) {
  for (int i = 0; i < spins; ++i) {
    if (condition()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  return false;
}

// Before a thread takes the work of another one: that one has most likely only begun a moment later.
constexpr int kPatience = 100;

constexpr std::uint64_t kRound = std::uint64_t{1} << 32;  // the upper half of a ticket counts rounds, the lower half holds shards left
constexpr Index left_of(std::uint64_t ticket) noexcept { return static_cast<Index>(ticket % kRound); }

}  // namespace

struct Executor::Pool {
  // What a thread needs of a round, in one cache line. Written by the caller while no shard is left; a thread trusts what it read only if
  // it then takes a shard of the same round.
  struct alignas(64) Range {
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<void (*)(void*, Index)> call{nullptr};
    std::atomic<void*> work{nullptr};
    std::atomic<Index> end{0};  ///< the shard after the last one
  };

  explicit Pool(std::size_t threads) : ranges(threads) {}

  std::vector<Range> ranges;  ///< of each thread, the caller's first
  alignas(64) std::atomic<Index> unfinished{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};

  std::mutex caller;  ///< held by the one thread whose round it is
  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<std::thread> workers;
  Index failed_shard = -1;
  std::exception_ptr failure;

  [[nodiscard]] static bool has_shards(const Range& range) { return left_of(range.ticket) > 0; }

  void deal(Index shards, void (*call)(void*, Index), void* work) {
    unfinished = shards;
    const Index threads = isize(ranges.size());
    for (Index t = threads; t-- > 0;) {
      Range& range = ranges[usize(t)];
      const Index end = ((t + 1) * shards + threads - 1) / threads, count = end - (t * shards + threads - 1) / threads;
      if (count == 0) continue;
      range.call.store(call, std::memory_order_relaxed);
      range.work.store(work, std::memory_order_relaxed);
      range.end.store(end, std::memory_order_relaxed);
      range.ticket = (range.ticket / kRound + 1) * kRound + static_cast<std::uint64_t>(count);
    }
  }

  /// Takes shards of a range until none is left.
  void work_off(Range& range) {
    inside_shard = true;
    Index finished = 0;
    for (std::uint64_t seen = range.ticket; left_of(seen) > 0;) {
      auto* const function = range.call.load();
      void* const argument = range.work;
      const Index end = range.end;
      if (!range.ticket.compare_exchange_weak(seen, seen - 1)) continue;
      run_shard(function, argument, end - left_of(seen));
      ++finished;
      seen = range.ticket;
    }
    inside_shard = false;
    // Once for all of them: every thread writes this number.
    if (finished > 0 && unfinished.fetch_sub(finished) == finished && caller_sleeps) {
      const std::lock_guard lock(mutex);
      done.notify_one();
    }
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

  /// What others have not begun, where they do not begin in time.
  void help(std::size_t own) {
    const auto others_wait = [&] {
      return std::any_of(ranges.begin(), ranges.end(), [](const Range& range) { return has_shards(range); });
    };
    if (spin_until([&] { return !others_wait(); }, kPatience)) return;
    for (std::size_t k = 1; k < ranges.size(); ++k) work_off(ranges[(own + k) % ranges.size()]);
  }

  void loop(std::size_t own) {
    Range& range = ranges[own];
    while (!stop) {
      if (!spin_until([&] { return stop || has_shards(range); }, kSpins)) {
        std::unique_lock lock(mutex);
        ++sleepers;
        wake.wait(lock, [&] { return stop || has_shards(range); });
        --sleepers;
      }
      work_off(range);
      help(own);
    }
  }

  void wake_sleepers() {
    if (sleepers == 0) return;
    // Whoever counted itself in before the new tickets were written holds the mutex until it waits.
    { const std::lock_guard lock(mutex); }
    wake.notify_all();
  }

  /// Until every shard is done.
  void wait() {
    if (spin_until([&] { return unfinished == 0; }, kSpins)) return;
    caller_sleeps = true;
    {
      std::unique_lock lock(mutex);
      done.wait(lock, [&] { return unfinished == 0; });
    }
    caller_sleeps = false;
  }
};

Executor::Executor(int threads, std::shared_ptr<Exchange> ranks)
    : pool_(std::make_unique<Pool>(threads > 0 ? static_cast<std::size_t>(threads) : std::max(1U, std::thread::hardware_concurrency()))),
      ranks_(ranks ? std::move(ranks) : std::make_shared<AloneExchange>()) {
  const std::size_t wanted = pool_->ranges.size();
  pool_->workers.reserve(wanted - 1);
  try {
    for (std::size_t own = 1; own < wanted; ++own) pool_->workers.emplace_back([pool = pool_.get(), own] { pool->loop(own); });
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
  pool.deal(shards, call, work);
  pool.wake_sleepers();
  pool.work_off(pool.ranges[0]);
  pool.help(0);
  pool.wait();
  if (pool.failure) {
    pool.failed_shard = -1;
    std::rethrow_exception(std::exchange(pool.failure, nullptr));
  }
}

}  // namespace ffzero
