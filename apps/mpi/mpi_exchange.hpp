// Ranks that are processes of an MPI job.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/base/exchange.hpp"

namespace ffzero::mpi {

/// This process as a rank of the job that it was started in. Once in a process.
class Job {
 public:
  Job();
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  [[nodiscard]] const std::shared_ptr<Exchange>& exchange() const noexcept { return exchange_; }
  /// The last call, of every rank: with 0 for one that did its work, which waits for all others; else with the exit code of the job, which
  /// ends as soon as rank 0 is here, for its message comes first.
  void leave(int code);

 private:
  std::shared_ptr<Exchange> exchange_;
  bool left_ = false;
};

}  // namespace ffzero::mpi
