// Ranks that are processes of an MPI job.
// SPDX-License-Identifier: MIT
#include "mpi_exchange.hpp"

#include <mpi.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace ffzero::mpi {

namespace {

constexpr int kFailureTag = 1;
/// Time that rank 0 has for its message before another rank ends the job.
constexpr std::chrono::milliseconds kLastWords{3000};
/// Time that mpirun has to hand on what rank 0 has written: that of MPICH drops the rest when a job is aborted.
constexpr std::chrono::milliseconds kHandingOn{300};

/// What a failed rank tells the others, before its message.
struct Told {
  std::int64_t gathers = 0;  ///< that it came to
  std::int64_t kind = 0;
};
struct Failure {
  Told head;
  std::string message;
};

class MpiExchange final : public Exchange {
 public:
  MpiExchange() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    // Failures are told beside the gathers.
    MPI_Comm_dup(MPI_COMM_WORLD, &failures_);
  }
  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override { return size_; }

  void fail(ErrorKind kind, const std::string& message) noexcept override {
    if (!told_.empty()) return;
    const Told head{.gathers = gathers_, .kind = static_cast<std::int64_t>(kind)};
    told_.resize(sizeof(Told) + message.size());
    std::memcpy(told_.data(), &head, sizeof(Told));
    std::memcpy(told_.data() + sizeof(Told), message.data(), message.size());
    // Nobody waits for it to arrive: who has failed too does not listen.
    for (int to = 0; to < size_; ++to) {
      MPI_Request request = MPI_REQUEST_NULL;
      if (to == rank_) continue;
      MPI_Isend(told_.data(), static_cast<int>(told_.size()), MPI_CHAR, to, kFailureTag, failures_, &request);
      MPI_Request_free(&request);
    }
  }

 protected:
  void gather_bytes(std::span<std::byte> all, std::span<const std::size_t> sizes) override {
    std::vector<int> counts, places;
    if (all.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) throw ShapeError("MPI", "a gather of less than 2 GiB");
    for (std::size_t at = 0; const std::size_t size : sizes) {
      counts.push_back(static_cast<int>(size));
      places.push_back(static_cast<int>(at));
      at += size;
    }
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all.data(), counts.data(), places.data(), MPI_BYTE, MPI_COMM_WORLD, &request);
    for (std::int64_t turn = 0;; ++turn) {
      int done = 0;
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done != 0) break;
      if (turn % kTurns == kTurns - 1) {
        look_for_failures();
        // Who comes late may need this very core.
        if (turn < kPatience)
          std::this_thread::yield();
        else
          std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
    ++gathers_;
  }

 private:
  static constexpr std::int64_t kTurns = 32, kPatience = 200000;
  /// @throws RankError if a rank that has failed does not come to the gather that is under way
  void look_for_failures() {
    int found = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, kFailureTag, failures_, &found, &status);
    if (found != 0 && !failure_) {
      int size = 0;
      MPI_Get_count(&status, MPI_CHAR, &size);
      std::string bytes(usize(size), '\0');
      MPI_Recv(bytes.data(), size, MPI_CHAR, status.MPI_SOURCE, kFailureTag, failures_, MPI_STATUS_IGNORE);
      failure_.emplace();
      std::memcpy(&failure_->head, bytes.data(), sizeof(Told));
      failure_->message = bytes.substr(sizeof(Told));
    }
    if (failure_ && failure_->head.gathers <= gathers_) throw RankError(static_cast<ErrorKind>(failure_->head.kind), failure_->message);
  }

  MPI_Comm failures_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::int64_t gathers_ = 0;
  std::string told_;
  std::optional<Failure> failure_;
};

}  // namespace

Job::Job() {
  int provided = 0;
  // One thread of a process speaks for it.
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  exchange_ = std::make_shared<MpiExchange>();
}

Job::~Job() = default;

void Job::leave(int code) {
  if (left_) return;
  left_ = true;
  if (code == 0) {
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return;
  }
  std::this_thread::sleep_for(exchange_->rank() == 0 ? kHandingOn : kLastWords);
  MPI_Abort(MPI_COMM_WORLD, code);
}

}  // namespace ffzero::mpi
