// Any map as a device that is not its model.
// SPDX-License-Identifier: MIT
#include "ffzero/map/imperfect.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/map/drift.hpp"

namespace ffzero {

namespace {

constexpr double kMostBits = 24.0;

std::string shown(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.12g", value);
  return text.data();
}

double value_of(const ImperfectOptions& options, const ImperfectField& field) {
  return std::visit([&](auto member) { return static_cast<double>(options.*member); }, field.member);
}

void require_field(const ImperfectField& field, double value, const std::string& place) {
  if (!(value >= field.least && value <= field.most))
    throw ConfigError(place, "must lie in " + shown(field.least) + " .. " + shown(field.most), shown(value));
  if (!std::holds_alternative<double ImperfectOptions::*>(field.member) && value != std::floor(value))
    throw ConfigError(place, "must be a whole number", shown(value));
  if (field.name.ends_with("_bits") && value == 1.0)
    throw ConfigError(place, "must be 0 (no steps) or at least 2: one bit has no step on either side of 0", shown(value));
}

// Random numbers of one part of a network; neither those of chips nor those of served devices. A part has kKinds of them.
enum class Draw : std::uint32_t { read, write, fail, drift, fixed };
constexpr std::uint32_t kFirstPart = 0xC000, kKinds = 8, kMostParts = 1024;
std::uint32_t random_part(std::uint32_t part, Draw draw) {
  return kFirstPart + (part % kMostParts) * kKinds + static_cast<std::uint32_t>(draw);
}

// What is drawn once: numbers of one kind apart from those of the others, so that gains stay when offsets are changed.
enum class Fixed : std::uint64_t { gain, offset, dead, stuck_which, stuck_where };

template <class S>
class Imperfections final : public MapEffects<S> {
 public:
  Imperfections(const ImperfectOptions& options, std::uint32_t part, Index parameters, Index outputs)
      : options_(options),
        part_(part),
        drift_(options.seed, random_part(part, Draw::drift), parameters, options.drift_rms, options.drift_time, options.age) {
    if (options_.gain > 0.0) gain_ = (1.0 + options_.gain * normals(Fixed::gain, outputs).array()).template cast<S>();
    if (options_.offset > 0.0) offset_ = (options_.offset * normals(Fixed::offset, outputs)).template cast<S>();
    if (options_.dead > 0.0) alive_ = (uniforms(Fixed::dead, outputs).array() >= options_.dead).template cast<S>();
    if (options_.stuck > 0.0) {
      const Vector<double> which = uniforms(Fixed::stuck_which, parameters), where = uniforms(Fixed::stuck_where, parameters);
      for (Index i = 0; i < parameters; ++i)
        if (which[i] < options_.stuck) stuck_.emplace_back(usize(i), static_cast<S>(options_.dac_range * (2.0 * where[i] - 1.0)));
    }
  }

  [[nodiscard]] bool of_parameters() const override { return options_.of_parameters(); }
  [[nodiscard]] bool of_outputs() const override { return options_.of_outputs(); }
  [[nodiscard]] bool repeatable() const override {
    return options_.read_noise == 0.0 && options_.write_noise == 0.0 && options_.drift_rms == 0.0;
  }
  [[nodiscard]] bool smooth() const override { return repeatable() && options_.adc_bits == 0 && options_.dac_bits == 0; }
  [[nodiscard]] double resolution() const override {
    return options_.dac_bits == 0 ? 0.0 : options_.dac_range / steps_to(options_.dac_bits);
  }

  void set(const Reading& reading, Index rows, std::span<const S> theta, std::span<S> standing) const override {
    if (options_.dac_bits > 0) {
      const S most = static_cast<S>(steps_to(options_.dac_bits)), step = static_cast<S>(options_.dac_range) / most;
      for (std::size_t i = 0; i < theta.size(); ++i) standing[i] = step * std::clamp(std::nearbyint(theta[i] / step), -most, most);
    } else {
      std::copy(theta.begin(), theta.end(), standing.begin());
    }
    if (options_.write_noise > 0.0) {
      Vector<S> noise(isize(theta.size()));
      as_written(reading, theta).random(options_.seed, random_part(part_, Draw::write)).fill_normal(as_span(noise));
      as_vector(standing) += static_cast<S>(options_.write_noise) * noise;
    }
    if (options_.drift_rms > 0.0) drift_.add(reading.seconds(options_.write_s, options_.row_s, static_cast<double>(rows)), standing);
    for (const auto& [i, value] : stuck_) standing[i] = value;
  }

  void read(const Reading& reading, MatrixRef<S> y) const override {
    if (gain_.size() > 0) y.array().rowwise() *= gain_.transpose().array();
    if (offset_.size() > 0) y.rowwise() += offset_.transpose();
    if (options_.saturation > 0.0) y.array() /= S{1} + static_cast<S>(options_.saturation) * y.array().abs();
    if (options_.read_noise > 0.0 || options_.adc_bits > 0) noise_and_steps(reading, y);
    if (alive_.size() > 0) y.array().rowwise() *= alive_.transpose().array();
  }

  void pull_set(std::span<const S> /*theta*/, std::span<S> gradient) const override {
    for (const auto& stuck : stuck_) gradient[stuck.first] = S{0};
  }

  void pull_read(const ConstMatrixRef<S>& y, MatrixRef<S> gy) const override {
    if (alive_.size() > 0) gy.array().rowwise() *= alive_.transpose().array();
    if (options_.saturation > 0.0) {
      Matrix<S> before = y;
      if (gain_.size() > 0) before.array().rowwise() *= gain_.transpose().array();
      if (offset_.size() > 0) before.rowwise() += offset_.transpose();
      gy.array() /= (S{1} + static_cast<S>(options_.saturation) * before.array().abs()).square();
    }
    if (gain_.size() > 0) gy.array().rowwise() *= gain_.transpose().array();
  }

 private:
  /// Steps from 0 to the largest value.
  static double steps_to(Index bits) { return static_cast<double>((Index{1} << (bits - 1)) - 1); }

  [[nodiscard]] RandomStream fixed(Fixed what) const {
    return {options_.seed, Stream::device, random_part(part_, Draw::fixed), static_cast<std::uint64_t>(what)};
  }
  [[nodiscard]] Vector<double> normals(Fixed what, Index count) const {
    Vector<double> values(count);
    fixed(what).fill_normal(as_span(values));
    return values;
  }
  [[nodiscard]] Vector<double> uniforms(Fixed what, Index count) const {
    Vector<double> values(count);
    fixed(what).fill_uniform(as_span(values));
    return values;
  }

  void noise_and_steps(const Reading& reading, MatrixRef<S> y) const {
    Vector<S> noise;
    if (options_.read_noise > 0.0) {
      noise.resize(y.rows() * y.cols());
      reading.random(options_.seed, random_part(part_, Draw::read)).fill_normal(as_span(noise), reading.series.first_row * y.cols());
    }
    for (Index b = 0; b < y.rows(); ++b) {
      auto row = y.row(b).transpose();
      const S r = static_cast<S>(row.template cast<double>().norm() / std::sqrt(static_cast<double>(y.cols())));
      if (options_.read_noise > 0.0) row += (static_cast<S>(options_.read_noise) * r) * noise.segment(b * y.cols(), y.cols());
      if (options_.adc_bits == 0 || !(r > S{0})) continue;
      const S most = static_cast<S>(steps_to(options_.adc_bits)), step = static_cast<S>(options_.adc_range) * r / most;
      for (S& p : row) p = step * std::clamp(std::nearbyint(p / step), -most, most);
    }
  }

  ImperfectOptions options_;
  std::uint32_t part_;
  Drift drift_;
  Vector<S> gain_, offset_, alive_;               // (outputs), or empty
  std::vector<std::pair<std::size_t, S>> stuck_;  // parameter, where it stands
};

}  // namespace

const std::vector<ImperfectField>& imperfect_fields() {
  using O = ImperfectOptions;
  constexpr double kMost = 1e6;
  static const std::vector<ImperfectField> fields = {
      {"seed", &O::seed, 0, 9007199254740991.0,
       "Of what is drawn of imperfections of any map (docs/imperfect.md). With 0 in all that follow a map is its model.", false},
      {"read_noise", &O::read_noise, 0, 100, "Standard deviation of a reading, in root mean squares of the sample's outputs.", true},
      {"gain", &O::gain, 0, 10, "Spread of the outputs' factors.", true},
      {"offset", &O::offset, 0, kMost, "Spread of the outputs' offsets, in the units of the outputs.", true},
      {"saturation", &O::saturation, 0, kMost, "n in y / (1 + n |y|): outputs saturate at 1 / n.", true},
      {"adc_bits", &O::adc_bits, 0, kMostBits, "Readings have 2^bits - 2 steps from -adc_range to adc_range; 0: no steps.", true},
      {"adc_range", &O::adc_range, 1e-6, kMost, "Largest reading, in root mean squares of the sample's outputs.", false},
      {"dead", &O::dead, 0, 1, "Share of the outputs that read 0 for ever.", true},
      {"dac_bits", &O::dac_bits, 0, kMostBits, "Parameters have 2^bits - 2 steps from -dac_range to dac_range; 0: no steps.", true},
      {"dac_range", &O::dac_range, 1e-6, kMost, "Largest parameter that can be set, for dac_bits and stuck.", false},
      {"write_noise", &O::write_noise, 0, kMost, "Standard deviation of a parameter each time that the parameters are set.", true},
      {"stuck", &O::stuck, 0, 1, "Share of the parameters that stand at a random value for ever.", true},
      {"drift_rms", &O::drift_rms, 0, kMost, "Spread that the drift of the parameters reaches after drift_time and keeps.", true},
      {"drift_time", &O::drift_time, 1e-9, 1e12, "Seconds of nominal time.", false},
      {"age", &O::age, 0, 1e12, "Seconds that the parameters have drifted before the run begins.", false},
      {"write_s", &O::write_s, 0, kMost, "Nominal time of setting all parameters, seconds.", false},
      {"row_s", &O::row_s, 0, kMost, "Nominal time of reading a sample, seconds.", false},
      {"fail", &O::fail, 0, 1, "Probability that a reading does not come back; device.on_failure and device.retries say what follows.",
       true},
  };
  return fields;
}

ImperfectOptions ImperfectOptions::of_the_parameters() const {
  ImperfectOptions own = *this;
  own.read_noise = own.gain = own.offset = own.saturation = own.dead = 0.0;
  own.adc_bits = 0;
  return own;
}

ImperfectOptions ImperfectOptions::of_the_outputs() const {
  ImperfectOptions own = *this;
  own.write_noise = own.stuck = own.drift_rms = own.fail = 0.0;
  own.dac_bits = 0;
  return own;
}

void ImperfectOptions::validate() const {
  for (const ImperfectField& field : imperfect_fields()) require_field(field, value_of(*this, field), "model.imperfect." + field.name);
}

ImperfectOptions imperfect_options(const NamedNumbers& numbers, const std::string& place) {
  NamedNumbers defaults;
  for (const ImperfectField& field : imperfect_fields()) defaults[field.name] = value_of(ImperfectOptions{}, field);
  const NamedNumbers all = with_defaults(defaults, numbers, place);
  ImperfectOptions options;
  for (const ImperfectField& field : imperfect_fields()) {
    const double value = all.at(field.name);
    require_field(field, value, place + "." + field.name);
    std::visit([&](auto member) { options.*member = static_cast<std::decay_t<decltype(options.*member)>>(value); }, field.member);
  }
  return options;
}

template <class S>
std::shared_ptr<ForwardMap<S>> imperfect_map(std::shared_ptr<ForwardMap<S>> map, const ImperfectOptions& options, std::uint32_t part,
                                             int retries, bool drop) {
  options.validate();
  if (options.ideal()) return map;
  auto effects = std::make_shared<Imperfections<S>>(options, part, map->parameter_count(), map->output_shape().size());
  return wrapped_map<S>(
      std::move(map), std::move(effects),
      {.probability = options.fail, .retries = retries, .drop = drop, .seed = options.seed, .part = random_part(part, Draw::fail)});
}

template std::shared_ptr<ForwardMap<float>> imperfect_map(std::shared_ptr<ForwardMap<float>>, const ImperfectOptions&, std::uint32_t, int,
                                                          bool);
template std::shared_ptr<ForwardMap<double>> imperfect_map(std::shared_ptr<ForwardMap<double>>, const ImperfectOptions&, std::uint32_t, int,
                                                           bool);

}  // namespace ffzero
