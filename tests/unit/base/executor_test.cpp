// The fork-join pool: every shard once, in any order, failures reported, results independent of the number of threads.
// SPDX-License-Identifier: MIT
#include "ffzero/base/executor.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ffzero {
namespace {

TEST(Executor, RunsEveryShardExactlyOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    const Executor executor(threads);
    EXPECT_EQ(executor.threads(), threads);
    for (const Index shards : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> count(usize(shards));
      executor.run(shards, [&](Index i) { ++count[usize(i)]; });
      for (const auto& c : count) ASSERT_EQ(c.load(), 1);
    }
  }
}

TEST(Executor, ZeroThreadsMeansOnePerCore) {
  EXPECT_EQ(Executor(0).threads(), static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

TEST(Executor, ReusesItsThreadsForThousandsOfRuns) {
  const Executor executor(3);
  std::int64_t total = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::int64_t> part(4);
    executor.run(4, [&](Index i) { part[usize(i)] = i + round; });
    for (const auto p : part) total += p;
  }
  EXPECT_EQ(total, 3000LL * 6 + 4LL * (2999LL * 3000 / 2));
}

TEST(Executor, WakesWorkersThatSleep) {
  const Executor executor(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    // No shard ends before another thread has taken one.
    std::atomic<int> begun{0};
    executor.run(2, [&](Index) {
      ++begun;
      while (begun < 2) std::this_thread::yield();
    });
    EXPECT_EQ(begun, 2);
  }
}

// What a thread wrote in one round it finds in its own cache in the next one.
TEST(Executor, GivesEachThreadTheSameShardsInEveryRound) {
  const Executor executor(2);
  constexpr int kRounds = 200;
  const auto caller = std::this_thread::get_id();
  int kept = 0;
  for (int round = 0; round < kRounds; ++round) {
    // Neither thread can do the work of both.
    std::atomic<int> begun{0};
    std::vector<std::thread::id> by(2);
    executor.run(2, [&](Index i) {
      by[usize(i)] = std::this_thread::get_id();
      ++begun;
      while (begun < 2) std::this_thread::yield();
    });
    kept += by[0] == caller && by[1] != caller ? 1 : 0;
  }
  // Not in all: a thread that is kept from working for long is helped.
  EXPECT_GT(kept, kRounds / 2);
}

TEST(Executor, HelpsAThreadThatIsKeptFromItsShards) {
  const Executor executor(2);
  std::atomic<int> done{0};
  // Shard 0 ends when all others are done: whoever has it must not be the one that has to do them.
  executor.run(9, [&](Index i) {
    if (i == 0)
      while (done < 8) std::this_thread::yield();
    else
      ++done;
  });
  EXPECT_EQ(done, 8);
}

TEST(Executor, RethrowsTheFailureOfTheLowestShardAndGoesOnWorking) {
  for (const int threads : {1, 2, 3}) {
    const Executor executor(threads);
    for (int round = 0; round < 50; ++round) {
      try {
        executor.run(20, [](Index i) {
          if (i == 7 || i == 3 || i == 19) throw std::runtime_error(std::to_string(i));
        });
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& e) {
        ASSERT_STREQ(e.what(), "3");
      }
      std::atomic<int> done{0};
      executor.run(20, [&](Index) { ++done; });
      ASSERT_EQ(done.load(), 20);
    }
  }
}

TEST(Executor, NestedRunsStayOnTheirThread) {
  const Executor executor(3);
  std::vector<std::vector<int>> seen(8, std::vector<int>(5));
  std::atomic<bool> moved{false};
  executor.run(8, [&](Index i) {
    const auto self = std::this_thread::get_id();
    executor.run(5, [&](Index k) {
      if (std::this_thread::get_id() != self) moved = true;
      ++seen[usize(i)][usize(k)];
    });
  });
  EXPECT_FALSE(moved);
  for (const auto& row : seen) EXPECT_EQ(row, std::vector<int>(5, 1));
}

TEST(Executor, ServesSeveralCallersAtOnce) {
  for (const int threads : {1, 2, 4}) {
    const Executor executor(threads);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
      callers.emplace_back([&, caller] {
        for (int round = 0; round < 300; ++round) {
          std::vector<std::atomic<int>> count(usize(Index{3} + caller));
          try {
            executor.run(isize(count.size()), [&](Index i) {
              ++count[usize(i)];
              if (caller == 3 && i == 1) throw std::runtime_error("own failure");
            });
            if (caller == 3) ++wrong;
          } catch (const std::runtime_error&) {
            if (caller != 3) ++wrong;
            continue;
          }
          for (const auto& c : count) wrong += c.load() == 1 ? 0 : 1;
        }
      });
    for (auto& caller : callers) caller.join();
    EXPECT_EQ(wrong.load(), 0) << threads;
  }
}

TEST(Executor, FailuresOfNestedRunsTravelOutwards) {
  const Executor executor(2);
  EXPECT_THROW(executor.run(4,
                            [&](Index i) {
                              executor.run(4, [&](Index k) {
                                if (i == 2 && k == 1) throw std::logic_error("inner");
                              });
                            }),
               std::logic_error);
}

TEST(Executor, ReducingInTheOrderOfTheShardsGivesTheSameBits) {
  const auto sum = [](int threads) {
    const Executor executor(threads);
    std::vector<double> part(97);
    executor.run(97, [&](Index i) {
      double s = 0.0;
      for (int k = 1; k < 1000; ++k) s += 1.0 / static_cast<double>(k + i);
      part[usize(i)] = s;
    });
    double total = 0.0;
    for (const double p : part) total += p;
    return total;
  };
  EXPECT_EQ(sum(1), sum(2));
  EXPECT_EQ(sum(1), sum(3));
}

TEST(Executor, WorkMayHoldNonCopyableState) {
  const Executor executor(2);
  auto counter = std::make_unique<std::atomic<int>>(0);
  executor.run(10, [owned = std::move(counter)](Index) { ++*owned; });
}

}  // namespace
}  // namespace ffzero
