// What happens to light between two meshes and behind the last one: fixed maps without parameters.
// SPDX-License-Identifier: MIT
#pragma once

#include <numbers>

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

/// Base: n waveguides in, fields (B, 2n) = n real parts, then n imaginary parts. Rows are independent; no forward evaluation of their own.
template <class S>
class FieldMap : public AdjointMap<S> {
 public:
  [[nodiscard]] Index ports() const noexcept { return ports_; }
  [[nodiscard]] Shape input_shape() const override { return {2, 1, ports_}; }
  [[nodiscard]] Shape output_shape() const override { return {2, 1, ports_}; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }

 protected:
  explicit FieldMap(Index ports) : ports_(ports) {}

 private:
  Index ports_;
};

/// The columns of mesh m of several side by side, as a batch of its own: (B, 2 ports).   all (B, 2 k ports): fields of k meshes
template <class S>
[[nodiscard]] Matrix<S> fields_of_mesh(const ConstMatrixRef<S>& all, Index ports, Index m) {
  Matrix<S> one(all.rows(), 2 * ports);
  one << all.middleCols(m * ports, ports), all.middleCols(all.cols() / 2 + m * ports, ports);
  return one;
}

/// psi = g/2 |E|^2 + phi_b/2,  E <- sqrt(1 - alpha) cos(psi) exp(-i psi) E.
template <class S>
class ElectroOptic final : public FieldMap<S> {
 public:
  struct Options {
    double tapped = 0.1;                              ///< alpha: share of the power that drives the modulator, in [0, 1)
    double phase_gain_rad = 0.05 * std::numbers::pi;  ///< g: phase per unit of power
    double bias_rad = std::numbers::pi;               ///< phi_b
  };
  explicit ElectroOptic(Index ports) : ElectroOptic(ports, Options()) {}
  /// @throws ConfigError if `tapped` is outside [0, 1)
  ElectroOptic(Index ports, const Options& options);

  [[nodiscard]] std::string kind() const override { return "electro_optic"; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

 private:
  Options options_;
};

/// E <- |E|^2: every port is detected and re-emitted with its power as amplitude and phase 0.
template <class S>
class Detect final : public FieldMap<S> {
 public:
  explicit Detect(Index ports) : FieldMap<S>(ports) {}
  [[nodiscard]] std::string kind() const override { return "detect"; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;
};

/// y (B, n) = |E|^2: what detectors read.
template <class S>
class Intensity final : public FieldMap<S> {
 public:
  explicit Intensity(Index ports) : FieldMap<S>(ports) {}
  [[nodiscard]] Shape output_shape() const override { return {1, 1, this->ports()}; }
  [[nodiscard]] std::string kind() const override { return "intensity"; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;
};

/// Amplification between layers. Without a power factor ("unit_power"): every sample is scaled so that its powers sum to 1; a dark
/// sample stays dark. With one: all powers are multiplied by it.
template <class S>
class Gain final : public FieldMap<S> {
 public:
  [[nodiscard]] static Gain unit_power(Index ports) { return Gain(ports, 0.0); }
  /// @throws ConfigError (place "model.mesh.gain") unless power_factor is positive and finite
  [[nodiscard]] static Gain fixed(Index ports, double power_factor);

  [[nodiscard]] std::string kind() const override { return "gain"; }
  /// 0: unit power.
  [[nodiscard]] double power_factor() const noexcept { return power_factor_; }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

 private:
  Gain(Index ports, double power_factor) : FieldMap<S>(ports), power_factor_(power_factor) {}
  double power_factor_;
};

extern template class ElectroOptic<float>;
extern template class ElectroOptic<double>;
extern template class Detect<float>;
extern template class Detect<double>;
extern template class Intensity<float>;
extern template class Intensity<double>;
extern template class Gain<float>;
extern template class Gain<double>;

}  // namespace ffzero
