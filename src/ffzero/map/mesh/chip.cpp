// Chips: drawn, and what they set.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/chip.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numbers>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"

namespace ffzero {

namespace {

constexpr double kMostCoupler = 0.9;
constexpr Index kMostBits = 24;

std::string shown(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

void require_range(const char* field, double value, double least, double most) {
  if (value >= least && value <= most) return;
  throw ConfigError(std::string("model.mesh.chip.") + field, "must lie in " + shown(least) + " .. " + shown(most), shown(value));
}

/// Numbers of one kind of error, drawn apart from those of the others, so that a chip keeps its couplers when its phases are changed.
enum class Draw : std::uint64_t { left, right, theta, phi, theta_gain, phi_gain, stuck_which, stuck_where, loss, detector };

Vector<double> normals(const Chip& chip, Draw draw, Index count) {
  Vector<double> values(count);
  RandomStream(chip.options.seed, Stream::device, chip.part, static_cast<std::uint64_t>(draw)).fill_normal(as_span(values));
  return values;
}
Vector<double> uniforms(const Chip& chip, Draw draw, Index count) {
  Vector<double> values(count);
  RandomStream(chip.options.seed, Stream::device, chip.part, static_cast<std::uint64_t>(draw)).fill_uniform(as_span(values));
  return values;
}

constexpr double kDecibel = 0.11512925464970229;  // ln(10) / 20: of an amplitude

}  // namespace

bool ChipOptions::ideal() const noexcept {
  return coupler == 0.0 && phase == 0.0 && phase_gain == 0.0 && crosstalk == 0.0 && dac_bits == 0 && stuck == 0.0 && loss_db == 0.0 &&
         detector_gain == 0.0 && read_noise == 0.0 && adc_bits == 0 && drift_rms == 0.0;
}

void ChipOptions::validate() const {
  require_range("coupler", coupler, 0.0, 0.3);
  require_range("phase", phase, 0.0, 10.0);
  require_range("phase_gain", phase_gain, 0.0, 0.5);
  require_range("crosstalk", crosstalk, -0.25, 0.25);
  require_range("dac_bits", static_cast<double>(dac_bits), 0.0, kMostBits);
  require_range("stuck", stuck, 0.0, 1.0);
  require_range("loss_db", loss_db, 0.0, 10.0);
  require_range("loss_spread", loss_spread, 0.0, 1.0);
  require_range("detector_gain", detector_gain, 0.0, 0.5);
  require_range("read_noise", read_noise, 0.0, 100.0);
  require_range("adc_bits", static_cast<double>(adc_bits), 0.0, kMostBits);
  require_range("adc_range", adc_range, 1.0, 1e6);
  require_range("drift_rms", drift_rms, 0.0, 100.0);
  require_range("drift_time", drift_time, std::numeric_limits<double>::min(), 1e12);
  require_range("age", age, 0.0, 1e12);
  require_range("write_s", write_s, 0.0, 1e6);
  require_range("row_s", row_s, 0.0, 1e6);
}

std::string Chip::identity() const {
  std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a over the bits of the numbers
  const auto add = [&hash](std::uint64_t word) {
    for (int byte = 0; byte < 8; ++byte) hash = (hash ^ ((word >> (8 * byte)) & 0xFFU)) * 0x100000001B3U;
  };
  for (const Vector<double>* part_of : {&errors, &stuck, &amplitude})
    for (const double value : *part_of) add(std::isnan(value) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(value));
  add(static_cast<std::uint64_t>(options.dac_bits));
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

Chip ideal_chip(const MeshLayout& layout) {
  const ErrorLayout at(layout);
  Chip chip;
  chip.errors = Vector<double>::Zero(at.size());
  chip.stuck = Vector<double>::Constant(2 * at.block, std::numeric_limits<double>::quiet_NaN());
  chip.amplitude = Vector<double>::Ones(at.block);
  return chip;
}

Chip draw_chip(const MeshLayout& layout, const ChipOptions& options, std::uint32_t part) {
  options.validate();
  const ErrorLayout at(layout);
  const Index block = at.block;
  Chip chip = ideal_chip(layout);
  chip.options = options;
  chip.part = part;
  const auto coupler = [&](Draw draw) {
    return Vector<double>(normals(chip, draw, block).unaryExpr([&](double z) {
      return -0.5 * std::asin(std::clamp(options.coupler * z, -kMostCoupler, kMostCoupler));
    }));
  };
  if (options.coupler > 0.0) {
    chip.errors.segment(at.left(), block) = coupler(Draw::left);
    chip.errors.segment(at.right(), block) = coupler(Draw::right);
  }
  chip.errors.segment(at.theta_offset(), block) = options.phase * normals(chip, Draw::theta, block);
  chip.errors.segment(at.phi_offset(), block) = options.phase * normals(chip, Draw::phi, block);
  chip.errors.segment(at.theta_gain(), block) = options.phase_gain * normals(chip, Draw::theta_gain, block);
  chip.errors.segment(at.phi_gain(), block) = options.phase_gain * normals(chip, Draw::phi_gain, block);
  chip.errors[at.crosstalk()] = options.crosstalk;
  chip.errors.segment(at.detectors(), at.ports) = options.detector_gain * normals(chip, Draw::detector, at.ports);
  if (options.stuck > 0.0) {
    const Vector<double> which = uniforms(chip, Draw::stuck_which, 2 * block), where = uniforms(chip, Draw::stuck_where, 2 * block);
    for (Index i = 0; i < 2 * block; ++i)
      if (which[i] < options.stuck) chip.stuck[i] = 2.0 * std::numbers::pi * where[i];
  }
  if (options.loss_db > 0.0) {
    const Vector<double> spread = normals(chip, Draw::loss, block);
    for (Index i = 0; i < block; ++i)
      chip.amplitude[i] = std::exp(-kDecibel * options.loss_db * std::max(0.0, 1.0 + options.loss_spread * spread[i]));
  }
  return chip;
}

template <class S>
ChipWriter<S>::ChipWriter(const MeshLayout& layout, const Chip& chip)
    : layout_(layout),
      at_(layout),
      offset_(chip.errors.segment(at_.theta_offset(), 2 * at_.block).template cast<S>()),
      gain_((1.0 + chip.errors.segment(at_.theta_gain(), 2 * at_.block).array()).template cast<S>()),
      stuck_(chip.stuck.template cast<S>()),
      has_stuck_(!chip.stuck.array().isNaN().all()),
      crosstalk_(static_cast<S>(chip.errors[at_.crosstalk()])),
      step_(chip.options.dac_bits > 0 ? static_cast<S>(2.0 * std::numbers::pi / static_cast<double>(Index{1} << chip.options.dac_bits))
                                      : S{0}),
      drift_(chip.options.seed, chip.part, 2 * at_.block, chip.options.drift_rms, chip.options.drift_time, chip.options.age) {}

namespace {

/// levels: the steps nearest to theta.  step: of the converters, 0: none
template <class S>
void convert(std::span<const S> theta, S step, std::span<S> levels) {
  if (step > S{0}) {
    const S per_turn = S{1} / step;
    for (std::size_t i = 0; i < theta.size(); ++i) levels[i] = step * std::nearbyint(theta[i] * per_turn);
  } else {
    std::copy(theta.begin(), theta.end(), levels.begin());
  }
}

}  // namespace

template <class S>
void ChipWriter<S>::drive(std::span<const S> theta, std::span<S> driven) const {
  const Index heaters = 2 * at_.block;
  convert(theta, step_, driven);
  as_vector(driven.first(usize(heaters))).array() *= gain_.array();
  if (has_stuck_)
    for (Index i = 0; i < heaters; ++i)
      if (!std::isnan(stuck_[i])) driven[usize(i)] = S{0};
}

template <class S>
template <class T>
void ChipWriter<S>::add_neighbours(std::span<const T> from, T factor, std::span<T> out) const {
  for (Index l = 0; l < layout_.columns(); ++l) {
    const Index here = layout_.offset(l), count = layout_.pairs(l);
    for (Index k = 1; k < count; ++k) {
      out[usize(here + k)] += factor * from[usize(here + k - 1)];
      out[usize(here + k - 1)] += factor * from[usize(here + k)];
    }
    if (l + 1 == layout_.columns()) continue;
    const Index next = layout_.offset(l + 1), both = std::min(count, layout_.pairs(l + 1));
    for (Index k = 0; k < both; ++k) {
      out[usize(here + k)] += factor * from[usize(next + k)];
      out[usize(next + k)] += factor * from[usize(here + k)];
    }
  }
}

template <class S>
void ChipWriter<S>::write(std::span<const S> theta, double seconds, std::span<S> set) const {
  const Index heaters = 2 * at_.block;
  drive(theta, set);
  if (crosstalk_ != S{0}) {
    const Vector<S> driven = as_vector(std::span<const S>(set.first(usize(heaters))));
    const std::span<const S> from(driven.data(), usize(heaters));
    for (const Index begin : {Index{0}, at_.block})
      add_neighbours<S>(from.subspan(usize(begin), usize(at_.block)), crosstalk_, set.subspan(usize(begin), usize(at_.block)));
  }
  as_vector(set.first(usize(heaters))) += offset_;
  drift_.add(seconds, set.first(usize(heaters)));
  if (has_stuck_)
    for (Index i = 0; i < heaters; ++i)
      if (!std::isnan(stuck_[i])) set[usize(i)] = stuck_[i];
}

template <class S>
void ChipWriter<S>::pull(std::span<const S> theta, std::span<const double> gset, std::span<S> gtheta, std::span<double> gerrors) const {
  const Index block = at_.block, heaters = 2 * block;
  Vector<double> own = as_vector(gset).head(heaters);
  const auto obeys = [&](Index i) { return std::isnan(stuck_[i]); };
  if (has_stuck_)
    for (Index i = 0; i < heaters; ++i)
      if (!obeys(i)) own[i] = 0.0;
  Vector<double> driven = own;  // dL/d(what the heater is driven with)
  const std::span<const double> from(own.data(), usize(heaters));
  const auto part = [block](auto all, Index begin) { return all.subspan(usize(begin), usize(block)); };
  if (crosstalk_ != S{0})
    for (const Index begin : {Index{0}, block})
      add_neighbours<double>(part(from, begin), static_cast<double>(crosstalk_), part(as_span(driven), begin));
  if (has_stuck_)
    for (Index i = 0; i < heaters; ++i)
      if (!obeys(i)) driven[i] = 0.0;
  for (Index i = 0; i < heaters; ++i) gtheta[usize(i)] += static_cast<S>(driven[i] * static_cast<double>(gain_[i]));
  for (std::size_t i = usize(heaters); i < gset.size(); ++i) gtheta[i] += static_cast<S>(gset[i]);
  if (gerrors.empty()) return;
  Vector<S> levels(isize(theta.size())), drives(isize(theta.size()));
  convert(theta, step_, as_span(levels));
  drive(theta, as_span(drives));
  Vector<double> neighbours = Vector<double>::Zero(heaters), strength = drives.head(heaters).template cast<double>();
  for (const Index begin : {Index{0}, block})
    add_neighbours<double>(part(std::span<const double>(strength.data(), usize(heaters)), begin), 1.0, part(as_span(neighbours), begin));
  for (Index i = 0; i < heaters; ++i) {
    gerrors[usize(at_.theta_offset() + i)] += own[i];
    // Not what drives the heater over its gain: a twin gives a heater that is stuck a gain of 0.
    gerrors[usize(at_.theta_gain() + i)] += driven[i] * static_cast<double>(levels[i]);
    gerrors[usize(at_.crosstalk())] += own[i] * neighbours[i];
  }
}

template class ChipWriter<float>;
template class ChipWriter<double>;

}  // namespace ffzero
