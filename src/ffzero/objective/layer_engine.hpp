// How the parts of layers are evaluated, in training and in inference.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ffzero/objective/layer.hpp"

namespace ffzero {

/// Who asks: a step of the training, or a trained network. They differ where a map has statistics of the training set.
enum class Phase { training, inference };

/// One part of the data flow through layers: a map with its slice of theta, or a dropout mask.
template <class S>
struct LayerStep {
  const ForwardMap<S>* map = nullptr;  ///< null: dropout
  Index theta_begin = 0, theta_size = 0;
  Index outputs = 0;
  Index mask = -1;  ///< which dropout mask
  Index layer = 0;
};

/// A map without parameters.
template <class S>
[[nodiscard]] LayerStep<S> fixed_step(const ForwardMap<S>& map, Index layer) {
  return {.map = &map, .outputs = map.output_shape().size(), .layer = layer};
}

/// Rows [first_row, ..) of these masks belong to the rows that are evaluated.
template <class S>
struct MaskRows {
  std::span<const Matrix<S>> masks = {};
  Index first_row = 0;
};

/// y = map(theta, x) as this phase sees it.   x (B, inputs)   y (B, outputs), overwritten
/// Cost: B forward evaluations if the map has parameters or is a device. @throws as ForwardMap::forward
template <class S>
void run_map(const ForwardMap<S>& map, Phase phase, std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y);

/// True if pieces of a batch may be evaluated apart from one another and side by side.
template <class S>
[[nodiscard]] bool rows_apart(const ForwardMap<S>& map, Phase phase);

/// Evaluates the steps one after another: the only loop over parts of layers, in training and in inference.
/// theta: of all layers that the steps count from   x (B, inputs of the first step)
/// target(k): where the output of step k goes, a MatrixRef<S> (B, steps[k].outputs) that does not overlap the output of the step before it
/// after(k, y): is told each output
template <class S, class Target, class After>
void run_steps(std::span<const LayerStep<S>> steps, Phase phase, std::span<const S> theta, const ConstMatrixRef<S>& x,
               const MaskRows<S>& masks, Target target, After after) {
  std::optional<MatrixRef<S>> before;
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const LayerStep<S>& step = steps[k];
    MatrixRef<S> y = target(k);
    const ConstMatrixRef<S> from = before ? ConstMatrixRef<S>(*before) : ConstMatrixRef<S>(x);
    if (step.map == nullptr)
      y = from.cwiseProduct(masks.masks[usize(step.mask)].middleRows(masks.first_row, from.rows()));
    else
      run_map<S>(*step.map, phase, theta.subspan(usize(step.theta_begin), usize(step.theta_size)), from, y);
    after(k, y);
    before.emplace(y);
  }
}

}  // namespace ffzero
