// One minibatch as a loss sees it. Dependency level 3 (objective).
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/random.hpp"
#include "ffzero/loss/loss.hpp"

namespace ffzero {

template <class S>
struct Batch {
  ConstMatrixRef<S> x;                       ///< (B, input size of the block)
  Targets targets;                           ///< B of them
  RandomStream dropout{0, Stream::dropout};  ///< masks between the layers of the block: the same for all evaluations of the step
};

}  // namespace ffzero
