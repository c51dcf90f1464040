// A device that the program itself can call.
// SPDX-License-Identifier: MIT
#include "ffzero/device/call_map.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

std::string number_of(Index n) { return std::to_string(n); }

// The range of every parameter, in their order.
template <class Use>
void for_each_parameter(const std::vector<ParameterRange>& ranges, const Use& use) {
  for (const ParameterRange& range : ranges)
    for (Index i = range.first; i < range.first + range.count; ++i) use(usize(i), range);
}

std::vector<float> device_values(const std::vector<ParameterRange>& ranges, std::span<const float> theta) {
  std::vector<float> values(theta.begin(), theta.end());
  for_each_parameter(
      ranges, [&](std::size_t i, const ParameterRange& range) { values[i] = to_device_units(range, static_cast<double>(theta[i])); });
  return values;
}

}  // namespace

void CallDescription::validate() const {
  const auto at_least_one = [](const char* field, Index value) {
    if (value < 1) throw ConfigError(std::string("CallDescription::") + field, "must be at least 1", number_of(value));
  };
  at_least_one("inputs", inputs);
  at_least_one("outputs", outputs);
  at_least_one("parameters", parameters);
  const auto refuse = [](const std::string& requirement, const std::string& value) {
    throw ConfigError("CallDescription::ranges", requirement, value);
  };
  Index next = 0;
  for (const ParameterRange& range : ranges) {
    if (range.first != next || range.count < 1)
      refuse("must follow one another without gaps", "one that begins at " + number_of(range.first));
    if (!(range.min < range.max))
      refuse("must have a smallest value below the largest", std::to_string(range.min) + " .. " + std::to_string(range.max));
    if (!(range.step >= 0.0) || !std::isfinite(range.step)) refuse("must have steps of 0 or more", std::to_string(range.step));
    if (!range.contains(range.safe)) refuse("must contain the safe value", std::to_string(range.safe));
    if (range.periodic() && !(std::isfinite(range.min) && range.max == range.min + range.period))
      refuse("must be one period wide if the parameter is periodic", std::to_string(range.period));
    next += range.count;
  }
  if (!ranges.empty() && next != parameters) refuse("must hold all " + number_of(parameters) + " parameters", number_of(next));
  if (!(noise >= 0.0) || !std::isfinite(noise)) throw ConfigError("CallDescription::noise", "must be at least 0", std::to_string(noise));
}

CallMap::CallMap(CallDescription description, DeviceCall call, std::function<void(std::span<const float>)> safe, CallTwin twin)
    : description_(std::move(description)), call_(std::move(call)), safe_(std::move(safe)), twin_(std::move(twin)) {
  description_.validate();
  if (!call_) throw ConfigError("CallMap", "needs a function", "none");
}

void CallMap::require_sizes(std::span<const float> theta, const ConstMatrixRef<float>& x) const {
  if (isize(theta.size()) != description_.parameters)
    throw ShapeError(description_.name, "theta must have " + number_of(description_.parameters) + " values", std::to_string(theta.size()));
  if (x.cols() != description_.inputs)
    throw ShapeError(description_.name, "x must have " + number_of(description_.inputs) + " columns", number_of(x.cols()));
}

void CallMap::require_finite(const Matrix<float>& y) const {
  if (y.allFinite()) return;
  for (Index i = 0; i < y.rows(); ++i)
    for (Index k = 0; k < y.cols(); ++k)
      if (!std::isfinite(y(i, k)))
        throw DeviceError(DeviceFailure::not_finite, description_.name,
                          "output " + number_of(k) + " of row " + number_of(i) + " must be finite", std::to_string(y(i, k)),
                          "look at the detectors");
}

void CallMap::count(std::span<const float> values, Index rows) const {
  std::int64_t changed = 0;
  if (last_.size() != values.size()) {
    changed = isize(values.size());
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) changed += values[i] != last_[i] ? 1 : 0;
  }
  if (changed > 0) last_.assign(values.begin(), values.end());
  receipt_.sets += changed > 0 ? 1 : 0;
  receipt_.values += changed;
  receipt_.evaluations += 1;
  receipt_.rows += rows;
}

void CallMap::read_many(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys,
                        bool /*may_miss*/) const {
  if (ys.size() != thetas.size()) throw ShapeError(description_.name, "as many results as parameter vectors", std::to_string(ys.size()));
  const std::lock_guard lock(busy_);
  std::vector<std::vector<float>> values;
  std::vector<std::span<const float>> given;
  values.reserve(thetas.size());
  for (std::size_t i = 0; i < thetas.size(); ++i) {
    require_sizes(thetas[i], x);
    ys[i].resize(x.rows(), description_.outputs);
    // Without limits theta is what the device gets, where it lies.
    if (!description_.ranges.empty()) values.push_back(device_values(description_.ranges, thetas[i]));
    given.push_back(description_.ranges.empty() ? thetas[i] : std::span<const float>(values.back()));
  }
  const auto start = std::chrono::steady_clock::now();
  const auto wait_ended = [&] { receipt_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  try {
    call_(given, x, ys);
  } catch (...) {
    wait_ended();
    receipt_.failed += isize(thetas.size());
    throw;
  }
  wait_ended();
  address_.key.number += thetas.size();
  for (std::size_t i = 0; i < thetas.size(); ++i) {
    if (ys[i].rows() != x.rows() || ys[i].cols() != description_.outputs)
      throw DeviceError(description_.name, "must answer " + number_of(x.rows()) + " x " + number_of(description_.outputs) + " readings",
                        number_of(ys[i].rows()) + " x " + number_of(ys[i].cols()));
    require_finite(ys[i]);
    count(given[i], x.rows());
  }
}

void CallMap::forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const {
  Matrix<float> result;
  read_many(std::span(&theta, 1), x, std::span(&result, 1), false);
  y = result;
}

InstrumentInfo CallMap::info() const { return {.address = "function", .identity = description_.name, .noise = description_.noise}; }

DeviceReceipt CallMap::receipt() const {
  const std::lock_guard lock(busy_);
  return receipt_;
}

void CallMap::safe() const {
  const std::lock_guard lock(busy_);
  std::vector<float> values(usize(description_.parameters), 0.0F);
  for_each_parameter(description_.ranges, [&](std::size_t i, const ParameterRange& range) { values[i] = static_cast<float>(range.safe); });
  if (safe_) safe_(values);
  last_.clear();
}

void CallMap::begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const {
  const std::lock_guard lock(busy_);
  address_ = {.key = {.stream = stream, .step = step}, .lasting = lasting};
}

Matrix<float> CallMap::reference_readings(std::span<const float> theta, Index repeats) const {
  Matrix<float> result;
  read_many(std::span(&theta, 1), Matrix<float>::Constant(repeats, description_.inputs, 0.5F), std::span(&result, 1), false);
  return result;
}

void CallMap::keep_inside(std::span<float> theta, double margin) const {
  for_each_parameter(description_.ranges,
                     [&](std::size_t i, const ParameterRange& range) { theta[i] = ffzero::keep_inside(range, theta[i], margin, true); });
}

void CallMap::model(std::span<const float> theta, const ConstMatrixRef<float>& x, Matrix<float>& y) const {
  y.resize(x.rows(), description_.outputs);
  twin_.forward(device_values(description_.ranges, theta), x, y);
  if (!y.allFinite()) throw DeviceError(DeviceFailure::not_finite, description_.name + ": twin", "must say finite numbers", "others");
}

void CallMap::pull(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& gy,
                   std::span<float> gtheta) const {
  std::vector<float> slopes(theta.size(), 0.0F);
  twin_.pullback(device_values(description_.ranges, theta), x, gy, slopes);
  for (const float slope : slopes)
    if (!std::isfinite(slope))
      throw DeviceError(DeviceFailure::not_finite, description_.name + ": twin", "must have finite slopes", std::to_string(slope));
  // A parameter of the device goes so much further than its theta.
  for_each_parameter(description_.ranges, [&](std::size_t i, const ParameterRange& range) {
    if (range.periodic() || range.bounded())
      slopes[i] *= static_cast<float>(0.5 * (range.periodic() ? range.period : range.max - range.min));
  });
  for (std::size_t i = 0; i < theta.size(); ++i) gtheta[i] += slopes[i];
}

void CallMap::learn(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& y) const {
  if (twin_.learn) twin_.learn(device_values(description_.ranges, theta), x, y);
}

double CallMap::resolution() const {
  double largest = 0.0;
  for (const ParameterRange& range : description_.ranges) largest = std::max(largest, normalised_step(range));
  return largest;
}

}  // namespace ffzero
