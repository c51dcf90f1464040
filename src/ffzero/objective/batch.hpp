// One minibatch as a loss sees it.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/random.hpp"
#include "ffzero/loss/loss.hpp"

namespace ffzero {

/// What the head read of each sample of a batch during one step: readings taken for the loss anyway.
template <class S>
struct Reads {
  Matrix<S> sum;          ///< (B, head input size), over the evaluations of the step
  Index evaluations = 0;  ///< of each sample
};

template <class S>
struct Batch {
  ConstMatrixRef<S> x;                       ///< (B, input size of the block)
  Targets targets;                           ///< B of them
  RandomStream dropout{0, Stream::dropout};  ///< masks between the layers of the block: the same for all evaluations of the step
  Reads<S>* reads = nullptr;                 ///< if not null: gets what the head reads; set_batch empties it
};

}  // namespace ffzero
