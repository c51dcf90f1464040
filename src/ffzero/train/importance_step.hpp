// Importance sampling: an estimate from the samples of a batch whose losses have most to say.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ffzero/train/estimator.hpp"

namespace ffzero {

/// Chances of being drawn, of `samples` that are drawn without being put back: in proportion to 0.9 lengths / sum + 0.1 / count, none above
/// 1; the sum is `samples`, or the count of lengths >= 0 if that is less. A negative length: never.   samples >= 1
[[nodiscard]] std::vector<double> inclusion_chances(std::span<const double> lengths, Index samples);
/// Systematic sampling: each i is drawn with its chance, their number is the sum of the chances rounded up or down.  at in (0, 1)
[[nodiscard]] std::vector<Index> draw_samples(std::span<const double> chances, double at);

/// `estimate` on some samples of every batch. The batch is read once; `samples` of it are drawn by the length of the slope of their loss in
/// what the head reads, and each is weighted by the inverse of its chance, so the estimate means what one of the whole batch means. A batch
/// of no more samples is left as it is. A readout that learns from readings gets those of the whole batch.
/// What is read of a sample must not depend on the others of its batch.
/// batch: of a step   block, executor, ledger outlive it   Cost: batch + samples x that of `estimate`
template <class S>
[[nodiscard]] std::unique_ptr<StepGradient<S>> make_importance_step(Index samples, Index batch, std::unique_ptr<StepGradient<S>> estimate,
                                                                    const Block<S>& block, const Executor& executor, Ledger& ledger);

}  // namespace ffzero
