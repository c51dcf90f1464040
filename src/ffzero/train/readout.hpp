// A digital linear classifier on measured features: trained readouts and linear controls.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

struct ReadoutOptions {
  Index epochs = 40;
  Index batch_size = 256;
  double lr = 1e-2;  ///< of Adam on standardised features, cosine schedule to 0
  double weight_decay = 1e-6;
  std::uint64_t seed = 0;
  std::span<const float> weights{};  ///< (N) how much each sample counts, not negative; empty: all alike
};

/// Multinomial logistic regression by Adam. Digital: costs no forward evaluation beyond those that measured the features.
/// features (N, d)   labels (N), 0 .. classes - 1   returns (K, d + 1): scores = features W^T + b, b in the last column; the
/// standardisation of the features is folded in. The same bits for any number of threads (it uses one).
template <class S>
[[nodiscard]] Matrix<S> fit_readout(const ConstMatrixRef<S>& features, std::span<const std::int32_t> labels, Index classes,
                                    const ReadoutOptions& options);

/// scores (N, K) of a fitted readout.
template <class S>
void readout_scores(const ConstMatrixRef<S>& readout, const ConstMatrixRef<S>& features, MatrixRef<S> scores);

}  // namespace ffzero
