// Where the interferometers of a mesh sit and which parameter drives which.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "ffzero/base/index.hpp"
#include "ffzero/base/parameter_layout.hpp"

namespace ffzero {

enum class MeshGeometry { rectangular, triangular };

/// "rectangular" or "triangular". @throws ConfigError (place "model.mesh.layout") for any other word.
[[nodiscard]] MeshGeometry mesh_geometry(std::string_view word);
[[nodiscard]] std::string_view to_string(MeshGeometry geometry) noexcept;

/// How a random direction over the phases is normalised: `joint`, one unit vector over all of them, so that every phase moves by the
/// same angle; `separate`, one each for theta, phi and gamma, as the reference does: gamma, with few entries, then moves the most and adds
/// its noise to the estimates of all others.
enum class MeshDirection { joint, separate };

/// "joint" or "separate". @throws ConfigError (place "model.mesh.direction") for any other word.
[[nodiscard]] MeshDirection mesh_direction(std::string_view word);

/// A mesh of Mach-Zehnder interferometers on n waveguides  [docs/notation.md, Photonic mesh].
///
/// Column l = 0, 1, ..: even l couples the waveguides (0,1), (2,3), ..; odd l couples (1,2), (3,4), ... Pair k of column l has the upper
/// waveguide 2k + (l mod 2). Rectangular (Clements): n columns, every pair is an interferometer. Triangular (Reck): 2n - 3 columns,
/// only the top pairs(l) pairs are; the others stand in the bar state theta = phi = pi, a factor -i on both waveguides.
/// A waveguide without a neighbour passes with factor 1 when n is odd; when n is even (waveguides 0 and n - 1 of odd columns)
/// with factor -i.
///
/// Parameters: a block of theta, a block of phi, n of gamma. Blocks are packed column by column, top to bottom. With
/// `dead_parameters` each column of a block has floor(n/2) entries, as in the reference's arrays; those beyond pairs(l) drive nothing.
class MeshLayout {
 public:
  /// ports = n >= 2. @throws ConfigError otherwise
  explicit MeshLayout(Index ports, MeshGeometry geometry = MeshGeometry::rectangular, bool dead_parameters = false,
                      MeshDirection direction = MeshDirection::separate);

  [[nodiscard]] Index ports() const noexcept { return ports_; }
  [[nodiscard]] MeshGeometry geometry() const noexcept { return geometry_; }
  [[nodiscard]] bool dead_parameters() const noexcept { return dead_parameters_; }
  [[nodiscard]] Index columns() const noexcept { return geometry_ == MeshGeometry::rectangular ? ports_ : 2 * ports_ - 3; }
  /// Interferometers of the whole mesh: n (n - 1) / 2.
  [[nodiscard]] Index interferometers() const noexcept { return ports_ * (ports_ - 1) / 2; }
  /// Reads that give the exact slopes of all live phases for one sample: four per theta, two per phi and gamma (shift_reads.hpp).
  [[nodiscard]] Index shift_reads() const noexcept { return 6 * interferometers() + 2 * ports_; }
  /// The theta block: phases that enter the light as half angles.
  [[nodiscard]] Segment half_angles(Index first = 0) const noexcept { return {.begin = first, .size = block_size()}; }

  /// Pairs of waveguides in column l that lie side by side, interferometers or not.
  [[nodiscard]] Index neighbours(Index column) const noexcept { return (ports_ - column % 2) / 2; }
  /// Interferometers in column l: the first ones of its neighbours.
  [[nodiscard]] Index pairs(Index column) const noexcept;
  /// Entries of column l in the theta block (and in the phi block).
  [[nodiscard]] Index entries(Index column) const noexcept { return dead_parameters_ ? ports_ / 2 : pairs(column); }
  /// Position of pair 0 of column l in a block.
  [[nodiscard]] Index offset(Index column) const noexcept;
  /// Upper waveguide of a pair.
  [[nodiscard]] static constexpr Index top_waveguide(Index column, Index pair) noexcept { return 2 * pair + column % 2; }

  /// Size of the theta block (and of the phi block).
  [[nodiscard]] Index block_size() const noexcept { return offset(columns()); }
  [[nodiscard]] Index phi_begin() const noexcept { return block_size(); }
  [[nodiscard]] Index gamma_begin() const noexcept { return 2 * block_size(); }
  [[nodiscard]] Index parameter_count() const noexcept { return 2 * block_size() + ports_; }
  /// One group, of three units: theta, phi, gamma; or of one, if the direction is joint. `first` is added to every position.
  [[nodiscard]] ParameterLayout parameter_layout(Index first = 0, Index group = 0) const;

  /// Exponent of the Haar initialisation: cos(theta/2) = u^(1/(2 alpha)), u uniform. Rectangular: the reference's
  /// checkerboard; triangular: 1 + upper waveguide.
  [[nodiscard]] double haar_alpha(Index column, Index pair) const noexcept;
  /// theta of that initialisation: pi - 2 asin(u^(1/(2 alpha))).  u in (0, 1)
  [[nodiscard]] double haar_theta(Index column, Index pair, double u) const noexcept;

  friend bool operator==(const MeshLayout&, const MeshLayout&) = default;

 private:
  Index ports_;
  MeshGeometry geometry_;
  bool dead_parameters_;
  MeshDirection direction_;
};

}  // namespace ffzero
