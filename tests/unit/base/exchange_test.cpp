// What ranks tell one another: in their order, all or nothing.
// SPDX-License-Identifier: MIT
#include "ffzero/base/exchange.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "support/expect_error.hpp"
#include "support/thread_ranks.hpp"

namespace ffzero {
namespace {

TEST(Exchange, PartsAreContiguousAndWhole) {
  for (const int size : {1, 2, 3, 7})
    static_cast<void>(test::run_ranks(size, [&](const std::shared_ptr<Exchange>& ranks) {
      for (const Index units : {0, 1, 2, 5, 64}) {
        Index next = 0;
        for (int r = 0; r < size; ++r) {
          const RankPart part = ranks->part_of(units, r);
          EXPECT_EQ(part.first, next);
          EXPECT_LE(part.size(), units / size + 1);
          EXPECT_GE(part.size(), units / size);
          next = part.last;
        }
        EXPECT_EQ(next, units);
        EXPECT_EQ(ranks->part_of(units).first, ranks->part_of(units, ranks->rank()).first);
      }
    }));
}

TEST(Exchange, GathersInTheOrderOfTheRanks) {
  for (const int size : {1, 2, 3, 7}) {
    const auto errors = test::run_ranks(size, [&](const std::shared_ptr<Exchange>& ranks) {
      for (const Index units : {0, 2, 5, 64}) {
        std::vector<double> table(usize(units * 3), -1.0), wanted(usize(units * 3));
        std::iota(wanted.begin(), wanted.end(), 0.0);
        const RankPart part = ranks->part_of(units);
        for (Index i = part.first * 3; i < part.last * 3; ++i) table[usize(i)] = static_cast<double>(i);
        ranks->gather_units(units, 3, table);
        EXPECT_EQ(table, wanted);
      }
      std::vector<std::string> wanted;
      for (int r = 0; r < size; ++r) wanted.emplace_back(usize(r), 'x');
      EXPECT_EQ(ranks->gather_texts(std::string(usize(ranks->rank()), 'x')), wanted);
    });
    for (const auto& error : errors) EXPECT_FALSE(error);
  }
}

TEST(Exchange, CountsWhatGoesOverTheWire) {
  const auto traffic = test::results_of_ranks<std::int64_t>(2, [](const std::shared_ptr<Exchange>& ranks) {
    std::vector<double> table(10);
    ranks->gather_units(5, 2, table);
    EXPECT_EQ(ranks->traffic().gathers, 1);
    return ranks->traffic().bytes;
  });
  EXPECT_EQ(traffic, (std::vector<std::int64_t>{80, 80}));
  AloneExchange alone;
  std::vector<double> table(10);
  alone.gather_units(5, 2, table);
  EXPECT_EQ(alone.traffic().bytes, 0);
}

TEST(Exchange, AFailedRankEndsTheWaitOfTheOthersButNotWhatItCameTo) {
  std::atomic<int> came = 0;
  const auto errors = test::run_ranks(3, [&](const std::shared_ptr<Exchange>& ranks) {
    std::vector<double> table(3);
    ranks->gather_units(3, 1, table);
    ++came;
    if (ranks->rank() == 1) throw OutputError("here", "must work", "nothing");
    ranks->gather_units(3, 1, table);
    ADD_FAILURE() << "rank " << ranks->rank() << " waited for nobody";
  });
  EXPECT_EQ(came, 3);
  for (const auto& error : errors)
    EXPECT_EQ(test::message_of<Error>([&] { std::rethrow_exception(error); }), "here: must work; got nothing");
}

TEST(Exchange, RefusesBytesThatDoNotFit) {
  AloneExchange alone;
  std::vector<std::byte> bytes(4);
  const std::vector<std::size_t> sizes{3};
  EXPECT_EQ(test::message_of<ShapeError>([&] { alone.gather(bytes, sizes); }),
            "exchange: the bytes of every rank, and room for all of them");
}

}  // namespace
}  // namespace ffzero
