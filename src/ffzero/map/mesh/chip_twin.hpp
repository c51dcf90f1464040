// A twin of a chip: the same mesh with errors that are fitted to readings.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ffzero/map/mesh/chip_mesh.hpp"

namespace ffzero {

/// Which errors a twin may have.
enum class TwinFreedom {
  none,      ///< it stays as it began: the mesh without errors, or a calibration
  couplers,  ///< angles of the couplers, offsets of the phases
  all        ///< gains of the phases, crosstalk and gains of the detectors too
};

/// What a chip said at one setting of its phases.
struct ChipReading {
  Vector<float> theta;   ///< (parameter_count), what was asked for
  Matrix<float> x;       ///< (n, 2 ports)
  Matrix<float> powers;  ///< (n, ports)
};

/// How a twin is calibrated.
struct CalibrationOptions {
  TwinFreedom freedom = TwinFreedom::couplers;
  Index settings = 68;  ///< of the phases, >= 2; one in ten, and at least one, is held out
  Index samples = 16;   ///< read at each, >= 1
  double spread = 0.2;  ///< standard deviation of the settings around theta, rad, > 0
  Index steps = 10000;  ///< of the fit, one setting each, >= 1
  double lr = 3e-3;     ///< of the fit: Adam, along a cosine; > 0

  [[nodiscard]] Index held_out() const noexcept { return settings < 20 ? 1 : settings / 10; }
  /// @throws ConfigError naming the field
  void validate() const;
};

/// What came of it. Errors: |I_chip - I_twin|^2 over |I_chip - mean|^2, mean: of each sample's powers.
struct CalibrationReport {
  double before = 0.0, after = 0.0;  ///< of the settings that were held out
  double fitted = 0.0;               ///< of those that were not
};

/// A mesh with errors to be fitted, and the state of the fit. Not for several threads at once.
class ChipTwin {
 public:
  /// dac_bits: the chip's, 0: none.
  ChipTwin(const MeshLayout& layout, TwinFreedom freedom, Index dac_bits, std::shared_ptr<const Executor> executor = nullptr);

  [[nodiscard]] ChipMesh<float>& mesh() noexcept { return mesh_; }
  [[nodiscard]] std::span<const double> errors() const noexcept { return {errors_.data(), usize(errors_.size())}; }
  /// The errors of a calibration. errors (ErrorLayout); those that are not free are kept as they are given.
  void set_errors(std::span<const double> errors);

  /// One step of Adam (b1 .9, b2 .999) against the squared error of a reading. Nothing where no error is free.
  void fit(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& powers, double lr);
  /// (errors, both moments, steps): state_size() numbers.  Written to and taken from checkpoints, rounded to float there.
  [[nodiscard]] Index state_size() const noexcept { return 3 * errors_.size() + 1; }
  void save(std::span<float> state) const;
  void load(std::span<const float> state);

  /// Sums of |powers - twin|^2 and |powers - mean|^2.
  [[nodiscard]] std::pair<double, double> miss(const ChipReading& reading);
  /// Fits to all readings but the last options.held_out(), by which it is judged. Cost: no reading.
  CalibrationReport calibrate(std::span<const ChipReading> readings, const CalibrationOptions& options, const RandomStream& random,
                              const std::function<bool()>& stop = {});

 private:
  [[nodiscard]] double relative_miss(std::span<const ChipReading> readings);

  ChipMesh<float> mesh_;
  Vector<double> errors_, first_, second_, gradient_;
  Index free_;  ///< the first entries of errors_ that may move
  double steps_ = 0.0;
};

/// A calibration as a file: a chip's arrays (read_chip takes it as one), and `calibration`: identity of the chip it is of (as one int64),
/// held-out errors before and after.
void write_calibration(const std::filesystem::path& path, const MeshLayout& layout, const Vector<double>& errors,
                       const std::string& identity, const CalibrationReport& report);
/// Its errors (ErrorLayout). @throws DataError if it is of another size, or of another chip than `identity`
[[nodiscard]] Vector<double> read_calibration(const std::filesystem::path& path, const MeshLayout& layout, const std::string& identity);

/// The settings of the phases at which a chip is read: theta + spread N(0, 1).
[[nodiscard]] std::vector<Vector<float>> calibration_settings(std::span<const float> theta, const CalibrationOptions& options,
                                                              const RandomStream& random);

}  // namespace ffzero
