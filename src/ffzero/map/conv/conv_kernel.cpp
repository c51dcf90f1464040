// Convolution kernels: one sample a lane, so that any stride, kernel and padding runs at full width.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/conv_kernel-inl.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/map/conv/conv_kernel.cpp"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ffzero/tensor/lanes-inl.hpp"

#ifndef FFZERO_CONV_KERNEL_ONCE
#define FFZERO_CONV_KERNEL_ONCE
namespace ffzero::conv {
namespace {

/// Scratch memory of one thread, kept between calls: no allocation inside a training step.
template <class S>
class Scratch {
 public:
  S* reserve(Index size) {
    if (size > size_) {
      memory_ = hwy::AllocateAligned<S>(usize(size));
      size_ = size;
    }
    return memory_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<S[]> memory_;
  Index size_ = 0;
};

/// Where a plane of a frame is not zero.
struct Box {
  Index first_row = 0, last_row = 0, first_column = 0, last_column = 0;
};

/// The input of one block as the windows see it: (channels, height, width, lanes), padded, cut and dilated.
struct Frame {
  explicit Frame(const WindowPass& p) : height((p.out_height - 1) * p.stride + p.kernel), width((p.out_width - 1) * p.stride + p.kernel) {}

  Index height, width;
};

/// Of a window that starts at `start`: the taps that meet [first, last) for at least one of `windows` neighbours, `stride` apart.
inline std::pair<Index, Index> taps_inside(Index start, Index windows, Index stride, Index kernel, Index first, Index last) {
  const Index begin = std::clamp<Index>(first - start - (windows - 1) * stride, 0, kernel);
  return {begin, std::clamp<Index>(last - start, begin, kernel)};
}

/// Numbers of one plane that are kept in the cache between convolution and what follows; also the most that are summed in S.
constexpr Index kChunkPositions = 128;
constexpr Index kChunkBytes = 24 * 1024;

}  // namespace
}  // namespace ffzero::conv
#endif

HWY_BEFORE_NAMESPACE();
namespace ffzero::conv {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Registers for sums: 24 of 32, or 12 of 16.
constexpr int kAccumulators = HWY_TARGET <= HWY_AVX3 ? 24 : 12;
constexpr int kTilePlanes = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
constexpr int kTileColumns = 6;

template <class S>
constexpr Index lanes() {
  return ffzero::lanes::HWY_NAMESPACE::count<S>();
}

#if HWY_TARGET != HWY_SCALAR
using ffzero::lanes::HWY_NAMESPACE::block_size;
using ffzero::lanes::HWY_NAMESPACE::for_column_blocks;
using ffzero::lanes::HWY_NAMESPACE::store_blocks;
using ffzero::lanes::HWY_NAMESPACE::transpose_blocks;
#endif

/// target (rows, columns) with row stride = scale * source (columns, lanes) + shift.
template <class S>
void from_lanes(const S* HWY_RESTRICT source, Index columns, S scale, S shift, S* HWY_RESTRICT target, Index row_stride, Index rows) {
  constexpr Index n = lanes<S>();
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<S> d;
  constexpr Index size = block_size<S>();
  if (rows == n && columns >= size) {
    const auto factor = hn::Set(d, scale), constant = hn::Set(d, shift);
    for_column_blocks(columns, size, [&](Index k) HWY_ATTR {
      hn::Vec<decltype(d)> v[size];
      FFZERO_UNROLL
      for (Index j = 0; j < size; ++j) v[j] = hn::MulAdd(factor, hn::Load(d, source + (k + j) * n), constant);
      transpose_blocks(d, v);
      FFZERO_UNROLL
      for (Index j = 0; j < size; ++j) store_blocks(d, v[j], target + j * row_stride + k, size * row_stride);
    });
    return;
  }
#endif
  // One lane, but the same instruction: a sample's value must not depend on its place in the batch.
  const hn::CappedTag<S, 1> one;
  const auto factor = hn::Set(one, scale), constant = hn::Set(one, shift);
  for (Index l = 0; l < rows; ++l)
    for (Index k = 0; k < columns; ++k)
      target[l * row_stride + k] = hn::GetLane(hn::MulAdd(factor, hn::Set(one, source[k * n + l]), constant));
}

/// One block of samples on its way through a task; always made with all its members.
template <class S>
struct Block {  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ConvTask<S>& task;
  Frame frame_size;
  S* frame;          ///< see Frame
  const Box* boxes;  ///< one a channel
  S* chunk;          ///< (outputs, chunk rows of the maps, lanes)
  Index plane;       ///< numbers of a plane in the chunk
};

/// What is not zero of plane c of a frame: borders of images are often blank, and products with zeros change nothing.
template <class S>
Box occupied(const Frame& f, const S* HWY_RESTRICT plane) {
  const hn::ScalableTag<S> d;
  constexpr Index n = lanes<S>();
  const auto blank = [&](Index u, Index v)
                         HWY_ATTR { return hn::AllTrue(d, hn::Eq(hn::Load(d, plane + (u * f.width + v) * n), hn::Zero(d))); };
  Box box{.first_row = f.height, .last_row = 0, .first_column = f.width, .last_column = 0};
  for (Index u = 0; u < f.height; ++u) {
    Index left = 0, right = f.width;
    while (left < f.width && blank(u, left)) ++left;
    if (left == f.width) continue;
    while (right > box.last_column && blank(u, right - 1)) --right;
    box.first_row = std::min(box.first_row, u);
    box.last_row = u + 1;
    box.first_column = std::min(box.first_column, left);
    box.last_column = std::max(box.last_column, right);
  }
  return box.last_row == 0 ? Box{} : box;
}

/// rows <= lanes() samples into the frame; missing samples are zero.
template <class S>
void pack(const WindowPass& p, const Frame& f, const S* HWY_RESTRICT x, Index x_stride, Index rows, S* HWY_RESTRICT frame, Box* boxes) {
  constexpr Index n = lanes<S>();
  // Columns of the input that land inside the frame.
  const Index first = p.padding < 0 ? (-p.padding + p.dilation - 1) / p.dilation : 0;
  const Index last = std::min(p.input.width, (f.width - 1 - p.padding + p.dilation) / p.dilation);
  for (Index c = 0; c < p.input.channels; ++c) {
    S* plane = frame + c * f.height * f.width * n;
    for (Index i = 0; i < p.input.height && first < last; ++i) {
      const Index u = i * p.dilation + p.padding;
      if (u < 0 || u >= f.height) continue;
      S* line = plane + (u * f.width + first * p.dilation + p.padding) * n;
      ffzero::lanes::HWY_NAMESPACE::to_lanes(x + (c * p.input.height + i) * p.input.width + first, x_stride, rows, last - first, line,
                                             [&](Index k) HWY_ATTR { return k * p.dilation * n; });
    }
    boxes[c] = occupied(f, plane);
  }
}

/// Planes o .. o + NO and columns x .. x + NX of output row y.
template <int NO, int NX, class S>
HWY_INLINE void conv_tile(const Block<S>& b, Index y, Index x, Index o, S* HWY_RESTRICT row) {
  const hn::ScalableTag<S> d;
  using V = hn::Vec<decltype(d)>;
  constexpr Index n = lanes<S>();
  const ConvTask<S>& t = b.task;
  const WindowPass& p = t.pass;
  V sum[NO][NX];
  FFZERO_UNROLL
  for (int i = 0; i < NO; ++i) {
    const V start = t.offset != nullptr ? hn::Set(d, t.offset[o + i]) : hn::Zero(d);
    FFZERO_UNROLL
    for (int k = 0; k < NX; ++k) sum[i][k] = start;
  }
  const Index column_step = p.stride * n;
  for (Index c = 0; c < p.input.channels; ++c) {
    const Box& box = b.boxes[c];
    const auto [first_row, last_row] = taps_inside(y * p.stride, 1, p.stride, p.kernel, box.first_row, box.last_row);
    const auto [first, last] = taps_inside(x * p.stride, NX, p.stride, p.kernel, box.first_column, box.last_column);
    for (Index ky = first_row; ky < last_row; ++ky) {
      const S* HWY_RESTRICT in = b.frame + ((c * b.frame_size.height + y * p.stride + ky) * b.frame_size.width + x * p.stride + first) * n;
      const S* HWY_RESTRICT w = t.weights + ((c * p.kernel + ky) * p.kernel + first) * p.outputs + o;
      for (Index kx = first; kx < last; ++kx, in += n, w += p.outputs) {
        V pixel[NX];
        FFZERO_UNROLL
        for (int k = 0; k < NX; ++k) pixel[k] = hn::Load(d, in + k * column_step);
        FFZERO_UNROLL
        for (int i = 0; i < NO; ++i) {
          const V weight = hn::Set(d, w[i]);
          FFZERO_UNROLL
          for (int k = 0; k < NX; ++k) sum[i][k] = hn::MulAdd(weight, pixel[k], sum[i][k]);
        }
      }
    }
  }
  FFZERO_UNROLL
  for (int i = 0; i < NO; ++i) {
    FFZERO_UNROLL
    for (int k = 0; k < NX; ++k) hn::Store(sum[i][k], d, row + (o + i) * b.plane + (x + k) * n);
  }
}

template <int NO, int NX, class S>
void conv_columns(const Block<S>& b, Index y, Index x, Index o, S* row) {
  const Index left = b.task.pass.out_width - x;
  if (left >= NX) {
    conv_tile<NO, NX>(b, y, x, o, row);
    conv_columns<NO, NX>(b, y, x + NX, o, row);
  } else if constexpr (NX > 1) {
    conv_columns<NO, NX - 1>(b, y, x, o, row);
  }
}

/// Output row y, planes o and after, to `row`, where plane 0 of that row begins.
template <int NO, class S>
void conv_planes(const Block<S>& b, Index y, Index o, S* row) {
  while (b.task.pass.outputs - o >= NO) {
    conv_columns<NO, std::min(kTileColumns, kAccumulators / NO)>(b, y, 0, o, row);
    o += NO;
  }
  if constexpr (NO > 1) {
    if (o < b.task.pass.outputs) conv_planes<NO / 2>(b, y, o, row);
  }
}

/// Adds the lanes of v to as many doubles.
template <class S, class V>
HWY_INLINE void add_in_double(V v, double* HWY_RESTRICT total) {
  constexpr Index n = lanes<S>();
  HWY_ALIGN S values[n];
  hn::Store(v, hn::ScalableTag<S>(), values);
  for (Index l = 0; l < n; ++l) total[l] += static_cast<double>(values[l]);
}

/// totals (outputs, 3, lanes) += sums over the first `positions` of the chunk.
template <class S>
void add_statistics(const Block<S>& b, Index positions, double* HWY_RESTRICT totals) {
  const hn::ScalableTag<S> d;
  constexpr Index n = lanes<S>();
  const ConvTask<S>& t = b.task;
  for (Index o = 0; o < t.pass.outputs; ++o) {
    const S* v = b.chunk + o * b.plane;
    const Index mate = t.mate != nullptr ? t.mate[o] : -1;
    const S* other = b.chunk + std::max<Index>(mate, 0) * b.plane;
    auto sum = hn::Zero(d), square = hn::Zero(d), cross = hn::Zero(d);
    for (Index i = 0; i < positions * n; i += n) {
      const auto value = hn::Load(d, v + i);
      sum = hn::Add(sum, value);
      square = hn::MulAdd(value, value, square);
      if (mate >= 0) cross = hn::MulAdd(value, hn::Load(d, other + i), cross);
    }
    double* total = totals + o * 3 * n;
    add_in_double<S>(sum, total);
    add_in_double<S>(square, total + n);
    if (mate >= 0) add_in_double<S>(cross, total + 2 * n);
  }
}

/// Sums of MAPS planes times SIZE columns of the read-out matrix of their common read-out plane, over `positions` of the chunk.
template <int MAPS, int SIZE, class S>
HWY_INLINE void project_tile(const S* const* HWY_RESTRICT maps, Index positions, const S* HWY_RESTRICT readout, Index readout_step,
                             S* const* HWY_RESTRICT out) {
  const hn::ScalableTag<S> d;
  using V = hn::Vec<decltype(d)>;
  constexpr Index n = lanes<S>();
  V sum[MAPS][SIZE];
  FFZERO_UNROLL
  for (int m = 0; m < MAPS; ++m) {
    FFZERO_UNROLL
    for (int i = 0; i < SIZE; ++i) sum[m][i] = hn::Load(d, out[m] + i * n);
  }
  for (Index x = 0; x < positions; ++x, readout += readout_step) {
    V value[MAPS];
    FFZERO_UNROLL
    for (int m = 0; m < MAPS; ++m) value[m] = hn::Load(d, maps[m] + x * n);
    FFZERO_UNROLL
    for (int i = 0; i < SIZE; ++i) {
      const V factor = hn::Set(d, readout[i]);
      FFZERO_UNROLL
      for (int m = 0; m < MAPS; ++m) sum[m][i] = hn::MulAdd(factor, value[m], sum[m][i]);
    }
  }
  FFZERO_UNROLL
  for (int m = 0; m < MAPS; ++m) {
    FFZERO_UNROLL
    for (int i = 0; i < SIZE; ++i) hn::Store(sum[m][i], d, out[m] + i * n);
  }
}

template <int MAPS, int SIZE, class S>
void project_sizes(const S* const* maps, Index positions, const S* readout, Index readout_size, S* const* out, Index first) {
  const Index left = readout_size - first;
  if (left >= SIZE) {
    S* shifted[MAPS];
    for (int m = 0; m < MAPS; ++m) shifted[m] = out[m] + first * lanes<S>();
    project_tile<MAPS, SIZE>(maps, positions, readout + first, readout_size, shifted);
    project_sizes<MAPS, SIZE>(maps, positions, readout, readout_size, out, first + SIZE);
  } else if constexpr (SIZE > 1) {
    project_sizes<MAPS, SIZE - 1>(maps, positions, readout, readout_size, out, first);
  }
}

/// totals (outputs, readout_size, lanes) += read-out of the chunk, which begins at position `first` of the maps.
template <class S>
void add_projection(const Block<S>& b, Index first, Index positions, S* totals) {
  constexpr Index n = lanes<S>();
  constexpr int kSize = kAccumulators / 2 > 10 ? 10 : 5;
  const ConvTask<S>& t = b.task;
  const Index step = t.readout_planes, size = t.readout_size;
  for (Index plane = 0; plane < step; ++plane) {
    const S* readout = t.readout + (plane * t.pass.positions() + first) * size;
    Index o = plane;
    for (; o + step < t.pass.outputs; o += 2 * step) {
      const S* maps[2] = {b.chunk + o * b.plane, b.chunk + (o + step) * b.plane};
      S* out[2] = {totals + o * size * n, totals + (o + step) * size * n};
      project_sizes<2, kSize>(maps, positions, readout, size, out, 0);
    }
    if (o < t.pass.outputs) {
      const S* maps[1] = {b.chunk + o * b.plane};
      S* out[1] = {totals + o * size * n};
      project_sizes<1, kSize>(maps, positions, readout, size, out, 0);
    }
  }
}

/// The chunk, which begins at position `first` of the maps, to its places in the samples' rows.
template <class S>
void unpack_maps(const Block<S>& b, Index first, Index positions, Index rows, S* HWY_RESTRICT maps) {
  const ConvTask<S>& t = b.task;
  for (Index o = 0; o < t.pass.outputs; ++o) {
    const S scale = t.scale != nullptr ? t.scale[o] : S{1}, shift = t.shift != nullptr ? t.shift[o] : S{0};
    from_lanes(b.chunk + o * b.plane, positions, scale, shift, maps + o * t.pass.positions() + first, t.maps_stride, rows);
  }
}

template <class S>
void run_conv_block(const Block<S>& b, Index chunk_rows, Index rows, S* projected, double* totals, S* maps, S* projected_rows) {
  constexpr Index n = lanes<S>();
  const ConvTask<S>& t = b.task;
  const WindowPass& p = t.pass;
  const Index sizes = p.outputs * t.readout_size;
  std::fill_n(totals, p.outputs * 3 * n, 0.0);
  if (t.projected != nullptr) std::fill_n(projected, sizes * n, S{0});
  for (Index first = 0; first < p.out_height; first += chunk_rows) {
    const Index last = std::min(p.out_height, first + chunk_rows), positions = (last - first) * p.out_width;
    for (Index y = first; y < last; ++y) conv_planes<kTilePlanes>(b, y, 0, b.chunk + (y - first) * p.out_width * n);
    if (t.sums != nullptr) add_statistics(b, positions, totals);
    if (t.projected != nullptr) add_projection(b, first * p.out_width, positions, projected);
    if (t.maps != nullptr) unpack_maps(b, first * p.out_width, positions, rows, maps);
  }
  if (t.sums != nullptr)
    for (Index i = 0; i < p.outputs * 3; ++i)
      for (Index l = 0; l < rows; ++l) t.sums[i] += totals[i * n + l];
  if (t.projected != nullptr) from_lanes(projected, sizes, S{1}, S{0}, projected_rows, t.projected_stride, rows);
}

template <class S>
void run_conv_typed(const ConvTask<S>& t, const S* x, Index x_stride, Index rows) {
  constexpr Index n = lanes<S>();
  const WindowPass& p = t.pass;
  const Frame f(p);
  static thread_local Scratch<S> scratch;
  static thread_local Scratch<double> double_scratch;
  static thread_local Scratch<Box> boxes;
  const Index cut_for = t.outputs_of_chunk > 0 ? t.outputs_of_chunk : p.outputs;
  const Index row_bytes = cut_for * p.out_width * n * static_cast<Index>(sizeof(S));
  const Index chunk_rows = std::clamp<Index>(std::min(kChunkBytes / row_bytes, kChunkPositions / p.out_width), 1, p.out_height);
  const Index frame_size = p.input.channels * f.height * f.width * n, plane = chunk_rows * p.out_width * n;
  const Index projected_size = t.projected != nullptr ? p.outputs * t.readout_size * n : 0;
  S* frame = scratch.reserve(frame_size + p.outputs * plane + projected_size);
  const Block<S> block{
      .task = t, .frame_size = f, .frame = frame, .boxes = boxes.reserve(p.input.channels), .chunk = frame + frame_size, .plane = plane};
  double* totals = double_scratch.reserve(p.outputs * 3 * n);
  std::fill_n(frame, frame_size, S{0});
  if (t.sums != nullptr) std::fill_n(t.sums, p.outputs * 3, 0.0);
  for (Index b = 0; b < rows; b += n) {
    const Index here = std::min(n, rows - b);
    pack(p, f, x + b * x_stride, x_stride, here, frame, boxes.reserve(p.input.channels));
    run_conv_block(block, chunk_rows, here, block.chunk + p.outputs * plane, totals,
                   t.maps != nullptr ? t.maps + b * t.maps_stride : nullptr,
                   t.projected != nullptr ? t.projected + b * t.projected_stride : nullptr);
  }
}

/// One kernel row of NO planes: totals[i][kx] += sum over positions of gy_i times the pixel under tap kx, for NK taps.
template <int NO, int NK, class S>
HWY_INLINE void gradient_tile(const WindowPass& p, const Frame& f, const S* HWY_RESTRICT frame, const Box& box, const S* HWY_RESTRICT gy,
                              Index c, Index ky, Index kx, Index o, S* HWY_RESTRICT totals) {
  const hn::ScalableTag<S> d;
  using V = hn::Vec<decltype(d)>;
  constexpr Index n = lanes<S>();
  const Index plane = p.positions() * n, tap = (c * p.kernel + ky) * p.kernel + kx;
  V sum[NO][NK];
  FFZERO_UNROLL
  for (int i = 0; i < NO; ++i) {
    FFZERO_UNROLL
    for (int k = 0; k < NK; ++k) sum[i][k] = hn::Load(d, totals + ((o + i) * p.taps() + tap + k) * n);
  }
  // Positions whose pixels can be other than zero.
  const Index first = std::max<Index>(0, (box.first_column - kx - NK + p.stride) / p.stride);
  const Index last = std::min(p.out_width, (box.last_column - kx + p.stride - 1) / p.stride);
  for (Index y = 0; y < p.out_height; ++y) {
    const Index u = y * p.stride + ky;
    if (u < box.first_row || u >= box.last_row) continue;
    const S* HWY_RESTRICT in = frame + ((c * f.height + u) * f.width + kx + first * p.stride) * n;
    const S* HWY_RESTRICT g = gy + o * plane + (y * p.out_width + first) * n;
    for (Index x = first; x < last; ++x, in += p.stride * n, g += n) {
      V pixel[NK];
      FFZERO_UNROLL
      for (int k = 0; k < NK; ++k) pixel[k] = hn::Load(d, in + k * n);
      FFZERO_UNROLL
      for (int i = 0; i < NO; ++i) {
        const V slope = hn::Load(d, g + i * plane);
        FFZERO_UNROLL
        for (int k = 0; k < NK; ++k) sum[i][k] = hn::MulAdd(slope, pixel[k], sum[i][k]);
      }
    }
  }
  FFZERO_UNROLL
  for (int i = 0; i < NO; ++i) {
    FFZERO_UNROLL
    for (int k = 0; k < NK; ++k) hn::Store(sum[i][k], d, totals + ((o + i) * p.taps() + tap + k) * n);
  }
}

template <int NO, int NK, class S>
void gradient_columns(const WindowPass& p, const Frame& f, const S* frame, const Box& box, const S* gy, Index c, Index ky, Index kx,
                      Index o, S* totals) {
  const Index left = p.kernel - kx;
  if (left >= NK) {
    gradient_tile<NO, NK>(p, f, frame, box, gy, c, ky, kx, o, totals);
    gradient_columns<NO, NK>(p, f, frame, box, gy, c, ky, kx + NK, o, totals);
  } else if constexpr (NK > 1) {
    gradient_columns<NO, NK - 1>(p, f, frame, box, gy, c, ky, kx, o, totals);
  }
}

template <int NO, class S>
void gradient_planes(const WindowPass& p, const Frame& f, const S* frame, const Box* boxes, const S* gy, Index o, S* totals) {
  while (p.outputs - o >= NO) {
    for (Index c = 0; c < p.input.channels; ++c)
      for (Index ky = 0; ky < p.kernel; ++ky)
        gradient_columns<NO, std::min(kTileColumns, kAccumulators / NO)>(p, f, frame, boxes[c], gy, c, ky, 0, o, totals);
    o += NO;
  }
  if constexpr (NO > 1) {
    if (o < p.outputs) gradient_planes<NO / 2>(p, f, frame, boxes, gy, o, totals);
  }
}

template <class S>
void kernel_gradient_typed(const WindowPass& p, const S* x, Index x_stride, const S* gy, Index gy_stride, Index rows, double* gradient) {
  constexpr Index n = lanes<S>();
  const Frame f(p);
  const WindowPass slopes{
      .input = {p.outputs, p.out_height, p.out_width}, .outputs = p.outputs, .out_height = p.out_height, .out_width = p.out_width};
  const Frame slope_frame(slopes);
  static thread_local Scratch<S> scratch;
  static thread_local Scratch<Box> box_scratch;
  const Index frame_size = p.input.channels * f.height * f.width * n;
  const Index gy_size = slopes.input.size() * n, total_size = p.outputs * p.taps() * n;
  S* frame = scratch.reserve(frame_size + gy_size + total_size);
  S* packed = frame + frame_size;
  Box* boxes = box_scratch.reserve(std::max(p.input.channels, p.outputs));
  S* totals = packed + gy_size;
  std::fill_n(frame, frame_size, S{0});
  std::fill_n(totals, total_size, S{0});
  for (Index b = 0; b < rows; b += n) {
    const Index here = std::min(n, rows - b);
    pack(slopes, slope_frame, gy + b * gy_stride, gy_stride, here, packed, boxes);
    pack(p, f, x + b * x_stride, x_stride, here, frame, boxes);
    gradient_planes<4>(p, f, frame, boxes, packed, 0, totals);
  }
  for (Index i = 0; i < p.outputs * p.taps(); ++i) {
    gradient[i] = 0.0;
    for (Index l = 0; l < n; ++l) gradient[i] += static_cast<double>(totals[i * n + l]);
  }
}

}  // namespace

void run_conv_float(const ConvTask<float>& task, const float* x, Index x_stride, Index rows) { run_conv_typed(task, x, x_stride, rows); }
void run_conv_double(const ConvTask<double>& task, const double* x, Index x_stride, Index rows) { run_conv_typed(task, x, x_stride, rows); }
void kernel_gradient_float(const WindowPass& pass, const float* x, Index x_stride, const float* gy, Index gy_stride, Index rows,
                           double* gradient) {
  kernel_gradient_typed(pass, x, x_stride, gy, gy_stride, rows, gradient);
}
void kernel_gradient_double(const WindowPass& pass, const double* x, Index x_stride, const double* gy, Index gy_stride, Index rows,
                            double* gradient) {
  kernel_gradient_typed(pass, x, x_stride, gy, gy_stride, rows, gradient);
}

}  // namespace HWY_NAMESPACE
}  // namespace ffzero::conv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::conv {

HWY_EXPORT(run_conv_float);
HWY_EXPORT(run_conv_double);
HWY_EXPORT(kernel_gradient_float);
HWY_EXPORT(kernel_gradient_double);

template <>
void run_conv<float>(const ConvTask<float>& task, const float* x, Index x_stride, Index rows) {
  HWY_DYNAMIC_DISPATCH(run_conv_float)(task, x, x_stride, rows);
}

template <>
void run_conv<double>(const ConvTask<double>& task, const double* x, Index x_stride, Index rows) {
  HWY_DYNAMIC_DISPATCH(run_conv_double)(task, x, x_stride, rows);
}

template <>
void kernel_gradient<float>(const WindowPass& pass, const float* x, Index x_stride, const float* gy, Index gy_stride, Index rows,
                            double* gradient) {
  HWY_DYNAMIC_DISPATCH(kernel_gradient_float)(pass, x, x_stride, gy, gy_stride, rows, gradient);
}

template <>
void kernel_gradient<double>(const WindowPass& pass, const double* x, Index x_stride, const double* gy, Index gy_stride, Index rows,
                             double* gradient) {
  HWY_DYNAMIC_DISPATCH(kernel_gradient_double)(pass, x, x_stride, gy, gy_stride, rows, gradient);
}

}  // namespace ffzero::conv
#endif
