// Batches, tiles and threads around the mesh kernel. Private to map/mesh.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/base/executor.hpp"
#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/map/mesh/mesh_kernel.hpp"
#include "ffzero/map/mesh/scratch.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero::mesh_kernel {

/// `rows` samples: real parts at re + row * stride, imaginary parts at im + row * stride.
struct Batch {
  const float* re = nullptr;
  const float* im = nullptr;
  Index stride = 0;
  Index rows = 0;
};
/// Real parts before imaginary parts in every row.  m (B, 2 ports)
inline Batch batch_of(const ConstMatrixRef<float>& m) {
  return {.re = m.data(), .im = m.data() + m.cols() / 2, .stride = m.outerStride(), .rows = m.rows()};
}
/// im null: re gets the powers.
struct Output {
  float* re = nullptr;
  float* im = nullptr;
  Index re_stride = 0;
  Index im_stride = 0;
};

/// One evaluation of the same batch for each set of phases (one or two).  executor may be null.
void evaluate(const MeshLayout& layout, std::span<const Phases> phases, const Batch& x, std::span<const Output> y,
              const Executor* executor);

/// gtheta += slopes;  gx (re null: skipped) = gradient in front of the mesh. Sums are taken in an order that depends on the size of the
/// batch alone.
void pull_back(const MeshLayout& layout, const float* theta, const Batch& y, const Batch& gy, float* gtheta, const Output& gx,
               const Executor* executor);

/// The ideal mesh for phases theta (parameter_count) of a mesh with imperfect couplers: arrays, and what points to them.
class ResolvedMesh {
 public:
  /// couplers: see CouplerAngles; amplitude: of each interferometer, null: no loss; both outlive this.
  ResolvedMesh(const MeshLayout& layout, const float* theta, const CouplerAngles& couplers, const float* amplitude);
  [[nodiscard]] Phases phases() const noexcept { return {.theta = nullptr, .direction = nullptr, .step = 0.0F, .resolved = &mesh_}; }
  /// Of each interferometer: cos and sin of mu + nu, and of theta / 2.
  [[nodiscard]] const ResolvedOut& arrays() const noexcept { return out_; }

 private:
  Scratch<float> memory_;
  ResolvedOut out_;
  Resolved mesh_;
};

/// What a reverse sweep through an imperfect mesh finds: slopes (block_size, 4), see Kernel::sweep_backward_lossy, in the light of the
/// ideal mesh; gamma (ports). Both overwritten.
struct LossySlopes {
  double* interferometers;
  double* gamma;
};
/// As pull_back, in one reverse sweep.
void pull_back_lossy(const MeshLayout& layout, const ResolvedMesh& mesh, const Batch& y, const Batch& gy, const LossySlopes& slopes,
                     const Output& gx, const Executor* executor);

}  // namespace ffzero::mesh_kernel
