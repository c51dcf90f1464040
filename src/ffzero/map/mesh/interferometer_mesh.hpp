// A mesh of interferometers as a trainable map.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/base/executor.hpp"
#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/map/paired_map.hpp"

namespace ffzero {

/// Where the light of a batch goes: re, im (B, n) each, or its powers |E|^2 alone: then they go to `re` and `im` is null.
template <class S>
struct FieldTarget {
  MatrixRef<S>* re = nullptr;
  MatrixRef<S>* im = nullptr;
};

/// y = x U(theta), U unitary  [docs/notation.md, Photonic mesh; exact definition: MeshLayout].
/// theta (layout().parameter_count()): theta, phi, gamma in radians, any real   x, y (B, 2n): n real parts, then n imaginary parts.
///
/// S = float: vector kernel, spread over the executor's threads; the bits of the results do not depend on their number nor on the other
/// samples of the batch. S = double: the definition, line by line. Cost of forward: B forward evaluations; of forward_pairs: 2 m B.
template <class S>
class InterferometerMesh final : public AdjointMap<S>, public PairedMap<S> {
 public:
  /// executor: null works on the calling thread.
  explicit InterferometerMesh(const MeshLayout& layout, std::shared_ptr<const Executor> executor = nullptr);

  [[nodiscard]] const MeshLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] Shape input_shape() const override { return {2, 1, layout_.ports()}; }
  [[nodiscard]] Shape output_shape() const override { return {2, 1, layout_.ports()}; }
  [[nodiscard]] Index parameter_count() const override { return layout_.parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return layout_.parameter_layout(); }
  /// Rows are independent, but the float kernel wants the whole batch at once and shards it itself.
  [[nodiscard]] bool independent_rows() const override { return !std::is_same_v<S, float>; }
  [[nodiscard]] std::string kind() const override { return "mesh"; }

  /// Haar-random U: theta from the layout's exponents, phi and gamma uniform in [0, 2 pi). Dead theta: 0.
  void initialise(std::span<S> theta, const RandomStream& random) const override;

  /// @throws ShapeError if sizes do not fit
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  /// The same with the output wherever the caller wants it; no checks.
  void forward_to(std::span<const S> theta, const ConstMatrixRef<S>& x, const FieldTarget<S>& target) const;

  /// Powers (class Intensity) are taken while the fields are written.
  [[nodiscard]] bool fuses(const ForwardMap<S>& readout) const override;
  [[nodiscard]] bool pairs_apart() const override { return true; }
  void forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                     const ForwardMap<S>* readout, const PairSink<S>& sink) const override;
  /// Both sides of one direction.  direction (parameter_count)
  void pair_to(std::span<const S> theta, std::span<const S> direction, double eps, const ConstMatrixRef<S>& x, const FieldTarget<S>& plus,
               const FieldTarget<S>& minus) const;

  /// Runs light and gradient backwards through the mesh from y: stores no fields, reads no x.
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

  /// Light of one sample: row 0 the input, row 1 behind gamma, row 2 + l behind column l.
  /// x_row (2n)   returns (columns + 2, 2n)   Cost: 1 forward evaluation of a simulator; no device can do this.
  [[nodiscard]] Matrix<S> fields(std::span<const S> theta, std::span<const S> x_row) const;
  /// U as (n, 2n): row j holds the output for light of amplitude 1 in port j.
  [[nodiscard]] Matrix<S> matrix(std::span<const S> theta) const;

 private:
  MeshLayout layout_;
  std::shared_ptr<const Executor> executor_;
};

extern template class InterferometerMesh<float>;
extern template class InterferometerMesh<double>;

}  // namespace ffzero
