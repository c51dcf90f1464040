// Meshes of interferometers with the errors of chips, and their detectors.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ffzero/map/addressed.hpp"
#include "ffzero/map/mesh/chip.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"

namespace ffzero {

/// What detectors make of powers: gains, noise, steps. From any thread.
template <class S>
class ChipReadout {
 public:
  /// chips: one for every `ports` columns of the powers
  ChipReadout(std::vector<Chip> chips, Index ports);
  [[nodiscard]] bool ideal() const noexcept { return !gains_ && !noisy_ && !stepped_; }
  /// True if readings depend on where they stand in a batch.
  [[nodiscard]] bool noisy() const noexcept { return noisy_; }
  [[nodiscard]] bool smooth() const noexcept { return !noisy_ && !stepped_; }
  /// powers (B, chips * ports): what detectors receive, replaced by what they say.
  void read(const Reading& reading, MatrixRef<S> powers) const;
  /// gI = dL/dpowers from that with respect to the readings; noise and steps stand for nothing.
  void pull(MatrixRef<S> gI) const;

 private:
  std::vector<Chip> chips_;
  Index ports_;
  Vector<S> gain_;
  bool gains_ = false, noisy_ = false, stepped_ = false;
};

/// k chips of one layout on copies of the same input: as InterferometerMesh (k = 1) and ParallelMeshes, with the errors of the chips
/// [docs/notation.md, Chips]. theta is what is asked for. The light is exact for the phases that a chip sets: pullback takes the steps of
/// a converter for none and gives stuck heaters the slope 0. Cost of forward: B forward evaluations; of forward_pairs: 2 m B.
///
/// S = float: the kernel of the ideal mesh, behind phases that make an ideal mesh do what the chip does. S = double: the definition.
template <class S>
class ChipMesh final : public AdjointMap<S>, public PairedMap<S>, public AddressedReadings {
 public:
  /// chips: at least one. executor: null works on the calling thread.
  ChipMesh(const MeshLayout& layout, std::vector<Chip> chips, std::shared_ptr<const Executor> executor = nullptr);
  ~ChipMesh() override;

  [[nodiscard]] const MeshLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] Index count() const noexcept { return isize(chips_.size()); }
  [[nodiscard]] const Chip& chip(Index m = 0) const { return chips_.at(usize(m)); }
  [[nodiscard]] Shape input_shape() const override { return {2, 1, layout_.ports()}; }
  [[nodiscard]] Shape output_shape() const override { return {2, 1, count() * layout_.ports()}; }
  [[nodiscard]] Index parameter_count() const override { return count() * layout_.parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override;
  [[nodiscard]] bool independent_rows() const override { return false; }
  [[nodiscard]] std::string kind() const override { return count() == 1 ? "mesh" : "meshes"; }
  /// As InterferometerMesh and ParallelMeshes: errors do not change where training begins.
  void initialise(std::span<S> theta, const RandomStream& random) const override;

  /// @throws ShapeError if sizes do not fit
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  /// Intensity, and the detectors of these chips.
  [[nodiscard]] bool fuses(const ForwardMap<S>& readout) const override;
  void forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                     const ForwardMap<S>* readout, const PairSink<S>& sink) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;
  void begin_series(const ReadingSeries& series) const override { counter_.begin(series); }
  [[nodiscard]] bool smooth() const override;
  /// True if readings at distant phases give exact slopes (shift_reads.hpp): every phase that is asked for moves by what is asked, alone.
  [[nodiscard]] bool shifts_exactly() const;

  /// Light of one sample in chip m, as InterferometerMesh::fields.  theta (parameter_count of that chip)   x_row (2n)
  [[nodiscard]] Matrix<S> fields(Index m, std::span<const S> theta, std::span<const S> x_row) const;
  /// The phases that chip m sets now for theta (layout().parameter_count()).
  [[nodiscard]] Vector<S> written(Index m, std::span<const S> theta) const;

  /// For a twin, count() = 1: the chip has these errors from now on.  errors (ErrorLayout). Not while another thread uses this.
  void set_errors(std::span<const double> errors);
  /// What detectors receive times their gains: readings without noise and steps.  powers (B, n)
  void powers(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> powers) const;
  /// One reverse sweep for both: gtheta += dL/dtheta, gerrors (ErrorLayout) += dL/derrors for a loss L of `powers`.  x (B, 2n)
  /// loss: gets powers (B, n), replaces them by dL/dpowers.  Empty spans are not wanted.
  void pull(std::span<const S> theta, const ConstMatrixRef<S>& x, const std::function<void(MatrixRef<S>)>& loss, std::span<S> gtheta,
            std::span<double> gerrors) const;

 private:
  struct Core;
  [[nodiscard]] std::span<const S> of_chip(std::span<const S> theta, Index m) const {
    return theta.subspan(usize(m * layout_.parameter_count()), usize(layout_.parameter_count()));
  }
  /// All chips at theta + step direction (null: theta), at this time.
  void light(std::span<const S> theta, const S* direction, S step, double seconds, const ConstMatrixRef<S>& x, MatrixRef<S> out,
             bool powers) const;
  /// gtheta += dL/dtheta, gerrors (or empty) += dL/derrors, gx unless null, of chip m.
  void sweep_back(Index m, std::span<const S> theta, double seconds, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y,
                  const ConstMatrixRef<S>& gy, std::span<S> gtheta, std::span<double> gerrors, MatrixRef<S>* gx) const;
  [[nodiscard]] double seconds(const Reading& reading, Index rows) const;

  MeshLayout layout_;
  std::vector<Chip> chips_;
  std::shared_ptr<const Executor> executor_;
  std::vector<std::unique_ptr<Core>> cores_;
  mutable ReadingCounter counter_;
};

/// The detectors behind a ChipMesh: y (B, k n) = what is read of |E|^2.
template <class S>
class ChipDetectors final : public FieldMap<S>, public AddressedReadings {
 public:
  ChipDetectors(const std::vector<Chip>& chips, Index ports) : FieldMap<S>(isize(chips.size()) * ports), readout_(chips, ports) {}
  [[nodiscard]] Shape output_shape() const override { return {1, 1, this->ports()}; }
  [[nodiscard]] std::string kind() const override { return "detectors"; }
  [[nodiscard]] bool independent_rows() const override { return !readout_.noisy(); }
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;
  void begin_series(const ReadingSeries& series) const override { counter_.begin(series); }
  [[nodiscard]] bool smooth() const override { return readout_.smooth(); }
  [[nodiscard]] const ChipReadout<S>& readout() const noexcept { return readout_; }

 private:
  ChipReadout<S> readout_;
  mutable ReadingCounter counter_;
};

extern template class ChipReadout<float>;
extern template class ChipReadout<double>;
extern template class ChipMesh<float>;
extern template class ChipMesh<double>;
extern template class ChipDetectors<float>;
extern template class ChipDetectors<double>;

}  // namespace ffzero
