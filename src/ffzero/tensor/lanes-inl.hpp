// Exchange of rows in memory with lanes of vectors, for kernels that are compiled once per processor target. Include after foreach_target.
// SPDX-License-Identifier: MIT
#if defined(FFZERO_TENSOR_LANES_INL) == defined(HWY_TARGET_TOGGLE)  // once per target
#ifdef FFZERO_TENSOR_LANES_INL
#undef FFZERO_TENSOR_LANES_INL
#else
#define FFZERO_TENSOR_LANES_INL
#endif

#include <hwy/highway.h>

#include "ffzero/base/index.hpp"

#undef FFZERO_UNROLL
#if defined(__clang__)
#define FFZERO_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FFZERO_UNROLL _Pragma("GCC unroll 16")
#endif

HWY_BEFORE_NAMESPACE();
namespace ffzero::lanes::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class S>
constexpr Index count() {
  return static_cast<Index>(hn::MaxLanes(hn::ScalableTag<S>()));
}

/// The next vector of numbers, as doubles.
HWY_INLINE hn::Vec<hn::ScalableTag<double>> load_doubles(const float* p) {
  const hn::ScalableTag<double> d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, decltype(d)>(), p));
}
HWY_INLINE hn::Vec<hn::ScalableTag<double>> load_doubles(const double* p) { return hn::LoadU(hn::ScalableTag<double>(), p); }

#if HWY_TARGET != HWY_SCALAR

/// Numbers in 128 bits, the unit in which rows are exchanged between memory and lanes.
template <class S>
constexpr Index block_size() {
  return 16 / static_cast<Index>(sizeof(S));
}

/// A register whose block i comes from memory + i * step.
template <class D, class S>
HWY_INLINE hn::Vec<D> load_blocks(D d, const S* HWY_RESTRICT memory, Index step) {
  if constexpr (static_cast<Index>(hn::MaxLanes(d)) <= block_size<S>()) {
    return hn::LoadU(d, memory);
  } else {
    const hn::Half<D> half;
    const Index upper = static_cast<Index>(hn::MaxLanes(half)) / block_size<S>();
    return hn::Combine(d, load_blocks(half, memory + upper * step, step), load_blocks(half, memory, step));
  }
}

/// The reverse.
template <class D, class S>
HWY_INLINE void store_blocks(D d, hn::Vec<D> v, S* HWY_RESTRICT memory, Index step) {
  if constexpr (static_cast<Index>(hn::MaxLanes(d)) <= block_size<S>()) {
    hn::StoreU(v, d, memory);
  } else {
    const hn::Half<D> half;
    const Index upper = static_cast<Index>(hn::MaxLanes(half)) / block_size<S>();
    store_blocks(half, hn::LowerHalf(half, v), memory, step);
    store_blocks(half, hn::UpperHalf(half, v), memory + upper * step, step);
  }
}

/// Number k of block i of register j <-> number j of block i of register k.
template <class D>
HWY_INLINE void transpose_blocks(D d, hn::Vec<D>* v) {
  constexpr Index n = block_size<hn::TFromD<D>>();
  if constexpr (n == 2) {
    const auto low = hn::InterleaveLower(d, v[0], v[1]), high = hn::InterleaveUpper(d, v[0], v[1]);
    v[0] = low;
    v[1] = high;
  } else if constexpr (n == 4) {
    const hn::RepartitionToWide<D> wide;
    const auto pairs = [&](auto x) HWY_ATTR { return hn::BitCast(wide, x); };
    const auto a = pairs(hn::InterleaveLower(d, v[0], v[1])), b = pairs(hn::InterleaveUpper(d, v[0], v[1]));
    const auto e = pairs(hn::InterleaveLower(d, v[2], v[3])), f = pairs(hn::InterleaveUpper(d, v[2], v[3]));
    v[0] = hn::BitCast(d, hn::InterleaveLower(wide, a, e));
    v[1] = hn::BitCast(d, hn::InterleaveUpper(wide, a, e));
    v[2] = hn::BitCast(d, hn::InterleaveLower(wide, b, f));
    v[3] = hn::BitCast(d, hn::InterleaveUpper(wide, b, f));
  }
}

/// Calls work(k) for columns k, k + size, ...; the last call goes back so that it ends with the last column.
template <class Work>
HWY_INLINE void for_column_blocks(Index columns, Index size, Work&& work) {
  for (Index k = 0; k + size <= columns; k += size) work(k);
  if (columns % size != 0) work(columns - size);
}

/// As many rows as D has lanes: source (lanes, columns) with row stride -> target + place(column); columns >= block_size.
template <class D, class S, class Place>
HWY_INLINE void transpose_rows(D d, const S* HWY_RESTRICT source, Index row_stride, Index columns, S* HWY_RESTRICT target, Place place) {
  constexpr Index size = block_size<S>();
  for_column_blocks(columns, size, [&](Index k) HWY_ATTR {
    hn::Vec<D> v[size];
    FFZERO_UNROLL
    for (Index j = 0; j < size; ++j) v[j] = load_blocks(d, source + j * row_stride + k, size * row_stride);
    transpose_blocks(d, v);
    FFZERO_UNROLL
    for (Index j = 0; j < size; ++j) hn::StoreU(v[j], d, target + place(k + j));
  });
}

#endif  // HWY_TARGET != HWY_SCALAR

/// source (rows, columns) with row stride -> lanes at target + place(column); lanes beyond rows are zero.
template <class S, class Place>
HWY_INLINE void to_lanes(const S* HWY_RESTRICT source, Index row_stride, Index rows, Index columns, S* HWY_RESTRICT target, Place place) {
  constexpr Index n = count<S>();
  Index done = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr Index size = block_size<S>();
  if (columns >= size) {
    if (rows == n) return transpose_rows(hn::ScalableTag<S>(), source, row_stride, columns, target, place);
    for (; done + size <= rows; done += size)
      transpose_rows(hn::FixedTag<S, size>(), source + done * row_stride, row_stride, columns, target + done, place);
  }
#endif
  for (Index k = 0; k < columns; ++k)
    for (Index l = done; l < n; ++l) target[place(k) + l] = l < rows ? source[l * row_stride + k] : S{0};
}

}  // namespace ffzero::lanes::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
