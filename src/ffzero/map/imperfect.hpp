// Any map as a device that is not its model: noise, gains, converters, cells that do not obey, drift, readings that fail.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ffzero/base/registry.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

/// How far a map is from its model; all 0: not at all  [docs/notation.md, Imperfections of any map]. "Spread" is the standard deviation of
/// a normal law from which each output or parameter gets its own value once. r is the root mean square of a sample's outputs.
struct ImperfectOptions {
  std::uint64_t seed = 0;    ///< of what is drawn
  double read_noise = 0.0;   ///< standard deviation of a reading, in r
  double gain = 0.0;         ///< spread of the outputs' factors
  double offset = 0.0;       ///< spread of the outputs' offsets, in the units of the outputs
  double saturation = 0.0;   ///< n in y / (1 + n |y|), per unit of the outputs
  Index adc_bits = 0;        ///< readings have 2^bits - 2 steps from -adc_range to adc_range, 0 among them; 0: no steps
  double adc_range = 4.0;    ///< largest reading, in r
  double dead = 0.0;         ///< share of the outputs that read 0 for ever
  Index dac_bits = 0;        ///< parameters have 2^bits - 2 steps from -dac_range to dac_range, 0 among them; 0: no steps
  double dac_range = 1.0;    ///< largest parameter, in their units
  double write_noise = 0.0;  ///< standard deviation of a parameter each time that the parameters are set, in their units
  double stuck = 0.0;        ///< share of the parameters that stand at a random value of -dac_range .. dac_range for ever
  double drift_rms = 0.0;    ///< standard deviation that the drift of a parameter has reached after drift_time and keeps, in their units
  double drift_time = 1.0;   ///< seconds of nominal time
  double age = 0.0;          ///< seconds that the parameters have drifted before the nominal time begins
  double write_s = 1e-4;     ///< nominal time that setting all parameters takes, seconds
  double row_s = 1e-6;       ///< nominal time that a sample takes, seconds
  double fail = 0.0;         ///< probability that a reading does not come back

  [[nodiscard]] bool ideal() const noexcept { return !of_parameters() && !of_outputs() && fail == 0.0; }
  [[nodiscard]] bool of_parameters() const noexcept { return dac_bits != 0 || write_noise != 0.0 || stuck != 0.0 || drift_rms != 0.0; }
  [[nodiscard]] bool of_outputs() const noexcept {
    return read_noise != 0.0 || gain != 0.0 || offset != 0.0 || saturation != 0.0 || adc_bits != 0 || dead != 0.0;
  }
  /// What of it befalls the parameters, and readings that fail; what of it befalls the outputs. For parts that one map has and another.
  [[nodiscard]] ImperfectOptions of_the_parameters() const;
  [[nodiscard]] ImperfectOptions of_the_outputs() const;
  /// @throws ConfigError "model.imperfect.<field>: ..." for a value out of range
  void validate() const;
};

/// One field of ImperfectOptions, as settings and commands know it.
struct ImperfectField {
  using Member = std::variant<double ImperfectOptions::*, Index ImperfectOptions::*, std::uint64_t ImperfectOptions::*>;
  std::string name;  ///< "read_noise"
  Member member;
  double least, most;
  std::string doc;  ///< one sentence
  bool effect;      ///< not 0: the map is not its model; false: says how such an effect is meant
};
/// All fields, in the order of the manual.
[[nodiscard]] const std::vector<ImperfectField>& imperfect_fields();
/// Options from some of the fields by name, defaults for the others. @throws ConfigError naming `place` for an unknown name, a value out of
/// range or, where whole numbers are asked for, one that is not
[[nodiscard]] ImperfectOptions imperfect_options(const NamedNumbers& numbers, const std::string& place);

/// `map` with these imperfections: `map` itself if they are ideal(), else see wrapped_map.
/// Parameters: nearest step (within the range), then the noise of the write, then drift; stuck ones stand. Outputs: gain, offset, then
/// saturation, noise, steps; dead ones are 0. The noise of a write is the same while the same parameters are read in the same series
/// of readings. Slopes (AdjointMap): noise, drift and steps count as none, stuck parameters and dead outputs have slope 0, gains
/// and saturation their own.
/// part: which of several in one network, their draws differ   retries, drop: see ReadingFailures; of the readings that fail
/// @throws ConfigError as ImperfectOptions::validate
template <class S>
[[nodiscard]] std::shared_ptr<ForwardMap<S>> imperfect_map(std::shared_ptr<ForwardMap<S>> map, const ImperfectOptions& options,
                                                           std::uint32_t part = 0, int retries = 3, bool drop = false);

}  // namespace ffzero
