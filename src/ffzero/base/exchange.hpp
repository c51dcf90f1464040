// What the ranks of one training tell one another.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/index.hpp"

namespace ffzero {

/// Units [first, last) of a rank.
struct RankPart {
  Index first = 0, last = 0;
  [[nodiscard]] constexpr Index size() const noexcept { return last - first; }
};

/// The processes (ranks) that do one training together. Each holds the data, the parameters and the optimiser, computes its share of every
/// step, and gathers the numbers of the others: they are never added on the way, so that every rank adds them itself in the order of their
/// units, to the same bits for any number of ranks. All ranks make the same calls in the same order. One thread calls.
class Exchange {
 public:
  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  virtual ~Exchange() = default;

  [[nodiscard]] virtual int rank() const noexcept = 0;
  [[nodiscard]] virtual int size() const noexcept = 0;
  [[nodiscard]] bool alone() const noexcept { return size() == 1; }

  /// Collective. sizes (size()): bytes of each rank   all (their sum): the bytes of rank 0, 1, ..; those of the calling rank are given, the
  /// others are overwritten. @throws RankError if another rank has failed and will not come
  void gather(std::span<std::byte> all, std::span<const std::size_t> sizes);
  /// Tells the others that this rank will not come to a gather again: theirs end with a RankError of this kind and message.
  virtual void fail(ErrorKind kind, const std::string& message) noexcept = 0;

  /// Collective. table (units * each): `each` numbers of every unit; those of the part of the calling rank are given, the others are
  /// overwritten.
  void gather_units(Index units, Index each, std::span<double> table);
  /// The same for words of which each rank has as many.  table (size() times as many)
  void gather_words(std::span<std::uint64_t> table);
  /// True on all ranks if one of them says so. Collective.
  [[nodiscard]] bool any(bool mine);
  /// A text of each rank, in their order. Collective.
  [[nodiscard]] std::vector<std::string> gather_texts(const std::string& own);
  /// Units of `units` that the calling rank computes: contiguous, as many as the others have, or one more or less.
  [[nodiscard]] RankPart part_of(Index units) const noexcept { return part_of(units, rank()); }
  [[nodiscard]] RankPart part_of(Index units, int rank_of_part) const noexcept {
    return {.first = units * rank_of_part / size(), .last = units * (rank_of_part + 1) / size()};
  }

  /// What gather() was asked for so far.
  struct Traffic {
    std::int64_t gathers = 0;
    std::int64_t bytes = 0;  ///< of all ranks together, each counted once
  };
  [[nodiscard]] const Traffic& traffic() const noexcept { return traffic_; }

 protected:
  virtual void gather_bytes(std::span<std::byte> all, std::span<const std::size_t> sizes) = 0;

 private:
  Traffic traffic_;
};

/// Another rank has failed.
class RankError : public Error {
 public:
  RankError(ErrorKind kind, const std::string& message) : Error(kind, message) {}
};

/// One process: nothing is exchanged, nothing is counted.
class AloneExchange final : public Exchange {
 public:
  [[nodiscard]] int rank() const noexcept override { return 0; }
  [[nodiscard]] int size() const noexcept override { return 1; }
  void fail(ErrorKind /*kind*/, const std::string& /*message*/) noexcept override {}

 protected:
  void gather_bytes(std::span<std::byte> /*all*/, std::span<const std::size_t> /*sizes*/) override {}
};

}  // namespace ffzero
