// Several meshes that look at the same light.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "ffzero/map/mesh/interferometer_mesh.hpp"

namespace ffzero {

/// k meshes of one layout on copies of the same input.   x (B, 2n)   y (B, 2 k n): the real parts of mesh 0, 1, .. k - 1, then the
/// imaginary parts, so that Intensity(k n) gives the powers of mesh 0, 1, ..  theta: the parameters of mesh 0, 1, .. Each mesh is a group
/// of its own with three units (theta, phi, gamma): all are perturbed in the same evaluation. Cost of forward: B forward evaluations (the
/// meshes work side by side); of forward_pairs: 2 m B.
template <class S>
class ParallelMeshes final : public AdjointMap<S>, public PairedMap<S> {
 public:
  /// executor: null works on the calling thread. @throws ConfigError (place "model.mesh.parallel") if count < 1
  ParallelMeshes(const MeshLayout& layout, Index count, std::shared_ptr<const Executor> executor = nullptr);

  [[nodiscard]] Index count() const noexcept { return count_; }
  [[nodiscard]] const InterferometerMesh<S>& mesh() const noexcept { return mesh_; }
  [[nodiscard]] Shape input_shape() const override { return mesh_.input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return {2, 1, count_ * ports()}; }
  [[nodiscard]] Index parameter_count() const override { return count_ * mesh_.parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override;
  [[nodiscard]] bool independent_rows() const override { return mesh_.independent_rows(); }
  [[nodiscard]] std::string kind() const override { return "meshes"; }

  /// Independent Haar-random meshes; mesh 0 is what a single mesh gets.
  void initialise(std::span<S> theta, const RandomStream& random) const override;
  /// @throws ShapeError if sizes do not fit
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  [[nodiscard]] bool fuses(const ForwardMap<S>& readout) const override { return mesh_.fuses(readout); }
  [[nodiscard]] bool pairs_apart() const override { return true; }
  void forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                     const ForwardMap<S>* readout, const PairSink<S>& sink) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

 private:
  [[nodiscard]] Index ports() const noexcept { return mesh_.layout().ports(); }
  template <class T>
  [[nodiscard]] std::span<T> of_mesh(std::span<T> theta, Index m) const {
    return theta.subspan(usize(m * mesh_.parameter_count()), usize(mesh_.parameter_count()));
  }

  InterferometerMesh<S> mesh_;
  Index count_;
};

extern template class ParallelMeshes<float>;
extern template class ParallelMeshes<double>;

}  // namespace ffzero
