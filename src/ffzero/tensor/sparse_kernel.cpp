// Products with matrices that are mostly zero, compiled once per processor target. Vectors run along the outputs: every entry multiplies
// one row of the other operand, which is packed so that such rows lie side by side, and a tile of sums stays in registers.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/sparse_kernel-inl.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include "ffzero/tensor/aligned_matrix.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/tensor/sparse_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ffzero/tensor/lanes-inl.hpp"

#ifndef FFZERO_SPARSE_KERNEL_ONCE
#define FFZERO_SPARSE_KERNEL_ONCE
namespace ffzero::sparse_kernel {
namespace {

/// Of a packed operand, as much as stays in the first cache while all lines pass by.
constexpr Index kBlockBytes = 30 * 1024;
/// Vectors of a tile.
constexpr int kTile = 8;

}  // namespace
}  // namespace ffzero::sparse_kernel
#endif

HWY_BEFORE_NAMESPACE();
namespace ffzero::sparse_kernel::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
namespace ln = ffzero::lanes::HWY_NAMESPACE;

template <class S>
Index count_typed(View<S> x, Index rows, Index columns) {
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  std::size_t total = 0;
  for (Index i = 0; i < rows; ++i) {
    const S* row = x.data + i * x.stride;
    Index k = 0;
    for (; k + n <= columns; k += n) total += hn::CountTrue(d, hn::Not(hn::Eq(hn::LoadU(d, row + k), hn::Zero(d))));
    for (; k < columns; ++k) total += row[k] != S{0} ? 1 : 0;
  }
  return isize(total);
}

#if HWY_TARGET == HWY_AVX2
/// For each set of 8 lanes: the lanes in the order of their places when those of the set come first, a byte each.
struct LaneOrders {
  std::uint8_t of[256][8];
};

constexpr LaneOrders lane_orders() {
  LaneOrders orders{};
  for (unsigned set = 0; set < 256; ++set) {
    int place = 0;
    for (const unsigned wanted : {1U, 0U})
      for (unsigned lane = 0; lane < 8; ++lane)
        if ((set >> lane & 1U) == wanted) orders.of[set][place++] = static_cast<std::uint8_t>(lane);
  }
  return orders;
}

alignas(64) constexpr LaneOrders kLaneOrders = lane_orders();

/// Writes all lanes of the values and of their positions, those that are kept first. Compress of Highway has its table in the function, and
/// g++ copies that to the stack, a kilobyte for eight numbers.
inline HWY_ATTR void store_kept(hn::Vec<hn::ScalableTag<float>> values, hn::Vec<hn::ScalableTag<std::uint32_t>> positions,
                                hn::Mask<hn::ScalableTag<float>> kept, float* to, std::uint32_t* places) {
  const hn::ScalableTag<float> d;
  const hn::ScalableTag<std::uint32_t> integers;
  std::uint8_t set[8] = {};
  hn::StoreMaskBits(d, kept, set);
  const auto order = hn::PromoteTo(integers, hn::LoadU(hn::Rebind<std::uint8_t, decltype(integers)>(), kLaneOrders.of[set[0]]));
  hn::StoreU(hn::TableLookupLanes(values, hn::IndicesFromVec(d, order)), d, to);
  hn::StoreU(hn::TableLookupLanes(positions, hn::IndicesFromVec(integers, order)), integers, places);
}
#endif

/// The same for any number of lanes.
template <class V, class P, class M, class S>
HWY_INLINE HWY_ATTR void store_kept(V values, P positions, M kept, S* to, Position<S>* places) {
  const hn::ScalableTag<S> d;
  const hn::ScalableTag<Position<S>> integers;
  hn::StoreU(hn::Compress(values, kept), d, to);
  hn::StoreU(hn::Compress(positions, hn::RebindMask(integers, kept)), integers, places);
}

template <class S>
Index compress_typed(View<S> x, Index lines, Index length, S* values, Position<S>* positions, std::uint32_t* ends) {
  const hn::ScalableTag<S> d;
  const hn::ScalableTag<Position<S>> integers;
  constexpr Index n = ln::count<S>();
  static_assert(kPiece % n == 0 && n <= kSlack);
  const auto lane = hn::Iota(integers, 0);
  Index entries = 0;
  *ends++ = static_cast<std::uint32_t>(entries);
  const auto take = [&](const S* from, Index at) HWY_ATTR {
    const auto v = hn::LoadU(d, from);
    const auto kept = hn::Not(hn::Eq(v, hn::Zero(d)));
    store_kept(v, hn::Add(lane, hn::Set(integers, static_cast<Position<S>>(at))), kept, values + entries, positions + entries);
    entries += isize(hn::CountTrue(d, kept));
  };
  for (Index i = 0; i < lines; ++i) {
    const S* row = x.data + i * x.stride;
    for (Index piece = 0; piece < length; piece += kPiece) {
      const Index end = std::min(piece + kPiece, length);
      Index k = piece;
      for (; k + n <= end; k += n) take(row + k, k);
      if (k < end) {
        HWY_ALIGN S rest[n] = {};
        std::copy(row + k, row + end, rest);
        take(rest, k);
      }
      *ends++ = static_cast<std::uint32_t>(entries);
    }
  }
  return entries;
}

template <class S>
void transpose_typed(View<S> x, Index rows, Index columns, S* to) {
  constexpr Index n = ln::count<S>();
  Index i = 0;
  for (; i + n <= rows; i += n)
    ln::to_lanes(x.data + i * x.stride, x.stride, n, columns, to + i, [&](Index k) HWY_ATTR { return k * rows; });
  for (Index k = 0; k < columns && i < rows; ++k)
    for (Index r = i; r < rows; ++r) to[k * rows + r] = x.data[r * x.stride + k];
}

/// sum[v] += value * rows of `packed` (positions, NV vectors), for the entries [begin, end).
template <int NV, class S, class V>
HWY_INLINE void add_entries(const Lines<S>& x, Index begin, Index end, const S* HWY_RESTRICT packed, V (&sum)[NV]) {
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  for (Index e = begin; e < end; ++e) {
    const V value = hn::Set(d, x.values[e]);
    const S* HWY_RESTRICT row = packed + static_cast<Index>(x.positions[e]) * (NV * n);
    FFZERO_UNROLL
    for (int v = 0; v < NV; ++v) sum[v] = hn::MulAdd(value, hn::Load(d, row + v * n), sum[v]);
  }
}

/// v to the first `width` <= NV vectors' numbers at `to`, and nothing beyond.
template <int NV, class S, class V>
HWY_INLINE void store_width(const V (&v)[NV], Index width, S* HWY_RESTRICT to) {
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  FFZERO_UNROLL
  for (int i = 0; i < NV; ++i) {
    const Index left = width - i * n;
    if (left >= n) {
      hn::StoreU(v[i], d, to + i * n);
      continue;
    }
#if HWY_TARGET <= HWY_AVX2
    hn::BlendedStore(v[i], hn::FirstN(d, static_cast<std::size_t>(std::max<Index>(left, 0))), d, to + i * n);
#else
    HWY_ALIGN S rest[n];
    hn::Store(v[i], d, rest);
    if (left > 0) std::copy_n(rest, left, to + i * n);
#endif
  }
}

/// `width` columns of c = start + x times the packed operand (length, NV vectors); sums: scratch (lines, NV vectors).
template <int NV, class S>
void product_tile(const Lines<S>& x, const S* packed, const S* HWY_RESTRICT start, S* HWY_RESTRICT sums, Index width, S* HWY_RESTRICT c,
                  Index c_stride) {
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  constexpr Index kBlock = std::max<Index>(1, kBlockBytes / (NV * n * static_cast<Index>(sizeof(S)) * kPiece));
  const Index pieces = pieces_of(x.length);
  for (Index piece = 0; piece < pieces; piece += kBlock) {
    const Index last = std::min(piece + kBlock, pieces);
    for (Index i = 0; i < x.lines; ++i) {
      S* HWY_RESTRICT own = sums + i * (NV * n);
      const S* HWY_RESTRICT from = piece == 0 ? start : own;
      hn::Vec<decltype(d)> sum[NV];
      FFZERO_UNROLL
      for (int v = 0; v < NV; ++v) sum[v] = hn::Load(d, from + v * n);
      add_entries<NV>(x, x.ends[i * pieces + piece], x.ends[i * pieces + last], packed, sum);
      if (last == pieces) {
        store_width<NV>(sum, width, c + i * c_stride);
        continue;
      }
      FFZERO_UNROLL
      for (int v = 0; v < NV; ++v) hn::Store(sum[v], d, own + v * n);
    }
  }
}

/// Calls work(std::integral_constant<int, vectors>), 1 <= vectors <= kTile.
template <int NV = kTile, class Work>
HWY_INLINE void with_vectors(Index vectors, Work&& work) {
  if constexpr (NV > 1) {
    if (vectors < NV) return with_vectors<NV - 1>(vectors, work);
  }
  work(std::integral_constant<int, NV>());
}

/// Tiles of products with rows that are dense: a block of kRows of them times kRowsTile vectors stays in registers.
constexpr int kRows = 6;
constexpr int kRowsTile = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
constexpr Index tile_of(Use use) { return use == Use::lines ? kTile : kRowsTile; }

/// Calls work(first output, outputs, vectors) for tiles of about the same width, at most `most` vectors, that cover the outputs.
template <class S, class Work>
HWY_INLINE void for_tiles(Index outputs, Index most, Work&& work) {
  constexpr Index n = ln::count<S>();
  const Index all = divide_up(outputs, n), tiles = divide_up(all, most);
  for (Index t = 0; t < tiles; ++t) {
    const Index first = t * all / tiles, last = (t + 1) * all / tiles;
    work(first * n, std::min(outputs, last * n) - first * n, last - first);
  }
}

/// Inputs [first, last) of b (outputs, length) to their places in the packed operand.
template <class S>
void pack_typed(View<S> b, Packing packing, Index first, Index last, S* packed) {
  constexpr Index n = ln::count<S>();
  for_tiles<S>(packing.outputs, tile_of(packing.use), [&](Index begin, Index width, Index vectors) HWY_ATTR {
    const Index stride = vectors * n;
    S* to = packed + begin * packing.length + first * stride;
    for (Index o = 0; o < width; o += n)
      ln::to_lanes(b.data + (begin + o) * b.stride + first, b.stride, std::min(n, width - o), last - first, to + o,
                   [&](Index k) HWY_ATTR { return k * stride; });
  });
}

template <class S>
void affine_lines_typed(const Lines<S>& x, const S* packed, Index outputs, const S* offset, S* c, Index c_stride) {
  constexpr Index n = ln::count<S>();
  static thread_local AlignedMatrix<S> scratch;  // kept between calls: no allocation in a step
  for_tiles<S>(outputs, kTile, [&](Index first, Index width, Index vectors) HWY_ATTR {
    scratch.resize(1, (x.lines + 1) * vectors * n);
    S* start = scratch.view().data();
    std::copy_n(offset + first, width, start);
    std::fill(start + width, start + vectors * n, S{0});
    with_vectors(vectors, [&](auto nv) HWY_ATTR {
      product_tile<decltype(nv)::value>(x, packed + first * x.length, start, start + vectors * n, width, c + first, c_stride);
    });
  });
}

/// NR rows of x times a tile of the packed operand (length, NV vectors), from `start` (NV vectors), to `width` columns of c.
template <int NR, int NV, class S>
HWY_INLINE void rows_tile(View<S> x, Index length, const S* HWY_RESTRICT packed, const S* HWY_RESTRICT start, Index width,
                          S* HWY_RESTRICT c, Index c_stride) {
  const hn::ScalableTag<S> d;
  using V = hn::Vec<decltype(d)>;
  constexpr Index n = ln::count<S>();
  V sum[NR][NV];
  FFZERO_UNROLL
  for (int r = 0; r < NR; ++r) {
    FFZERO_UNROLL
    for (int v = 0; v < NV; ++v) sum[r][v] = hn::Load(d, start + v * n);
  }
  for (Index k = 0; k < length; ++k, packed += NV * n) {
    V weight[NV];
    FFZERO_UNROLL
    for (int v = 0; v < NV; ++v) weight[v] = hn::Load(d, packed + v * n);
    FFZERO_UNROLL
    for (int r = 0; r < NR; ++r) {
      const V value = hn::Set(d, x.data[r * x.stride + k]);
      FFZERO_UNROLL
      for (int v = 0; v < NV; ++v) sum[r][v] = hn::MulAdd(value, weight[v], sum[r][v]);
    }
  }
  FFZERO_UNROLL
  for (int r = 0; r < NR; ++r) store_width<NV>(sum[r], width, c + r * c_stride);
}

/// All rows of x; `vectors` <= NV of a tile.
template <int NV, class S>
void rows_tiles(Index vectors, View<S> x, Index rows, Index length, const S* packed, const S* start, Index width, S* c, Index c_stride) {
  if constexpr (NV > 1) {
    if (vectors < NV) return rows_tiles<NV - 1>(vectors, x, rows, length, packed, start, width, c, c_stride);
  }
  Index i = 0;
  for (; i + kRows <= rows; i += kRows)
    rows_tile<kRows, NV>({x.data + i * x.stride, x.stride}, length, packed, start, width, c + i * c_stride, c_stride);
  // What is left in as few passes as possible: few sums wait for each other.
  if (i + 4 <= rows) {
    rows_tile<4, NV>({x.data + i * x.stride, x.stride}, length, packed, start, width, c + i * c_stride, c_stride);
    i += 4;
  }
  if (i + 2 <= rows) {
    rows_tile<2, NV>({x.data + i * x.stride, x.stride}, length, packed, start, width, c + i * c_stride, c_stride);
    i += 2;
  }
  if (i < rows) rows_tile<1, NV>({x.data + i * x.stride, x.stride}, length, packed, start, width, c + i * c_stride, c_stride);
}

/// offset null: 0.
template <class S>
void affine_rows_typed(View<S> x, Index rows, Index length, const S* packed, Index outputs, const S* offset, S* c, Index c_stride) {
  constexpr Index size = kRowsTile * ln::count<S>();
  for_tiles<S>(outputs, kRowsTile, [&](Index first, Index width, Index vectors) HWY_ATTR {
    HWY_ALIGN S start[size];
    std::fill_n(start, size, S{0});
    if (offset != nullptr) std::copy_n(offset + first, width, start);
    rows_tiles<kRowsTile>(vectors, x, rows, length, packed + first * length, start, width, c + first, c_stride);
  });
}

/// c (outputs, columns) += the transpose of block (columns, outputs), whose rows are `stride` numbers apart.
template <class S>
void add_transposed(const S* HWY_RESTRICT block, Index stride, Index columns, Index outputs, S* HWY_RESTRICT c, Index c_stride) {
  Index o = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  constexpr Index size = ln::block_size<S>();
  for (; o + n <= outputs; o += n) {
    Index k = 0;
    for (; k + size <= columns; k += size) {
      hn::Vec<decltype(d)> v[size];
      FFZERO_UNROLL
      for (Index j = 0; j < size; ++j) v[j] = hn::Load(d, block + (k + j) * stride + o);
      ln::transpose_blocks(d, v);
      FFZERO_UNROLL
      for (Index j = 0; j < size; ++j) {
        S* to = c + (o + j) * c_stride + k;
        ln::store_blocks(d, hn::Add(v[j], ln::load_blocks(d, to, size * c_stride)), to, size * c_stride);
      }
    }
    for (; k < columns; ++k)
      for (Index j = o; j < o + n; ++j) c[j * c_stride + k] += block[k * stride + j];
  }
#endif
  for (; o < outputs; ++o)
    for (Index k = 0; k < columns; ++k) c[o * c_stride + k] += block[k * stride + o];
}

/// block (lines, NV vectors) = the lines [first, first + count) of x times the packed operand (length, NV vectors).
template <int NV, class S>
void lines_tile(const Lines<S>& x, Index first, Index count, Index step, const S* packed, S* HWY_RESTRICT block) {
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  const Index pieces = pieces_of(x.length);
  for (Index line = first; count > 0; --count, line += step, block += step * NV * n) {
    hn::Vec<decltype(d)> sum[NV];
    FFZERO_UNROLL
    for (int v = 0; v < NV; ++v) sum[v] = hn::Zero(d);
    add_entries<NV>(x, x.ends[line * pieces], x.ends[(line + 1) * pieces], packed, sum);
    FFZERO_UNROLL
    for (int v = 0; v < NV; ++v) hn::Store(sum[v], d, block + v * n);
  }
}

template <class S>
void add_tn_typed(View<S> a, Index outputs, const Lines<S>& x, S* c, Index c_stride) {
  constexpr Index n = ln::count<S>();
  static thread_local AlignedMatrix<S> scratch;
  for_tiles<S>(outputs, kTile, [&](Index first, Index width, Index vectors) HWY_ATTR {
    const Index stride = vectors * n;
    scratch.resize(1, (x.length + kPiece) * stride);
    S* packed = scratch.view().data();
    S* block = packed + x.length * stride;
    for (Index i = 0; i < x.length; ++i) {
      std::copy_n(a.data + i * a.stride + first, width, packed + i * stride);
      std::fill(packed + i * stride + width, packed + (i + 1) * stride, S{0});
    }
    for (Index k = 0; k < x.lines; k += kPiece) {
      const Index columns = std::min(kPiece, x.lines - k);
      with_vectors(vectors, [&](auto nv) HWY_ATTR { lines_tile<decltype(nv)::value>(x, k, columns, 1, packed, block); });
      add_transposed(block, stride, columns, width, c + first * c_stride + k, c_stride);
    }
  });
}

// ---- Hadamard directions
// -----------------------------------------------------------------------------------------------------------------

/// signs (outputs, inputs), then (outputs), with those flipped that row `row`, a multiple of 16, of the Hadamard matrix flips.
template <class S>
void flip_signs(const S* HWY_RESTRICT signs, Index size, Index row, S* HWY_RESTRICT flipped) {
  for (Index begin = 0; begin < size; begin += kClasses) {
    const bool negative = (std::popcount(static_cast<std::uint64_t>(row & begin)) & 1) != 0;
    const Index end = std::min(size, begin + kClasses);
    for (Index i = begin; i < end; ++i) flipped[i] = negative ? -signs[i] : signs[i];
  }
}

template <class D>
HWY_INLINE void butterflies(D, hn::Vec<D> (&v)[kClasses]) {
  FFZERO_UNROLL
  for (Index half = 1; half < kClasses; half *= 2) {
    FFZERO_UNROLL
    for (Index i = 0; i < kClasses; ++i) {
      if ((i & half) != 0) continue;
      const auto sum = hn::Add(v[i], v[i + half]);
      v[i + half] = hn::Sub(v[i], v[i + half]);
      v[i] = sum;
    }
  }
}

/// One tile of outputs on its way through hadamard_nt: positions in theta are taken modulo 16, which the first 16 rows of a Hadamard matrix
/// do not see beyond.
template <class S>
struct HadamardTile {
  Index first, width, stride;  // outputs, outputs, numbers of a line of the following
  S* packed;                   // (16, inputs of a class, stride)
  S* sums;                     // (rows, 16, stride): of the inputs of a class
  S* bias;                     // (16, stride): what the offsets add to each direction
  Position<S>* shift;          // (stride): class of an output's first weight
};

/// Sums by class of the position in theta, from those by class of the input: the weights of an output begin somewhere in the 16.
template <class D, class S>
HWY_INLINE void load_classes(D d, const S* HWY_RESTRICT sums, Index stride, const Position<S>* HWY_RESTRICT shift, Index step,
                             hn::Vec<D> (&v)[kClasses]) {
  const hn::RebindToUnsigned<D> integers;
  FFZERO_UNROLL
  for (Index c = 0; c < kClasses; ++c) v[c] = hn::Load(d, sums + c * stride);
  if (step == kClasses) return;
  const auto own = hn::Load(integers, shift);
  for (Index s = step; s < kClasses; s += step) {
    const auto here = hn::RebindMask(d, hn::Eq(own, hn::Set(integers, static_cast<Position<S>>(s))));
    FFZERO_UNROLL
    for (Index c = 0; c < kClasses; ++c) v[c] = hn::IfThenElse(here, hn::Load(d, sums + ((c - s) & (kClasses - 1)) * stride), v[c]);
  }
}

/// p: column j * outputs + o of direction j < directions <= 16.
template <class S>
void spread_directions(const HadamardTile<S>& tile, Index rows, Index step, Index outputs, Index directions, S* p, Index p_stride) {
  const hn::ScalableTag<S> d;
  constexpr Index n = ln::count<S>();
  for (Index b = 0; b < rows; ++b)
    for (Index o = 0; o < tile.width; o += n) {
      hn::Vec<decltype(d)> v[kClasses];
      load_classes(d, tile.sums + b * kClasses * tile.stride + o, tile.stride, tile.shift + o, step, v);
      butterflies(d, v);
      const Index some = std::min(n, tile.width - o);
      HWY_ALIGN S all[kClasses * n];
      FFZERO_UNROLL
      for (Index j = 0; j < kClasses; ++j) hn::Store(hn::Add(v[j], hn::Load(d, tile.bias + j * tile.stride + o)), d, all + j * n);
      S* to = p + b * p_stride + tile.first + o;
      if (some == n) {
        for (Index j = 0; j < directions; ++j) hn::StoreU(hn::Load(d, all + j * n), d, to + j * outputs);
      } else {
        for (Index j = 0; j < directions; ++j) std::copy_n(all + j * n, some, to + j * outputs);
      }
    }
}

template <class S>
void prepare_tile(const S* signs, Index inputs, Index outputs, const HadamardTile<S>& tile) {
  constexpr Index n = ln::count<S>();
  const Index class_inputs = divide_up(inputs, kClasses);
  for (Index o = 0; o < tile.width; o += n)
    ln::to_lanes(signs + (tile.first + o) * inputs, inputs, std::min(n, tile.width - o), inputs, tile.packed + o,
                 [&](Index k) HWY_ATTR { return (k % kClasses * class_inputs + k / kClasses) * tile.stride; });
  for (Index o = 0; o < tile.stride; ++o) {
    tile.shift[o] = static_cast<Position<S>>((tile.first + o) * inputs % kClasses);
    const Index at = outputs * inputs + tile.first + o;
    for (Index r = 0; r < kClasses; ++r) {
      const S value = o < tile.width ? signs[at] : S{0};
      tile.bias[r * tile.stride + o] = (std::popcount(static_cast<std::uint64_t>(r & at)) & 1) != 0 ? -value : value;
    }
  }
}

template <class S>
void hadamard_nt_typed(const Lines<S>& x, Index inputs, const S* signs, Index outputs, Index directions, S* p, Index p_stride) {
  constexpr Index n = ln::count<S>();
  static thread_local AlignedMatrix<S> scratch, flips;
  static thread_local AlignedMatrix<Position<S>> shifts;
  const Index rows = x.lines / kClasses, class_inputs = divide_up(inputs, kClasses), size = outputs * (inputs + 1);
  const Index step = std::gcd(inputs, kClasses);
  for (Index j = 0; j < directions; j += kClasses) {
    const S* own = signs;
    if (j > 0) {
      flips.resize(1, size);
      flip_signs(signs, size, j, flips.view().data());
      own = flips.view().data();
    }
    for_tiles<S>(outputs, kTile, [&](Index first, Index width, Index vectors) HWY_ATTR {
      const Index stride = vectors * n;
      scratch.resize(1, kClasses * (class_inputs + rows + 1) * stride);
      shifts.resize(1, stride);
      S* packed = scratch.view().data();
      const HadamardTile<S> tile{.first = first,
                                 .width = width,
                                 .stride = stride,
                                 .packed = packed,
                                 .sums = packed + kClasses * class_inputs * stride,
                                 .bias = packed + kClasses * (class_inputs + rows) * stride,
                                 .shift = shifts.view().data()};
      prepare_tile(own, inputs, outputs, tile);
      // A class of inputs after the other, so that its part of the packed signs stays in the first cache.
      for (Index c = 0; c < kClasses; ++c)
        with_vectors(vectors, [&](auto nv) HWY_ATTR {
          lines_tile<decltype(nv)::value>(x, c, rows, kClasses, packed + c * class_inputs * stride, tile.sums + c * stride);
        });
      spread_directions(tile, rows, step, outputs, std::min(kClasses, directions - j), p + j * outputs, p_stride);
    });
  }
}

/// to (rows * 16, stride): the columns of x by their number modulo 16, zeros behind them.
template <class S>
void split_classes_typed(View<S> x, Index rows, Index columns, Index stride, S* to) {
  constexpr Index n = ln::count<S>();
  const Index whole = columns / kClasses;
  for (Index b = 0; b < rows; ++b) {
    const S* from = x.data + b * x.stride;
    S* HWY_RESTRICT own = to + b * kClasses * stride;
    for (Index i = 0; i < whole; i += n)
      ln::to_lanes(from + i * kClasses, kClasses, std::min(n, whole - i), kClasses, own + i, [&](Index k) HWY_ATTR { return k * stride; });
    for (Index c = 0; c < kClasses; ++c) {
      const bool more = whole * kClasses + c < columns;
      if (more) own[c * stride + whole] = from[whole * kClasses + c];
      std::fill(own + c * stride + whole + (more ? 1 : 0), own + (c + 1) * stride, S{0});
    }
  }
}

}  // namespace

Index count_float(View<float> x, Index rows, Index columns) { return count_typed(x, rows, columns); }
Index count_double(View<double> x, Index rows, Index columns) { return count_typed(x, rows, columns); }
Index compress_float(View<float> x, Index lines, Index length, float* values, Position<float>* positions, std::uint32_t* ends) {
  return compress_typed(x, lines, length, values, positions, ends);
}
Index compress_double(View<double> x, Index lines, Index length, double* values, Position<double>* positions, std::uint32_t* ends) {
  return compress_typed(x, lines, length, values, positions, ends);
}
void transpose_float(View<float> x, Index rows, Index columns, float* to) { transpose_typed(x, rows, columns, to); }
void transpose_double(View<double> x, Index rows, Index columns, double* to) { transpose_typed(x, rows, columns, to); }
void pack_float(View<float> b, Packing packing, Index first, Index last, float* packed) { pack_typed(b, packing, first, last, packed); }
void affine_lines_float(const Lines<float>& x, const float* packed, Index outputs, const float* offset, float* c, Index c_stride) {
  affine_lines_typed(x, packed, outputs, offset, c, c_stride);
}
void affine_rows_float(View<float> x, Index rows, Index length, const float* packed, Index outputs, const float* offset, float* c,
                       Index c_stride) {
  affine_rows_typed(x, rows, length, packed, outputs, offset, c, c_stride);
}
void pack_double(View<double> b, Packing packing, Index first, Index last, double* packed) { pack_typed(b, packing, first, last, packed); }
void affine_lines_double(const Lines<double>& x, const double* packed, Index outputs, const double* offset, double* c, Index c_stride) {
  affine_lines_typed(x, packed, outputs, offset, c, c_stride);
}
void affine_rows_double(View<double> x, Index rows, Index length, const double* packed, Index outputs, const double* offset, double* c,
                        Index c_stride) {
  affine_rows_typed(x, rows, length, packed, outputs, offset, c, c_stride);
}
void add_tn_float(View<float> a, Index outputs, const Lines<float>& x, float* c, Index c_stride) {
  add_tn_typed(a, outputs, x, c, c_stride);
}
void add_tn_double(View<double> a, Index outputs, const Lines<double>& x, double* c, Index c_stride) {
  add_tn_typed(a, outputs, x, c, c_stride);
}
void split_classes_float(View<float> x, Index rows, Index columns, Index stride, float* to) {
  split_classes_typed(x, rows, columns, stride, to);
}
void split_classes_double(View<double> x, Index rows, Index columns, Index stride, double* to) {
  split_classes_typed(x, rows, columns, stride, to);
}
void hadamard_nt_float(const Lines<float>& x, Index inputs, const float* signs, Index outputs, Index directions, float* p, Index p_stride) {
  hadamard_nt_typed(x, inputs, signs, outputs, directions, p, p_stride);
}
void hadamard_nt_double(const Lines<double>& x, Index inputs, const double* signs, Index outputs, Index directions, double* p,
                        Index p_stride) {
  hadamard_nt_typed(x, inputs, signs, outputs, directions, p, p_stride);
}

}  // namespace ffzero::sparse_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::sparse_kernel {

HWY_EXPORT(count_float);
HWY_EXPORT(count_double);
HWY_EXPORT(compress_float);
HWY_EXPORT(compress_double);
HWY_EXPORT(transpose_float);
HWY_EXPORT(transpose_double);
HWY_EXPORT(pack_float);
HWY_EXPORT(pack_double);
HWY_EXPORT(affine_lines_float);
HWY_EXPORT(affine_lines_double);
HWY_EXPORT(affine_rows_float);
HWY_EXPORT(affine_rows_double);
HWY_EXPORT(add_tn_float);
HWY_EXPORT(add_tn_double);
HWY_EXPORT(split_classes_float);
HWY_EXPORT(split_classes_double);
HWY_EXPORT(hadamard_nt_float);
HWY_EXPORT(hadamard_nt_double);

Index count(View<float> x, Index rows, Index columns) { return HWY_DYNAMIC_DISPATCH(count_float)(x, rows, columns); }
Index count(View<double> x, Index rows, Index columns) { return HWY_DYNAMIC_DISPATCH(count_double)(x, rows, columns); }
Index compress(View<float> x, Index lines, Index length, float* values, Position<float>* positions, std::uint32_t* ends) {
  return HWY_DYNAMIC_DISPATCH(compress_float)(x, lines, length, values, positions, ends);
}
Index compress(View<double> x, Index lines, Index length, double* values, Position<double>* positions, std::uint32_t* ends) {
  return HWY_DYNAMIC_DISPATCH(compress_double)(x, lines, length, values, positions, ends);
}
void transpose(View<float> x, Index rows, Index columns, float* to) { HWY_DYNAMIC_DISPATCH(transpose_float)(x, rows, columns, to); }
void transpose(View<double> x, Index rows, Index columns, double* to) { HWY_DYNAMIC_DISPATCH(transpose_double)(x, rows, columns, to); }
void pack(View<float> b, Packing packing, Index first, Index last, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack_float)(b, packing, first, last, packed);
}
void affine_lines(const Lines<float>& x, const float* packed, Index outputs, const float* offset, float* c, Index c_stride) {
  HWY_DYNAMIC_DISPATCH(affine_lines_float)(x, packed, outputs, offset, c, c_stride);
}
void affine_rows(View<float> x, Index rows, Index length, const float* packed, Index outputs, const float* offset, float* c,
                 Index c_stride) {
  HWY_DYNAMIC_DISPATCH(affine_rows_float)(x, rows, length, packed, outputs, offset, c, c_stride);
}
void pack(View<double> b, Packing packing, Index first, Index last, double* packed) {
  HWY_DYNAMIC_DISPATCH(pack_double)(b, packing, first, last, packed);
}
void affine_lines(const Lines<double>& x, const double* packed, Index outputs, const double* offset, double* c, Index c_stride) {
  HWY_DYNAMIC_DISPATCH(affine_lines_double)(x, packed, outputs, offset, c, c_stride);
}
void affine_rows(View<double> x, Index rows, Index length, const double* packed, Index outputs, const double* offset, double* c,
                 Index c_stride) {
  HWY_DYNAMIC_DISPATCH(affine_rows_double)(x, rows, length, packed, outputs, offset, c, c_stride);
}
void add_tn(View<float> a, Index outputs, const Lines<float>& x, float* c, Index c_stride) {
  HWY_DYNAMIC_DISPATCH(add_tn_float)(a, outputs, x, c, c_stride);
}
void add_tn(View<double> a, Index outputs, const Lines<double>& x, double* c, Index c_stride) {
  HWY_DYNAMIC_DISPATCH(add_tn_double)(a, outputs, x, c, c_stride);
}
void split_classes(View<float> x, Index rows, Index columns, Index stride, float* to) {
  HWY_DYNAMIC_DISPATCH(split_classes_float)(x, rows, columns, stride, to);
}
void split_classes(View<double> x, Index rows, Index columns, Index stride, double* to) {
  HWY_DYNAMIC_DISPATCH(split_classes_double)(x, rows, columns, stride, to);
}
void hadamard_nt(const Lines<float>& x, Index inputs, const float* signs, Index outputs, Index directions, float* p, Index p_stride) {
  HWY_DYNAMIC_DISPATCH(hadamard_nt_float)(x, inputs, signs, outputs, directions, p, p_stride);
}
void hadamard_nt(const Lines<double>& x, Index inputs, const double* signs, Index outputs, Index directions, double* p, Index p_stride) {
  HWY_DYNAMIC_DISPATCH(hadamard_nt_double)(x, inputs, signs, outputs, directions, p, p_stride);
}

}  // namespace ffzero::sparse_kernel
#endif
