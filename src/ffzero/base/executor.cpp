// Fork-join pool: workers take shards from one atomic counter; between rounds they watch for the next one for some microseconds, the
// distance of two rounds of a training step, and then sleep on a condition variable. SPDX-License-Identifier: MIT
#include "ffzero/base/executor.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ffzero {

namespace {
// True while this thread works on a shard: a nested run() must not wait for workers that wait for it.
thread_local bool inside_shard = false;

// Waking a thread takes longer than most rounds.
constexpr int kSpins = 2000;

template <class Condition>
void spin_until(Condition condition) {
  for (int i = 0; i < kSpins && !condition(); ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}
}  // namespace

struct Executor::Pool {
  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<std::thread> workers;
  void (*call)(void*, Index) = nullptr;
  void* work = nullptr;
  Index shards = 0;
  std::atomic<Index> next{0};
  // Changed under the mutex, watched without it.
  std::atomic<std::size_t> round{0};
  std::atomic<std::size_t> busy{0};
  std::atomic<bool> stop{false};
  Index failed_shard = -1;
  std::exception_ptr failure;

  void work_off() {
    inside_shard = true;
    for (Index i = next.fetch_add(1); i < shards; i = next.fetch_add(1)) {
      try {
        call(work, i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (failed_shard < 0 || i < failed_shard) {
          failed_shard = i;
          failure = std::current_exception();
        }
      }
    }
    inside_shard = false;
  }

  void loop() {
    std::size_t seen = 0;
    for (;;) {
      spin_until([&] { return stop || round != seen; });
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stop || round != seen; });
        if (stop) return;
        seen = round;
      }
      work_off();
      const std::lock_guard lock(mutex);
      if (--busy == 0) done.notify_one();
    }
  }
};

Executor::Executor(int threads) : pool_(std::make_unique<Pool>()) {
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t wanted = threads > 0 ? static_cast<std::size_t>(threads) : cores;
  for (std::size_t i = 1; i < wanted; ++i) pool_->workers.emplace_back([pool = pool_.get()] { pool->loop(); });
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
  {
    const std::lock_guard lock(pool.mutex);
    pool.call = call;
    pool.work = work;
    pool.shards = shards;
    pool.next = 0;
    pool.failed_shard = -1;
    pool.failure = nullptr;
    pool.busy = pool.workers.size();
    ++pool.round;
  }
  pool.wake.notify_all();
  pool.work_off();
  spin_until([&] { return pool.busy == 0; });
  std::exception_ptr failure;
  {
    std::unique_lock lock(pool.mutex);
    pool.done.wait(lock, [&] { return pool.busy == 0; });
    failure = std::exchange(pool.failure, nullptr);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace ffzero
