// Batches, tiles and threads around the mesh kernel. Private to map/mesh.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/base/executor.hpp"
#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/map/mesh/mesh_kernel.hpp"

namespace ffzero::mesh_kernel {

/// `rows` samples: real parts at re + row * stride, imaginary parts at im + row * stride.
struct Batch {
  const float* re = nullptr;
  const float* im = nullptr;
  Index stride = 0;
  Index rows = 0;
};
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

}  // namespace ffzero::mesh_kernel
