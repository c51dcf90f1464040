// Ask and tell: readings that somebody else takes, whenever they can.
// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/device/call_map.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// A device that queues what it is asked for (as the function of a CallMap): the thread that trains waits in read(), any other threads
/// ask() for requests and tell() their answers, in any order. Readings have addresses, which are the same in a run that is gone on with: an
/// answer that was kept is given again, to the same reading.
class RequestQueue {
 public:
  struct Request {
    std::uint64_t id = 0;      ///< running number
    std::size_t device = 0;    ///< of several, in the order of the data flow
    std::vector<float> theta;  ///< (parameters), in the units of the device
    Matrix<float> x;           ///< (B, inputs)
  };
  using Answers = std::map<CallAddress, Matrix<float>>;
  /// What a session is gone on with from: number of its next request, and answers that training may ask for again.
  struct Kept {
    std::uint64_t next = 0;
    Answers answers;
  };

  RequestQueue() = default;
  explicit RequestQueue(Kept kept) : kept_(std::move(kept)) {}

  /// For the thread that trains: one request for each theta, whose answer is not known; returns when all are answered. at: of the first of
  /// them. @throws DeviceError when one has failed or the queue was closed
  void read(std::size_t device, const CallAddress& at, std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x,
            std::span<Matrix<float>> ys);
  /// A state was kept: of the answers so far, the lasting ones will be asked for again, and those of the step that was asked for last,
  /// which may have failed half answered.
  void mark();
  /// Nothing will be asked for any more: ask() returns nothing.
  void finish();
  /// Training ends at its next reading, with a DeviceError that says `why`.
  void close(const std::string& why);

  /// The next request that nobody works on; waits for at most `seconds` (negative: as long as it takes). None: in this time there was none,
  /// or there will be none any more (finished()).
  [[nodiscard]] std::optional<Request> ask(double seconds = -1.0);
  /// The answer of a request, (B, outputs). The same answer twice is ignored. @throws UsageError for a number that was never asked for and
  /// for another answer than before, DataError for another shape or a reading that is not finite
  void tell(std::uint64_t id, const Matrix<float>& y);
  /// The request could not be answered. retry: it is asked for again; else training stops with a DeviceError. @throws UsageError as tell
  void fail(std::uint64_t id, bool retry, const std::string& why = "a reading that failed");

  [[nodiscard]] bool finished() const;
  /// Requests that somebody works on.
  [[nodiscard]] std::size_t outstanding() const;
  /// Answers since mark(), and those that it kept.
  [[nodiscard]] Kept kept() const;

 private:
  struct Open {
    Request request;
    CallAddress at;
    Index outputs = 0;
    bool taken = false;
    std::optional<Matrix<float>> answer;
  };
  void require_open_end() const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Kept kept_;
  CallAddress last_;                           ///< of the last read()
  std::map<std::uint64_t, CallAddress> told_;  ///< where the answers of these requests are kept
  std::map<std::uint64_t, Open> open_;
  bool finished_ = false;
  std::string closed_;  ///< why; empty: it is not
};

}  // namespace ffzero
