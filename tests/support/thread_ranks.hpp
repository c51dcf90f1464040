// Ranks that are threads of one process.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ffzero/base/exchange.hpp"

namespace ffzero::test {

/// Where the ranks of one job meet.
class MeetingPlace {
 public:
  explicit MeetingPlace(int size) : own_(usize(size)) {}
  [[nodiscard]] int size() const noexcept { return static_cast<int>(own_.size()); }

  void gather(int rank, std::int64_t number, std::span<std::byte> all, std::span<const std::size_t> sizes) {
    std::unique_lock lock(busy_);
    own_[usize(rank)] = {.all = all, .sizes = {sizes.begin(), sizes.end()}};
    if (++arrived_ == size()) {
      share_out();
      arrived_ = 0;
      ++done_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return done_ > number || (failure_ && failure_->first <= number); });
    if (done_ > number) return;
    throw RankError(failure_->second.kind(), failure_->second.what());
  }
  /// A rank that has come to `gathers` of them comes to no more.
  void fail(std::int64_t gathers, const RankError& error) {
    const std::lock_guard lock(busy_);
    if (!failure_) failure_.emplace(gathers, error);
    changed_.notify_all();
  }

 private:
  struct Own {
    std::span<std::byte> all;
    std::vector<std::size_t> sizes;
  };
  void share_out() {
    std::size_t at = 0;
    for (std::size_t from = 0; from < own_.size(); ++from) {
      for (Own& to : own_) {
        if (to.sizes != own_[0].sizes) throw ShapeError("ranks", "must agree about a gather");
        if (&to != &own_[from]) std::ranges::copy(own_[from].all.subspan(at, to.sizes[from]), to.all.begin() + isize(at));
      }
      at += own_[0].sizes[from];
    }
  }

  std::mutex busy_;
  std::condition_variable changed_;
  std::vector<Own> own_;
  int arrived_ = 0;
  std::int64_t done_ = 0;
  std::optional<std::pair<std::int64_t, RankError>> failure_;
};

class ThreadExchange final : public Exchange {
 public:
  ThreadExchange(std::shared_ptr<MeetingPlace> place, int rank) : place_(std::move(place)), rank_(rank) {}
  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override { return place_->size(); }
  void fail(ErrorKind kind, const std::string& message) noexcept override { place_->fail(gathers_, {kind, message}); }

 protected:
  void gather_bytes(std::span<std::byte> all, std::span<const std::size_t> sizes) override {
    place_->gather(rank_, gathers_, all, sizes);
    ++gathers_;
  }

 private:
  std::shared_ptr<MeetingPlace> place_;
  int rank_;
  std::int64_t gathers_ = 0;
};

/// Calls work(exchange) as each of `size` ranks at once. The errors of the ranks, null where there is none; one that failed by itself has
/// told the others.
inline std::vector<std::exception_ptr> run_ranks(int size, const std::function<void(const std::shared_ptr<Exchange>&)>& work) {
  const auto place = std::make_shared<MeetingPlace>(size);
  std::vector<std::exception_ptr> errors(usize(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      const auto exchange = std::make_shared<ThreadExchange>(place, rank);
      try {
        work(exchange);
      } catch (const RankError&) {
        errors[usize(rank)] = std::current_exception();
      } catch (const Error& e) {
        errors[usize(rank)] = std::current_exception();
        exchange->fail(e.kind(), e.what());
      } catch (...) {
        errors[usize(rank)] = std::current_exception();
        exchange->fail(ErrorKind::defect, "no error of ffzero");
      }
    });
  for (std::thread& thread : threads) thread.join();
  return errors;
}

/// The same where no rank may fail: what each of them gives.
template <class Result>
std::vector<Result> results_of_ranks(int size, const std::function<Result(const std::shared_ptr<Exchange>&)>& work) {
  std::vector<Result> results(usize(size));
  const auto errors =
      run_ranks(size, [&](const std::shared_ptr<Exchange>& exchange) { results[usize(exchange->rank())] = work(exchange); });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return results;
}

}  // namespace ffzero::test
