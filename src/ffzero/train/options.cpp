// Checks of the options.
// SPDX-License-Identifier: MIT
#include "ffzero/train/options.hpp"

#include <fmt/format.h>

#include <cmath>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

// Refuses fields of one struct.
class Fields {
 public:
  Fields(std::string_view place, const char* type) : place_(place), type_(type) {}
  void require(bool holds, const char* field, const std::string& requirement, const std::string& value) const {
    if (!holds) throw ConfigError(fmt::format("{}: {}::{}", place_, type_, field), requirement, value);
  }
  void positive(double value, const char* field) const {
    require(value > 0.0 && std::isfinite(value), field, "must be a positive number", fmt::format("{}", value));
  }
  void measured_or_positive(double value, const char* field) const {
    require(value >= 0.0 && std::isfinite(value), field, "must be a positive number, or kMeasured", fmt::format("{}", value));
  }
  void at_least(Index least, Index value, const char* field) const {
    require(value >= least, field, least == 0 ? "must not be negative" : fmt::format("must be at least {}", least), std::to_string(value));
  }
  void not_negative(double value, const char* field) const {
    require(value >= 0.0 && std::isfinite(value), field, "must not be negative", fmt::format("{}", value));
  }
  void share(double value, const char* field) const {
    require(value >= 0.0 && value < 1.0, field, "must lie in [0, 1)", fmt::format("{}", value));
  }

 private:
  std::string_view place_;
  const char* type_;
};

void validate_loss(const LossOptions& loss, std::string_view place) {
  if (const auto* entropy = std::get_if<CrossEntropyOptions>(&loss)) {
    const Fields fields(place, "CrossEntropyOptions");
    fields.positive(entropy->temperature, "temperature");
    fields.share(entropy->smoothing, "smoothing");
    fields.not_negative(entropy->last_temperature, "last_temperature");
  }
  if (const auto* pairs = std::get_if<NPairOptions>(&loss)) {
    const Fields fields(place, "NPairOptions");
    fields.positive(pairs->temperature, "temperature");
    fields.not_negative(pairs->margin, "margin");
    fields.not_negative(pairs->last_temperature, "last_temperature");
  }
  if (const auto* margin = std::get_if<MarginOptions>(&loss))
    Fields(place, "MarginOptions")
        .require(margin->margin >= 0.0 && std::isfinite(margin->margin), "margin", "must not be negative",
                 fmt::format("{}", margin->margin));
}

void validate_estimator(const EstimatorOptions& estimator, std::string_view place) {
  if (const auto* directional = std::get_if<DirectionalOptions>(&estimator)) {
    const Fields fields(place, "DirectionalOptions");
    fields.at_least(1, directional->directions, "directions");
    fields.measured_or_positive(directional->eps, "eps");
    fields.require(directional->recycle >= 0.0 && directional->recycle <= 1.0, "recycle", "must lie in [0, 1]",
                   fmt::format("{}", directional->recycle));
  }
  if (const auto* activity = std::get_if<ActivityPerturbation>(&estimator)) {
    const Fields fields(place, "ActivityPerturbation");
    fields.at_least(1, activity->directions, "directions");
    fields.positive(activity->eps, "eps");
  }
  if (const auto* coordinate = std::get_if<CoordinateOptions>(&estimator)) {
    const Fields fields(place, "CoordinateOptions");
    fields.at_least(1, coordinate->parameters, "parameters");
    fields.positive(coordinate->step, "step");
  }
  if (const auto* transfer = std::get_if<TransferOptions>(&estimator)) {
    const Fields fields(place, "TransferOptions");
    fields.at_least(1, transfer->parameters, "parameters");
    fields.at_least(1, transfer->held_out, "held_out");
    fields.at_least(std::max<Index>(8, transfer->held_out + 5), transfer->readings, "readings");
    fields.at_least(transfer->readings, transfer->base, "base");
    fields.at_least(1, transfer->steps, "steps");
    fields.positive(transfer->step, "step");
    fields.positive(transfer->gate, "gate");
  }
  if (const auto* twin = std::get_if<TwinOptions>(&estimator)) {
    const Fields fields(place, "TwinOptions");
    twin->calibration.validate();
    fields.at_least(0, twin->start_epochs, "start_epochs");
    fields.at_least(0, twin->refine_epochs, "refine_epochs");
    fields.positive(twin->fit_lr, "fit_lr");
    fields.not_negative(twin->calibrated_lr, "calibrated_lr");
    fields.not_negative(twin->chip_lr, "chip_lr");
    fields.positive(twin->gate, "gate");
    fields.require(twin->fallback == Fallback::outputs || (!twin->along && twin->calibration.freedom != TwinFreedom::none), "fallback",
                   "must be Fallback::outputs where no twin is calibrated", "Fallback::stop");
  }
}

}  // namespace

std::string to_string(Scope scope) {
  if (scope == Scope::local) return "local";
  return scope == Scope::end_to_end ? "end_to_end" : "blocks";
}

std::string estimator_name(const EstimatorOptions& options) {
  if (const auto* named = std::get_if<NamedEstimator>(&options)) return named->name;
  if (std::holds_alternative<DirectionalOptions>(options)) return "directional";
  if (std::holds_alternative<ActivityPerturbation>(options)) return "activity";
  if (std::holds_alternative<TwinOptions>(options)) return "twin";
  if (std::holds_alternative<TransferOptions>(options)) return "transfer";
  return std::holds_alternative<CoordinateOptions>(options) ? "coordinate" : "adjoint";
}

void BlockOptions::validate(std::string_view place) const {
  validate_loss(loss, place);
  validate_estimator(estimator, place);
  const Fields updates(place, "UpdateOptions");
  updates.measured_or_positive(update.lr, "lr");
  // Whatever the steps: 1 says that a temperature stays.
  updates.require(update.schedule.kind != ScheduleKind::plateau || temperature_factor(loss, 1, 2) == 1.0, "schedule",
                  "must not be plateau, which compares losses of epochs, where their temperatures differ", "plateau");
  const Fields fields(place, "BlockOptions");
  fields.at_least(0, epochs, "epochs");
  fields.at_least(1, batch_size, "batch_size");
  fields.at_least(0, importance_samples, "importance_samples");
  fields.require(importance_samples == 0 || importance_samples < batch_size, "importance_samples",
                 fmt::format("must be below the batch_size of {}", batch_size), std::to_string(importance_samples));
  const auto* coordinate = std::get_if<CoordinateOptions>(&estimator);
  const bool samples = std::holds_alternative<DirectionalOptions>(estimator) || std::holds_alternative<NamedEstimator>(estimator) ||
                       (coordinate != nullptr && coordinate->one_sided);
  fields.require(importance_samples == 0 || samples, "importance_samples",
                 "must be 0 for an estimator that is not \"directional\", \"coordinate\" with one-sided readings, or one of your own",
                 std::to_string(importance_samples));
}

}  // namespace ffzero
