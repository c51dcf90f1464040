// Sliding-window products on blocks of samples, in SIMD registers. Internal to map/conv.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/shape.hpp"

namespace ffzero::conv {

/// Which windows of which planes. Output (y, x) of a pass reads the input at
/// ((y stride + ky - padding) / dilation, (x stride + kx - padding) / dilation), zero where that is no pixel.
struct WindowPass {
  Shape input;        ///< of one sample
  Index outputs = 0;  ///< output planes
  Index out_height = 0, out_width = 0;
  Index kernel = 1, stride = 1;
  Index padding = 0;   ///< may be negative: rows and columns cut off
  Index dilation = 1;  ///< zeros between pixels, for the gradient of a strided pass

  [[nodiscard]] Index positions() const noexcept { return out_height * out_width; }
  [[nodiscard]] Index taps() const noexcept { return input.channels * kernel * kernel; }
};

/// What becomes of every output v(o, y, x) = offset_o + sum over taps of weight * input. Null pointers: not wanted.
template <class S>
struct ConvTask {
  WindowPass pass;
  const S* weights = nullptr;  ///< (taps, outputs)
  const S* offset = nullptr;   ///< (outputs); null: 0
  /// Outputs by whose number the rows of a map are cut, which sums follow; 0: those of the pass.
  Index outputs_of_chunk = 0;

  S* maps = nullptr;  ///< (rows, outputs * positions), row stride maps_stride, overwritten with scale_o v + shift_o
  Index maps_stride = 0;
  const S* scale = nullptr;  ///< (outputs); null: 1 and 0
  const S* shift = nullptr;

  double* sums = nullptr;       ///< (outputs, 3), overwritten: sums over rows and positions of v, v^2 and v v_mate
  const Index* mate = nullptr;  ///< (outputs): another plane, or -1: third sum is 0

  const S* readout = nullptr;  ///< (readout_planes, positions, readout_size): output plane o uses plane o mod readout_planes
  Index readout_planes = 0, readout_size = 0;
  S* projected = nullptr;  ///< (rows, outputs * readout_size), row stride projected_stride, overwritten
  Index projected_stride = 0;
};

/// Runs a task on `rows` samples, x (rows, input size) with row stride x_stride. Sums over a row of a map in S, all others in double.
/// An output depends on its own sample alone, bit for bit. Thread-safe for disjoint results. S: float, double.
template <class S>
void run_conv(const ConvTask<S>& task, const S* x, Index x_stride, Index rows);

/// gradient (outputs, input channels, kernel, kernel) = sum over samples and positions of gy times the input under the window; dilation 1.
/// gy (rows, outputs * positions) with row stride gy_stride.
template <class S>
void kernel_gradient(const WindowPass& pass, const S* x, Index x_stride, const S* gy, Index gy_stride, Index rows, double* gradient);

}  // namespace ffzero::conv
