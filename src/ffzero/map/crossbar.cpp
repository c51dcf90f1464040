// Dense layers on analog crossbars.
// SPDX-License-Identifier: MIT
#include "ffzero/map/crossbar.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shown.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

constexpr double kLargestNumber = 1e9, kFinest = 24.0, kMostAttempts = 30.0;

// Random numbers of crossbars; those of the other instruments stand below. Readings for compensation have parts of their own.
enum class CellDraw : std::uint32_t { programming = 0xE000, exponent = 0xE002, cells = 0xE004, outputs = 0xE008 };
constexpr std::uint32_t kReadFirst = 0x100, kReadNow = 0x200;
std::uint32_t crossbar_part(CellDraw draw, std::uint32_t number) { return static_cast<std::uint32_t>(draw) + number; }

/// Steps from 0 to the largest value.
double steps_to_bound(Index bits) { return static_cast<double>((Index{1} << (bits - 1)) - 1); }

/// The nearest step of 2^bits - 1 from -bound to bound; with 0 bits only the bound.
template <class S>
S converted(S value, Index bits, double bound) {
  const S most = static_cast<S>(bound);
  if (bits == 0) return std::clamp(value, -most, most);
  const S steps = static_cast<S>(steps_to_bound(bits)), step = most / steps;
  return step * std::clamp(std::nearbyint(value / step), -steps, steps);
}

}  // namespace

namespace pcm {

// Microsiemens: of what is programmed as a polynomial of g, and of the largest conductance.
constexpr double kNoise[] = {0.26348, 1.965, -1.1731}, kLargest = 25.0;
constexpr double kFirstReading = 20.0;   // seconds from programming to the first reading that drift is counted from
constexpr double kIntegration = 250e-9;  // seconds that a reading takes
constexpr double kLeast = 1e-12;         // logarithms and powers of nothing

namespace {

double noise_of_programming(double g) noexcept { return (kNoise[0] + g * (kNoise[1] + g * kNoise[2])) / kLargest; }
// What follows takes log(g), so that a cell's is calculated once; its powers are exponentials of it.
double log_of(double g) noexcept { return std::log(std::max(g, kLeast)); }
double drift_mean_at(double log_g) noexcept { return std::clamp(-0.0155 * log_g + 0.0244, 0.049, 0.1); }
double drift_spread_at(double log_g) noexcept { return std::clamp(-0.0125 * log_g - 0.0059, 0.008, 0.045); }
double read_noise_at(double log_g) noexcept { return std::min(0.0088 * std::exp(-0.65 * log_g), 0.2); }
/// What all noise of a reading is multiplied by.
double read_noise_of_time(double seconds) noexcept {
  return std::sqrt(std::log((seconds + kFirstReading + kIntegration) / (2.0 * kIntegration)));
}
double log_of_time(double seconds) noexcept { return std::log((seconds + kFirstReading) / kFirstReading); }

}  // namespace

double programming_noise(double g) noexcept { return noise_of_programming(g); }
double drift_mean(double g) noexcept { return drift_mean_at(log_of(g)); }
double drift_spread(double g) noexcept { return drift_spread_at(log_of(g)); }
double read_noise(double g, double seconds) noexcept { return read_noise_at(log_of(g)) * read_noise_of_time(seconds); }
double drifted(double exponent, double seconds) noexcept { return std::exp(-exponent * log_of_time(seconds)); }

}  // namespace pcm

const std::vector<CrossbarField>& crossbar_fields() {
  using O = CrossbarOptions;
  static const std::vector<CrossbarField> fields = {{"seed", &O::seed, 0, 9007199254740991.0},
                                                    {"weight_range", &O::weight_range, 0, kLargestNumber},
                                                    {"weight_bits", &O::weight_bits, 0, kFinest},
                                                    {"input_bits", &O::input_bits, 0, kFinest},
                                                    {"input_bound", &O::input_bound, 1e-9, kLargestNumber},
                                                    {"noise_management", &O::noise_management, 0, 1},
                                                    {"output_noise", &O::output_noise, 0, kLargestNumber},
                                                    {"output_bits", &O::output_bits, 0, kFinest},
                                                    {"output_bound", &O::output_bound, 1e-9, kLargestNumber},
                                                    {"bound_management", &O::bound_management, 0, kMostAttempts},
                                                    {"programming", &O::programming, 0, kLargestNumber},
                                                    {"read", &O::read, 0, kLargestNumber},
                                                    {"drift", &O::drift, 0, kLargestNumber},
                                                    {"seconds", &O::seconds, 0, 1e12},
                                                    {"compensation", &O::compensation, 0, 1}};
  return fields;
}

NamedNumbers crossbar_numbers(const CrossbarOptions& options) {
  NamedNumbers numbers;
  for (const CrossbarField& field : crossbar_fields())
    numbers[field.name] = std::visit([&](auto member) { return static_cast<double>(options.*member); }, field.member);
  return numbers;
}

CrossbarOptions crossbar_options(const NamedNumbers& numbers) {
  CrossbarOptions options;
  for (const CrossbarField& field : crossbar_fields()) {
    const double value = numbers.at(field.name);
    const bool whole = !std::holds_alternative<double CrossbarOptions::*>(field.member);
    if (!(value >= field.least && value <= field.most))
      throw ConfigError("model.map_options: " + field.name, "must lie in " + shown_number(field.least) + " .. " + shown_number(field.most),
                        shown_number(value));
    if (whole && value != std::floor(value))
      throw ConfigError("model.map_options: " + field.name, "must be a whole number", shown_number(value));
    if (field.name.ends_with("_bits") && value == 1.0)
      throw ConfigError("model.map_options: " + field.name, "must be 0 (no steps) or at least 2: one bit has no step on either side of 0",
                        shown_number(value));
    std::visit([&](auto member) { options.*member = static_cast<std::decay_t<decltype(options.*member)>>(value); }, field.member);
  }
  return options;
}

void CrossbarOptions::validate() const { static_cast<void>(crossbar_options(crossbar_numbers(*this))); }

CrossbarOptions crossbar_io() { return {}; }
CrossbarOptions crossbar_pcm() { return {.programming = 1.0, .read = 1.0, .drift = 1.0}; }

template <class S>
Crossbar<S>::Crossbar(Shape input, Index outputs, const CrossbarOptions& options, Index groups)
    : input_(input), inputs_(input.size()), outputs_(outputs), groups_(groups), options_(options) {
  if (inputs_ < 1 || outputs_ < 1)
    throw ConfigError("Crossbar", "sizes must be at least 1", std::to_string(inputs_) + " and " + std::to_string(outputs_));
  require_groups(outputs_, groups_);
  options_.validate();
}

template <class S>
double Crossbar<S>::range(std::span<const S> theta) const {
  if (options_.weight_range > 0.0) return options_.weight_range;
  const Index count = outputs_ * inputs_;
  const double most = static_cast<double>(as_vector(theta).head(count).cwiseAbs().maxCoeff());
  return most > 0.0 ? most : 1.0;
}

// A weight stands in one of its two cells, and the other one is asked to be 0: all of these share one law. A cell at 0 stays there,
// whatever it is multiplied by. No branch depends on a number: signs and cells at 0 are as good as random.
template <class S>
void Crossbar<S>::program(const Reading& reading, const Reading& written, const Moment& moment, Vector<double>& weights) const {
  const bool programs = options_.programming > 0.0, drifts = options_.drift > 0.0 && moment.seconds > 0.0, reads = options_.read > 0.0;
  const auto drawn = [&](bool needed, CellDraw draw, const Reading& at, std::uint32_t part) {
    std::array<Vector<double>, 2> numbers;
    for (std::uint32_t cell = 0; cell < 2 && needed; ++cell) {
      numbers[cell].resize(weights.size());
      at.random(options_.seed, crossbar_part(draw, cell + part)).fill_normal(as_span(numbers[cell]));
    }
    return numbers;
  };
  const auto programming = drawn(programs, CellDraw::programming, written, 0), exponents = drawn(drifts, CellDraw::exponent, written, 0);
  const auto noise = drawn(reads, CellDraw::cells, reading, moment.part);
  struct Law {
    double mean, spread, noise;
  };
  const double time = options_.drift * pcm::log_of_time(moment.seconds),
               of_reading = options_.read * pcm::read_noise_of_time(moment.seconds);
  const auto law_of = [&](double target) {
    const double log_g = pcm::log_of(target);
    return Law{pcm::drift_mean_at(log_g), pcm::drift_spread_at(log_g), reads ? of_reading * pcm::read_noise_at(log_g) : 0.0};
  };
  const Law of_none = law_of(0.0);
  for (Index i = 0; i < weights.size(); ++i) {
    const auto found = [&](double target, const Law& law, std::size_t cell) {
      double g = target;
      if (programs) g = std::max(0.0, g + options_.programming * pcm::noise_of_programming(target) * programming[cell][i]);
      if (drifts) g *= std::exp(-time * std::max(0.0, law.mean + law.spread * exponents[cell][i]));
      if (reads) g += law.noise * g * noise[cell][i];
      return g;
    };
    const double target = std::abs(weights[i]);
    const std::size_t own = weights[i] > 0.0 ? 0 : 1;
    const double difference = found(target, law_of(target), own) - found(0.0, of_none, 1 - own);
    weights[i] = own == 0 ? difference : -difference;
  }
}

template <class S>
Matrix<S> Crossbar<S>::weights_at(const Reading& reading, std::span<const S> theta, const Moment& moment) const {
  const Eigen::Map<const Matrix<S>> asked(theta.data(), outputs_, inputs_);
  const bool cells = options_.programming > 0.0 || options_.read > 0.0 || (options_.drift > 0.0 && moment.seconds > 0.0);
  if (!cells && options_.weight_bits == 0 && options_.weight_range == 0.0) return asked;
  const double most = range(theta);
  Vector<double> w = as_vector(theta).head(asked.size()).template cast<double>() / most;
  for (double& share : w) share = converted(share, options_.weight_bits, 1.0);
  if (cells) program(reading, as_written(reading, theta), moment, w);
  return (most * Eigen::Map<const Matrix<double>>(w.data(), outputs_, inputs_)).template cast<S>();
}

template <class S>
void Crossbar<S>::multiply(const Reading& reading, std::uint32_t part, const PackedOperand<S>& weights, Matrix<S> inputs,
                           Matrix<S>& outputs, std::vector<char>& bound) const {
  for (S& x : std::span<S>(inputs.data(), usize(inputs.size()))) x = converted(x, options_.input_bits, options_.input_bound);
  weights.affine_nt(inputs, {}, outputs);
  if (options_.output_noise > 0.0) {
    Vector<S> noise(outputs.size());
    reading.random(options_.seed, crossbar_part(CellDraw::outputs, part)).fill_normal(as_span(noise), reading.series.first_row * outputs_);
    outputs += static_cast<S>(options_.output_noise) * Eigen::Map<const Matrix<S>>(noise.data(), outputs.rows(), outputs_);
  }
  for (Index b = 0; b < outputs.rows(); ++b) {
    bound[usize(b)] = outputs.row(b).cwiseAbs().maxCoeff() >= static_cast<S>(options_.output_bound) ? 1 : 0;
    for (S& y : outputs.row(b)) y = converted(y, options_.output_bits, options_.output_bound);
  }
}

template <class S>
std::int64_t Crossbar<S>::read_cells(const Reading& reading, const Moment& moment, const Matrix<S>& shares, const ConstMatrixRef<S>& x,
                                     double factor, MatrixRef<S> y) const {
  std::int64_t repeated = 0;
  Vector<S> scale = Vector<S>::Ones(x.rows());
  if (options_.noise_management != 0) scale = x.cwiseAbs().rowwise().maxCoeff();
  Matrix<S> outputs(x.rows(), outputs_);
  // A sample's products do not depend on the batch that it comes in.
  PackedOperand<S> weights;
  weights.assign(shares, PackedOperand<S>::Use::rows);
  std::vector<char> waits(usize(x.rows()), 1), bound(usize(x.rows()), 0);
  for (std::uint32_t attempt = 0; std::find(waits.begin(), waits.end(), 1) != waits.end(); ++attempt) {
    // A sample of zeros has a scale of 0, and outputs of 0.
    const Vector<S> factors = (scale.array() > S{0}).select(scale.cwiseInverse(), Vector<S>::Zero(scale.size()));
    multiply(reading, moment.part + attempt, weights, factors.asDiagonal() * x, outputs, bound);
    for (Index b = 0; b < x.rows(); ++b) {
      if (waits[usize(b)] == 0) continue;
      if (bound[usize(b)] != 0 && static_cast<Index>(attempt) < options_.bound_management) {
        scale[b] *= S{2};
        ++repeated;
        continue;
      }
      y.row(b) = (scale[b] * static_cast<S>(factor)) * outputs.row(b);
      waits[usize(b)] = 0;
    }
  }
  return repeated;
}

// Each input is read by itself, so that no weights cancel in what is summed. All readings of what was programmed once share the factor.
template <class S>
double Crossbar<S>::compensation(const Reading& reading, std::span<const S> theta) const {
  if (options_.compensation == 0) return 1.0;
  Reading written = as_written(reading, theta);
  written.series.first_row = 0;
  const S most = static_cast<S>(range(theta));
  const Matrix<S> units = Matrix<S>::Identity(inputs_, inputs_);
  std::int64_t rows = 2 * inputs_;
  const auto read_at = [&](const Moment& moment) {
    Matrix<S> y(inputs_, outputs_);
    rows += read_cells(written, moment, weights_at(written, theta, moment) / most, units, 1.0, y);
    return y.template cast<double>().cwiseAbs().sum();
  };
  const double first = read_at({.seconds = 0.0, .part = kReadFirst});
  const double now = read_at({.seconds = options_.seconds, .part = kReadNow});
  const std::uint64_t address = written.random(options_.seed, kReadNow).seed() ^ (written.number * 0x9E3779B97F4A7C15U);
  // Computed again for each part of a batch, read once.
  if (compensated_.exchange(address) != address) repeated_ += rows;
  return now > 0.0 ? first / now : 1.0;
}

template <class S>
void Crossbar<S>::read(const Reading& reading, std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>(kind(), x, input_shape(), y, output_shape());
  if (isize(theta.size()) != parameter_count())
    throw ShapeError(kind(), "theta must have " + std::to_string(parameter_count()) + " entries", std::to_string(theta.size()));
  if (x.rows() == 0) return;
  const double most = range(theta), alpha = compensation(reading, theta);
  repeated_ +=
      read_cells(reading, {.seconds = options_.seconds, .part = 0}, weights(reading, theta) / static_cast<S>(most), x, alpha * most, y);
  y.rowwise() += as_vector(theta).tail(outputs_).transpose();
}

template <class S>
void Crossbar<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  read(counter_.take(), theta, x, y);
}

template <class S>
void Crossbar<S>::read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                            bool /*may_miss*/) const {
  if (ys.size() != thetas.size())
    throw ShapeError(kind(), "as many results as parameter vectors (" + std::to_string(thetas.size()) + ")", std::to_string(ys.size()));
  Reading reading = counter_.take(thetas.size());
  for (std::size_t i = 0; i < thetas.size(); ++i, ++reading.number) {
    ys[i].resize(x.rows(), outputs_);
    read(reading, thetas[i], x, ys[i]);
  }
}

template class Crossbar<float>;
template class Crossbar<double>;

}  // namespace ffzero
