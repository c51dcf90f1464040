// Which epochs of a training with a twin read the device, and with which learning rate.
// SPDX-License-Identifier: MIT
#include "ffzero/train/twin_stages.hpp"

#include <algorithm>

namespace ffzero {

Index TwinStages::first_on_device() const {
  return options_.along ? start() : std::max<Index>(0, epochs_ - options_.refine_epochs) * steps_;
}

std::optional<TrainingStage> TwinStages::stage() const {
  if (options_.calibrated_lr <= 0.0 && options_.chip_lr <= 0.0) return std::nullopt;
  const Index end = epochs_ * steps_, device = std::min(first_on_device(), end), calibrated = std::min(start(), device);
  TrainingStage own{.first = 0, .steps = end};
  const auto begin = [&](Index first, double lr) {
    if (lr <= 0.0) return;
    if (number_ < first)
      own.steps = std::min(own.steps, first - own.first);
    else
      own = {.first = first, .steps = end - first, .lr = lr};
  };
  if (!options_.along) begin(calibrated, options_.calibrated_lr);
  begin(device, options_.chip_lr);
  return own;
}

}  // namespace ffzero
