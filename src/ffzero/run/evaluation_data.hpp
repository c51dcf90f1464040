// What a run keeps for its pictures, so that a report never needs the data set again.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/base/executor.hpp"
#include "ffzero/settings/config.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero {

struct EvaluationInputs {
  const Config& config;    ///< resolved
  const Encoder& encoder;  ///< of the run
  const Network<float>& network;
  const Outputs& outputs;
  const Splits& splits;
  std::shared_ptr<const Executor> executor;
  Index feature_samples = 1000;  ///< first test samples whose features are kept
  Index worst_samples = 24;
  Index light_sample = 0;  ///< test sample whose way through the meshes is kept
};

/// The arrays of evaluation.npz (N test samples, K classes, L entries of `layers`, M = min(N, feature_samples)):
///   test_labels (N) or test_targets (N), (N, T) if there are T > 1 targets, test_scores (L, N, K), test_predictions (L, N), test_vote (N);
///   features (M, d) that the last head sees and its prototypes (K, d), of the first group if there are several;
///   worst_indices (W), the samples that the run gets most wrong, and worst_images (W, h, w) as grey bytes, if samples are images;
///   for every mesh i: phases_initial.i, phases_final.i, mesh_power.i (K, n) mean power a class, light_before.i and light_after.i
///   (columns + 2, n) powers of light_sample; energy (layers, 3): mean power in front of, behind and passed on by each layer;
///   of layers that pass on maps what ConvolutionPictures::store adds (no evaluations of its own);
///   about: JSON with names of classes and targets, sample shape, meshes and `evaluations`, what the pictures cost (billed to no run).
[[nodiscard]] NpzArchive evaluation_data(const EvaluationInputs& inputs);

/// Of these arrays only mesh_power.i and energy (and features, prototypes); `outputs` is not looked at.
[[nodiscard]] NpzArchive mesh_powers(const EvaluationInputs& inputs);

}  // namespace ffzero
