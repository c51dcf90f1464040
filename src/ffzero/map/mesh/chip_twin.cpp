// A twin of a chip.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/chip_twin.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numbers>
#include <numeric>
#include <string>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

Chip started(const MeshLayout& layout, Index dac_bits) {
  Chip chip = ideal_chip(layout);
  chip.options.dac_bits = dac_bits;
  return chip;
}

void require(bool fits, const char* field, const std::string& requirement, const std::string& value) {
  if (!fits) throw ConfigError(std::string("CalibrationOptions::") + field, requirement, value);
}

}  // namespace

void CalibrationOptions::validate() const {
  require(settings >= 2, "settings", "must be at least 2", std::to_string(settings));
  require(samples >= 1, "samples", "must be at least 1", std::to_string(samples));
  require(spread > 0.0, "spread", "must be positive", std::to_string(spread));
  require(steps >= 1, "steps", "must be at least 1", std::to_string(steps));
  require(lr > 0.0, "lr", "must be positive", std::to_string(lr));
}

ChipTwin::ChipTwin(const MeshLayout& layout, TwinFreedom freedom, Index dac_bits, std::shared_ptr<const Executor> executor)
    : mesh_(layout, {started(layout, dac_bits)}, std::move(executor)) {
  const ErrorLayout at(layout);
  errors_ = first_ = second_ = gradient_ = Vector<double>::Zero(at.size());
  free_ = freedom == TwinFreedom::none ? 0 : freedom == TwinFreedom::couplers ? at.theta_gain() : at.size();
}

void ChipTwin::set_errors(std::span<const double> errors) {
  mesh_.set_errors(errors);
  errors_ = as_vector(errors);
}

void ChipTwin::fit(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& powers, double lr) {
  if (free_ == 0) return;
  constexpr double kFirst = 0.9, kSecond = 0.999, kFloor = 1e-12;
  gradient_.setZero();
  mesh_.pull(theta, x, [&](MatrixRef<float> found) { found -= powers; }, {}, {gradient_.data(), usize(gradient_.size())});
  steps_ += 1.0;
  const double first = 1.0 - std::pow(kFirst, steps_), second = 1.0 - std::pow(kSecond, steps_);
  for (Index i = 0; i < free_; ++i) {
    first_[i] = kFirst * first_[i] + (1.0 - kFirst) * gradient_[i];
    second_[i] = kSecond * second_[i] + (1.0 - kSecond) * gradient_[i] * gradient_[i];
    errors_[i] -= lr * (first_[i] / first) / (std::sqrt(second_[i] / second) + kFloor);
  }
  mesh_.set_errors(errors());
}

void ChipTwin::save(std::span<float> state) const {
  const Index n = errors_.size();
  auto out = as_vector(state);
  out.head(n) = errors_.cast<float>();
  out.segment(n, n) = first_.cast<float>();
  out.segment(2 * n, n) = second_.cast<float>();
  out[3 * n] = static_cast<float>(steps_);
}

void ChipTwin::load(std::span<const float> state) {
  const Index n = errors_.size();
  const auto in = as_vector(state);
  errors_ = in.head(n).cast<double>();
  first_ = in.segment(n, n).cast<double>();
  second_ = in.segment(2 * n, n).cast<double>();
  steps_ = static_cast<double>(in[3 * n]);
  mesh_.set_errors(errors());
}

std::pair<double, double> ChipTwin::miss(const ChipReading& reading) {
  Matrix<float> own(reading.powers.rows(), reading.powers.cols());
  mesh_.powers(as_span(reading.theta), reading.x, own);
  const Matrix<double> read = reading.powers.cast<double>();
  const Eigen::VectorXd mean = read.rowwise().mean();
  return {(read - own.cast<double>()).squaredNorm(), (read.colwise() - mean).squaredNorm()};
}

double ChipTwin::relative_miss(std::span<const ChipReading> readings) {
  double missed = 0.0, all = 0.0;
  for (const ChipReading& reading : readings) {
    const auto [own, whole] = miss(reading);
    missed += own;
    all += whole;
  }
  return all > 0.0 ? missed / all : 0.0;
}

CalibrationReport ChipTwin::calibrate(std::span<const ChipReading> readings, const CalibrationOptions& options, const RandomStream& random,
                                      const std::function<bool()>& stop) {
  const std::size_t held = usize(std::min(options.held_out(), isize(readings.size()) - 1));
  const auto kept = readings.first(readings.size() - held), judges = readings.last(held);
  CalibrationReport report{.before = relative_miss(judges)};
  std::vector<std::uint32_t> order(kept.size());
  for (Index step = 0; step < options.steps && !(stop && stop()); ++step) {
    const std::size_t at = usize(step) % order.size();
    if (at == 0) random.at(static_cast<std::uint64_t>(step)).permutation(order);
    const ChipReading& reading = kept[order[at]];
    const double fraction = static_cast<double>(step) / static_cast<double>(options.steps);
    fit(as_span(reading.theta), reading.x, reading.powers, options.lr * 0.5 * (1.0 + std::cos(std::numbers::pi * fraction)));
  }
  report.fitted = relative_miss(kept);
  report.after = relative_miss(judges);
  return report;
}

void write_calibration(const std::filesystem::path& path, const MeshLayout& layout, const Vector<double>& errors,
                       const std::string& identity, const CalibrationReport& report) {
  Chip chip = ideal_chip(layout);
  chip.errors = errors;
  NpzArchive arrays = chip_arrays(chip, layout);
  const std::int64_t of = static_cast<std::int64_t>(std::stoull(identity, nullptr, 16));
  const double missed[2] = {report.before, report.after};
  arrays["calibration.identity"] = NpyArray::of<std::int64_t>(std::span<const std::int64_t>(&of, 1), {1});
  arrays["calibration.error"] = NpyArray::of<double>(std::span<const double>(missed), {2});
  write_npz(path, arrays);
}

Vector<double> read_calibration(const std::filesystem::path& path, const MeshLayout& layout, const std::string& identity) {
  const NpzArchive arrays = read_npz(path);
  const auto found = arrays.find("calibration.identity");
  if (found == arrays.end() || found->second.size() != 1)
    throw DataError(path.string(), "must be a calibration", "no array calibration.identity", "ffzero calibrate writes one");
  const std::int64_t of = found->second.to<std::int64_t>().front();
  if (static_cast<std::uint64_t>(of) != std::stoull(identity, nullptr, 16)) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(of));
    throw DataError(path.string(), "must be a calibration of this chip, " + identity, text.data(), "calibrate this one: ffzero calibrate");
  }
  return read_chip(path, layout, {}, 0).errors;
}

std::vector<Vector<float>> calibration_settings(std::span<const float> theta, const CalibrationOptions& options,
                                                const RandomStream& random) {
  std::vector<Vector<float>> settings;
  for (Index k = 0; k < options.settings; ++k) {
    Vector<float> moved(isize(theta.size()));
    random.fill_normal(as_span(moved), k * moved.size());
    settings.push_back(as_vector(theta) + static_cast<float>(options.spread) * moved);
  }
  return settings;
}

}  // namespace ffzero
