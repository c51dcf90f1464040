// A chip that is not its model: what a mesh of interferometers has got instead of what it should have.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ffzero/map/drift.hpp"
#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// How far chips are from their model; all 0: not at all  [docs/notation.md, Chips; docs/imperfect.md has published magnitudes].
/// "Spread" is the standard deviation of a normal law from which each element gets its own value.
struct ChipOptions {
  std::uint64_t seed = 0;      ///< of what is drawn, and of noise and drift
  double coupler = 0.0;        ///< spread of e: a coupler has the amplitudes sqrt((1 +- e) / 2); 0 .. 0.3
  double phase = 0.0;          ///< spread of a static offset of theta and phi, rad; 0 .. 10
  double phase_gain = 0.0;     ///< spread of the factor between the phase that is asked for and the one that is set; 0 .. 0.5
  double crosstalk = 0.0;      ///< share of a heater's phase that each of its neighbours in the column and in the row gets; -0.25 .. 0.25
  Index dac_bits = 0;          ///< a full turn has 2^bits steps; 0: no steps; at most 24
  double stuck = 0.0;          ///< share of the heaters that stand at a random phase for ever; 0 .. 1
  double loss_db = 0.0;        ///< of power in each interferometer; 0 .. 10
  double loss_spread = 0.0;    ///< spread of that, as a share of it; 0 .. 1
  double detector_gain = 0.0;  ///< spread of the detectors' factors; 0 .. 0.5
  double read_noise = 0.0;     ///< standard deviation of a reading of a port, as a share of the sample's mean power a port; 0 .. 100
  Index adc_bits = 0;          ///< readings have 2^bits - 1 steps from 0 to adc_range; 0: no steps; at most 24
  double adc_range = 16.0;     ///< largest reading, as a multiple of the sample's mean power a port; 1 .. 1e6
  double drift_rms = 0.0;      ///< standard deviation that the drift of a phase has reached after drift_time and keeps, rad; 0 .. 100
  double drift_time = 1.0;     ///< seconds of nominal time of the chip, > 0
  double age = 0.0;            ///< seconds that the chip has drifted before the nominal time begins; 0 .. 1e12
  double write_s = 1e-4;       ///< nominal time that setting all phases takes, seconds, >= 0
  double row_s = 1e-6;         ///< nominal time that a sample takes, seconds, >= 0

  /// True if a chip of this kind is its model.
  [[nodiscard]] bool ideal() const noexcept;
  /// @throws ConfigError "model.mesh.chip.<field>: ..." for a value out of range
  void validate() const;
};

/// Where the errors that a twin can know stand in one vector; all 0: none. `block` entries each, at the places of the theta block: angles
/// of the left and of the right coupler beyond pi/4 (e = -sin 2 delta), offsets of theta and phi, excess of their gains over 1; then
/// the crosstalk, then for each port the excess of the detector's gain over 1.
struct ErrorLayout {
  Index block = 0, ports = 0;
  explicit ErrorLayout(const MeshLayout& layout) : block(layout.block_size()), ports(layout.ports()) {}
  [[nodiscard]] Index left() const noexcept { return 0; }
  [[nodiscard]] Index right() const noexcept { return block; }
  [[nodiscard]] Index theta_offset() const noexcept { return 2 * block; }
  [[nodiscard]] Index phi_offset() const noexcept { return 3 * block; }
  [[nodiscard]] Index theta_gain() const noexcept { return 4 * block; }
  [[nodiscard]] Index phi_gain() const noexcept { return 5 * block; }
  [[nodiscard]] Index crosstalk() const noexcept { return 6 * block; }
  [[nodiscard]] Index detectors() const noexcept { return 6 * block + 1; }
  [[nodiscard]] Index size() const noexcept { return 6 * block + 1 + ports; }
};

/// One chip.
struct Chip {
  ChipOptions options;       ///< its laws; of them only noise, bits, drift and times matter once it is drawn
  std::uint32_t part = 0;    ///< which of several with one seed
  Vector<double> errors;     ///< ErrorLayout
  Vector<double> stuck;      ///< (2 block): the phase at which a heater of theta, then phi, stands; NaN: it obeys
  Vector<double> amplitude;  ///< (block): factor of the fields in each interferometer; 1: no loss

  /// One of 16 hexadecimal digits, the same for the same chip: of everything that it is, noise and times apart.
  [[nodiscard]] std::string identity() const;
};

/// A chip without errors.
[[nodiscard]] Chip ideal_chip(const MeshLayout& layout);
/// The chip number `part` of this seed. Couplers are kept to |e| <= 0.9. @throws ConfigError as ChipOptions::validate
[[nodiscard]] Chip draw_chip(const MeshLayout& layout, const ChipOptions& options, std::uint32_t part);

/// A chip of a file  [docs/imperfect.md, Chips in files]: arrays (columns, floor(n/2)), those beyond a column's interferometers ignored:
/// e_l, e_r, theta_errors, phi_errors, and where there are: theta_gain, phi_gain (factors), theta_stuck, phi_stuck (NaN: obeys), amplitude;
/// detector_gain (n), crosstalk (1). Of a file with several chips those of "coupler_S.chipN." and "phase_S.chipN.", S the words of
/// options.coupler and options.phase (0: none) and N the number. What the file does not say is drawn as draw_chip does.
/// @throws DataError naming the array, the shape expected and the one found
[[nodiscard]] Chip read_chip(const std::filesystem::path& path, const MeshLayout& layout, const ChipOptions& options, std::uint32_t number);
/// The arrays of a chip with the plain names.
[[nodiscard]] NpzArchive chip_arrays(const Chip& chip, const MeshLayout& layout);
/// Arrays (columns, floor(n/2)) of a block. For reports.
[[nodiscard]] NpyArray block_array(const MeshLayout& layout, std::span<const double> block);

/// What a chip sets when it is asked for theta: gains, steps, neighbours, offsets, drift, stuck heaters. S is float or double.
template <class S>
class ChipWriter {
 public:
  ChipWriter(const MeshLayout& layout, const Chip& chip);

  /// set (parameter_count), overwritten: the phases that light sees.  theta (parameter_count)   seconds: nominal time of the chip
  void write(std::span<const S> theta, double seconds, std::span<S> set) const;
  /// gtheta += (dset/dtheta)^T gset, with steps taken for none; gerrors (ErrorLayout, or empty) += the same for offsets, gains, crosstalk.
  void pull(std::span<const S> theta, std::span<const double> gset, std::span<S> gtheta, std::span<double> gerrors) const;

 private:
  /// What a heater is driven with: gain times the step nearest to theta.
  void drive(std::span<const S> theta, std::span<S> driven) const;
  /// out += factor times the sum of the neighbours, for one block.
  template <class T>
  void add_neighbours(std::span<const T> from, T factor, std::span<T> out) const;

  MeshLayout layout_;
  ErrorLayout at_;
  Vector<S> offset_, gain_, stuck_;  // (2 block): theta, phi
  bool has_stuck_;
  S crosstalk_, step_;
  Drift drift_;  // of the heaters
};

extern template class ChipWriter<float>;
extern template class ChipWriter<double>;

}  // namespace ffzero
