// The transfer matrix of a device that is linear in its field and read by powers, and what its parameters do to it, from readings alone.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Fields as complex numbers.  x (B, 2n): n real parts, then n imaginary parts   returns (n, B): a sample is a column
[[nodiscard]] ComplexMatrix fields_of(const ConstMatrixRef<float>& x);

/// Inputs that tell all of U (outputs, n) but the phase of each output: every basis vector; kTransferReferences fields of power 1 that see
/// every waveguide, always the same ones; and the sum of each of these with each basis vector, as it is and a quarter turn apart.
/// returns (transfer_probe_count(n), 2n)
[[nodiscard]] Matrix<float> transfer_probes(Index n);
inline constexpr Index kTransferReferences = 3;
/// n + 3 + 6 n.
[[nodiscard]] constexpr Index transfer_probe_count(Index n) noexcept { return n + kTransferReferences * (1 + 2 * n); }

/// U from the readings of transfer_probes(n), but for a phase of each output: first entry by entry, each output held against the reference
/// of which it sees most; then, unless that explains them, by damped Gauss-Newton steps on the squared error of all readings, each sample
/// in units of its mean power. Exact without noise.  powers (probes, outputs)
[[nodiscard]] ComplexMatrix retrieve_transfer(Index n, const ConstMatrixRef<float>& powers);

/// The likeliest change of U that explains, to first order, readings at known inputs: |U x|^2 = powers.  x (n, B)   powers (B, outputs)
/// damping: of the system for each output, as a share of its mean diagonal, > 0, for what the first order leaves out
/// noise: standard deviation of a reading, in mean powers of its sample, >= 0. How far U is off is found from the misses themselves: those
/// that noise explains change nothing.
void correct_transfer(ComplexMatrix& u, const ComplexMatrix& x, const ConstMatrixRef<float>& powers, double damping, double noise);

/// |I - |U x|^2|^2 / |I - mean|^2, mean: of each sample's powers.
[[nodiscard]] double transfer_error(const ComplexMatrix& u, const ComplexMatrix& x, const ConstMatrixRef<float>& powers);

/// Standard deviation of a reading in mean powers of its sample, from two readings of the same samples.  (B, outputs)
[[nodiscard]] double reading_noise(const ConstMatrixRef<float>& first, const ConstMatrixRef<float>& second);

/// What a parameter does: U(theta + d) = exp(i d H) U(theta) with H = V S V^+, S the signs +1, -1 of its columns (outputs, rank 1 or 2).
struct Generator {
  ComplexMatrix v;
  [[nodiscard]] static double sign(Index column) noexcept { return column == 0 ? 1.0 : -1.0; }
};

/// dI (outputs, B) = 2 Re(conj(y) i H y).  y (outputs, B)
[[nodiscard]] Matrix<double> power_slopes(const Generator& generator, const ComplexMatrix& y);

/// |exp(i step H) y|^2 - |y|^2 (outputs, B).
[[nodiscard]] Matrix<double> power_changes(const Generator& generator, const ComplexMatrix& y, double step);

/// Changes of powers, and what is known of them.
struct PowerChanges {
  Matrix<double> changes;  ///< (outputs, B): powers with the parameter moved by `step`, minus powers without
  double step = 0.0;       ///< not 0
  double noise = 0.0;      ///< standard deviation of a change, >= 0
};

/// What came of a fit: |changes - model|^2 / |changes|^2 of samples that were not fitted, both without the share of the noise. 1 where
/// noise hides the changes.
struct GeneratorFit {
  Generator generator;
  double held_out = 1.0;
};

/// The generator from changes of powers at the fields y (outputs, B) behind U; the last `held_out` samples are not fitted. By damped
/// Gauss-Newton steps, linear in the middle of the step and corrected for the rest, so that steps of a radian are no worse than small ones;
/// from `start` (empty, or an earlier generator), and where that misses the held-out samples by more than `good` and what noise explains,
/// from the strongest parts of the data, with rank 1 and then 2; the one that misses least. Needs about 2 rank real numbers an output.
[[nodiscard]] GeneratorFit fit_generator(const ComplexMatrix& y, const PowerChanges& seen, Index held_out, const Generator& start,
                                         double good);

/// U <- exp(i angle H) U, or fields behind it.  u (outputs, any)
void turn(ComplexMatrix& u, const Generator& generator, double angle);

}  // namespace ffzero
