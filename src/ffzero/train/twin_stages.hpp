// Which epochs of a training with a twin read the device, and with which learning rate.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "ffzero/train/estimator.hpp"
#include "ffzero/train/options.hpp"

namespace ffzero {

/// Epochs on the model as it is given, then on the calibrated twin (order "first"), then on the device  [docs/imperfect.md, Twins].
class TwinStages {
 public:
  explicit TwinStages(const TwinOptions& options) : options_(options) {}

  /// The step that is asked about: `number` of a training of `epochs` epochs of `steps` steps.
  void begin_step(Index number, Index steps, Index epochs) {
    number_ = number;
    steps_ = steps;
    epochs_ = epochs;
  }
  [[nodiscard]] Index number() const { return number_; }
  /// Steps before the first calibration.
  [[nodiscard]] Index start() const { return options_.start_epochs * steps_; }
  [[nodiscard]] bool behind_start() const { return number_ >= start(); }
  [[nodiscard]] bool on_device() const { return number_ >= first_on_device(); }

  /// The stage with a learning rate of its own that the step belongs to; empty where no options give one.
  [[nodiscard]] std::optional<TrainingStage> stage() const;

 private:
  [[nodiscard]] Index first_on_device() const;

  TwinOptions options_;
  Index number_ = 0, steps_ = 1, epochs_ = 0;
};

}  // namespace ffzero
