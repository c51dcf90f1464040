// The fast mesh in float: what one processor target offers, chosen at run time. Private to map/mesh.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/mesh/layout.hpp"

// How the kernel works.
//   * Samples are vector lanes: a "bundle" is as many samples as a vector has lanes; its state holds, waveguide after waveguide, one
//     vector of real and one of imaginary parts.
//   * A factor i that every interferometer puts on both of its outputs is taken out of every column and put back once, on the input
//     phases. What is left of an interferometer is real up to exp(i phi) on its upper output:
//       a' = exp(i phi) (sin t a + cos t b),   b' = cos t a - sin t b.
//     A waveguide that passes a column with factor f gets f / i instead. The upper edge passes into the phase of the interferometer
//     in front of it, the lower edge is the upper half of a pair whose lower waveguide is dark.
//   * Columns are taken in blocks. A block is swept once from top to bottom along diagonals: step d works on pair d of the block's first
//     column, then on the pair half a step higher in the second one, and so on, so that a field is loaded and stored once a block
//     and travels between columns in registers. Coefficients are packed in exactly this order.
//   * Forwards, a block comes in one of two forms. "Rotations": the equations above, 12 vector operations per interferometer.
//     "Shears": every field is kept divided by a real scale of its waveguide, 1 at the start of the block. With scales A and B in front
//     of the pair,
//       a <- a + r b,  b <- b + q a,  a <- (1 + i tan phi) a,   r = (cos t B) / (sin t A),  q = -(cos t A) / (sin t B),
//     and the scales become sin t cos phi A and -sin t B: 6 operations. At the end of the block the scales are multiplied back. Every
//     output is still one rounded sum of the same two terms, so nothing is lost while the scales stay in the range of float: they are
//     kept above 2^-80 (light below 2^40); a block in which they do not (theta = 0, phi = pi/2, ..) is packed as rotations. An odd
//     number of ports has edge factors that are no real scale: rotations.
namespace ffzero::mesh_kernel {

/// Dimensions of a mesh as the kernel sees it: columns in blocks of `width`, waveguides padded with dark ones.
struct Grid {
  Index width = 0;      ///< columns per block, even
  Index blocks = 0;     ///< blocks of columns
  Index diagonals = 0;  ///< steps of a sweep
  Index rows = 0;       ///< waveguides in a state, dark ones included; waveguide w is row width + w

  Grid(const MeshLayout& layout, Index block_width);
  /// Interferometer positions of a block, those of dark or passing waveguides included.
  [[nodiscard]] Index positions() const noexcept { return diagonals * width; }
  /// Position of pair k of the column that a sweep takes as its j-th, inside its block. shift: 0 forwards, 1 backwards.
  [[nodiscard]] Index position(Index top_waveguide, Index j, Index shift) const noexcept {
    return (top_waveguide + j + shift) / 2 * width + j;
  }
};

/// The ideal mesh that does to light what an imperfect one does  [docs/notation.md, Chips]. An array has an entry for each of the theta
/// block, those of the input phases one for each port.
struct Resolved {
  const float *sin_t = nullptr, *cos_t = nullptr, *cos_phi = nullptr, *sin_phi = nullptr;
  const float* amplitude = nullptr;  ///< factor of both outputs; null: no loss
  const float *cos_gamma = nullptr, *sin_gamma = nullptr;
};

/// theta + step * direction; `direction` may be null. Or, `resolved` not null, what that holds.
struct Phases {
  const float* theta = nullptr;
  const float* direction = nullptr;
  float step = 0.0F;
  const Resolved* resolved = nullptr;
};

/// Couplers of the interferometers, as sums and differences of the angles of the left one, u, and the right one, v. Arrays as those of
/// Resolved.
struct CouplerAngles {
  const float *cos_difference, *cos_sum, *sin_difference, *sin_sum;
};
/// Where `resolve` writes; cos_turn, sin_turn, cos_half, sin_half: what slopes need, see chip_slopes.
struct ResolvedOut {
  float *sin_t, *cos_t, *cos_phi, *sin_phi, *cos_gamma, *sin_gamma;
  float *cos_turn, *sin_turn, *cos_half, *sin_half;
};

inline constexpr Index kCoefficients = 4;  ///< of a rotation: sin t, cos t, cos phi, sin phi
/// Backwards through loss: sin t and cos t times the amplitude for the gradient, cos phi, sin phi, the first two over the amplitude for
/// light.
inline constexpr Index kLossyCoefficients = 6;
inline constexpr Index kShear = 3;  ///< of a shear: r, q, tan phi

enum class Form : unsigned char { rotations, shears };

/// One processor target. Functions are thread-safe; pointers to states and coefficients are vector-aligned.
struct Kernel {
  Index lanes;           ///< samples in a bundle
  Index forward_width;   ///< columns per block, forwards
  Index backward_width;  ///< columns per block, backwards

  /// Coefficients (positions() * kCoefficients) of one block, and the form that they have.
  Form (*pack_forward)(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients);
  Form (*pack_backward)(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients);
  /// input_phases (2n): cos and sin of gamma times i^columns, interleaved.
  void (*pack_input)(const MeshLayout& layout, const Phases& phases, float* input_phases);

  /// state (rows, 2, lanes) = `count` <= lanes rows of x, transposed; the other lanes and the dark waveguides are 0.
  void (*load)(const Grid& grid, Index ports, const float* re, const float* im, Index stride, Index count, float* state);
  /// to = from, every waveguide multiplied by its input phase (its conjugate if `conjugate`). May be the same memory.
  void (*rotate)(const Grid& grid, Index ports, const float* input_phases, bool conjugate, const float* from, float* to);
  /// The inverse of load. im null: re gets the powers |E|^2.
  void (*store)(const Grid& grid, Index ports, const float* state, Index count, float* re, Index re_stride, float* im, Index im_stride);

  /// state <- state behind the block's columns.
  void (*sweep_forward)(const Grid& grid, Form form, const float* coefficients, float* state);
  /// light, gradient <- those in front of the block's columns; slopes (positions(), 2) += dL/dt, dL/dphi summed over the lanes.
  void (*sweep_backward)(const Grid& grid, const float* coefficients, float* light, float* gradient, double* slopes);
  /// The same through interferometers with imperfect couplers: slopes (positions(), 4). With v the light and g the gradient behind the
  /// couplers, in front of phi, a above b: Re(ga* vb - gb* va), -Im(ga* va), Im(ga* vb + gb* va), Im(gb* vb) - Im(ga* va).
  void (*sweep_backward_lossy)(const Grid& grid, const float* coefficients, float* light, float* gradient, double* slopes);
  /// Coefficients (positions() * kLossyCoefficients) of one block for it.
  Form (*pack_backward_lossy)(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients);
  /// The ideal mesh for phases theta (parameter_count) of a mesh with these couplers.
  void (*resolve)(const MeshLayout& layout, const float* theta, const CouplerAngles& couplers, const ResolvedOut& out);
  /// slopes (n) += dL/dgamma, from the states in front of the first column.
  void (*input_slopes)(const Grid& grid, Index ports, const float* light, const float* gradient, double* slopes);
};

/// That of the best target that this processor has (and that tests have not disabled).
[[nodiscard]] const Kernel& kernel();

}  // namespace ffzero::mesh_kernel
