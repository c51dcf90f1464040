// Processes of one job that train one run together.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "ffzero/base/exchange.hpp"

namespace ffzero::app {

/// What mpirun or srun has told this process in its environment; without them one rank of one.
struct Launch {
  int rank = 0, size = 1;
};
[[nodiscard]] Launch launched();

/// This process among the others.
struct JoinedRanks {
  std::shared_ptr<Exchange> exchange;   ///< null: it is alone
  std::function<void(int code)> leave;  ///< the last thing it does, with its exit code
  [[nodiscard]] bool leads() const { return !exchange || exchange->rank() == 0; }
};

/// @throws ConfigError if it is one of several in a program that was built without MPI
[[nodiscard]] JoinedRanks join_ranks();

}  // namespace ffzero::app
