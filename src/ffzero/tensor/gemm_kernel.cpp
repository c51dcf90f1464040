// Products in float, compiled once per processor target. A shard of 64 samples meets 100 rows of weights: a BLAS spends a third of its time
// on packing both. Here vectors run along the long inner dimension, in which both lie in order already, and a tile of the result stays in
// registers until its sums are complete.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/gemm_kernel-inl.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/tensor/gemm_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// It needs masked loads that touch nothing beyond the mask.
#undef FFZERO_GEMM_SERVED
#if HWY_TARGET <= HWY_AVX2
#define FFZERO_GEMM_SERVED 1
#else
#define FFZERO_GEMM_SERVED 0
#endif

HWY_BEFORE_NAMESPACE();
namespace ffzero::gemm_kernel::HWY_NAMESPACE {

bool is_served() { return FFZERO_GEMM_SERVED != 0; }
const char* name() { return hwy::TargetName(HWY_TARGET); }

#if FFZERO_GEMM_SERVED
namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<float>;
using V = hn::Vec<Tag>;
constexpr Tag kTag;
constexpr Index kLanes = HWY_LANES(float);
constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;

constexpr Index kPanelNumbers = Index{1} << 17;
constexpr Index kDotRows = kManyRegisters ? 6 : 3;  // with four rows of b: 24 or 12 running sums
constexpr Index kDotColumns = 4;

/// The sums of four vectors.
HWY_INLINE hn::Vec<hn::Full128<float>> sums_of(V s0, V s1, V s2, V s3) {
  const hn::Repartition<std::uint64_t, Tag> pairs;
  const V s01 = hn::Add(hn::InterleaveLower(kTag, s0, s1), hn::InterleaveUpper(kTag, s0, s1));
  const V s23 = hn::Add(hn::InterleaveLower(kTag, s2, s3), hn::InterleaveUpper(kTag, s2, s3));
  const auto p01 = hn::BitCast(pairs, s01), p23 = hn::BitCast(pairs, s23);
  const V blocks =
      hn::Add(hn::BitCast(kTag, hn::InterleaveLower(pairs, p01, p23)), hn::BitCast(kTag, hn::InterleaveUpper(pairs, p01, p23)));
  const hn::Half<Tag> half;
  const auto folded = hn::Add(hn::UpperHalf(half, blocks), hn::LowerHalf(half, blocks));
#if HWY_TARGET <= HWY_AVX3
  const hn::Half<hn::Half<Tag>> quarter;
  return hn::Add(hn::UpperHalf(quarter, folded), hn::LowerHalf(quarter, folded));
#else
  return folded;
#endif
}

template <Index kRows>
HWY_INLINE void dot_tile(View a, const float* const (&b)[kDotColumns], Index inner, hn::Vec<hn::Full128<float>> (&out)[kRows]) {
  V sum[kRows][kDotColumns];
  HWY_UNROLL(8)
  for (Index i = 0; i < kRows; ++i)
    for (Index j = 0; j < kDotColumns; ++j) sum[i][j] = hn::Zero(kTag);
  const auto step = [&](auto load, Index k) HWY_ATTR {
    V x[kRows];
    HWY_UNROLL(8)
    for (Index i = 0; i < kRows; ++i) x[i] = load(a.data + i * a.stride + k);
    HWY_UNROLL(8)
    for (Index j = 0; j < kDotColumns; ++j) {
      const V w = load(b[j] + k);
      HWY_UNROLL(8)
      for (Index i = 0; i < kRows; ++i) sum[i][j] = hn::MulAdd(x[i], w, sum[i][j]);
    }
  };
  Index k = 0;
  for (; k + kLanes <= inner; k += kLanes) step([](const float* p) HWY_ATTR { return hn::LoadU(kTag, p); }, k);
  if (k < inner) {
    const auto some = hn::FirstN(kTag, static_cast<std::size_t>(inner - k));
    step([some](const float* p) HWY_ATTR { return hn::MaskedLoad(some, kTag, p); }, k);
  }
  HWY_UNROLL(8)
  for (Index i = 0; i < kRows; ++i) out[i] = sums_of(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
}

/// One tile of up to kRows rows and `columns` <= 4 columns.
template <Index kRows>
HWY_INLINE void dot_rows(View a, View b, Index columns, Index inner, Start start, float* c, Index c_stride) {
  const hn::Full128<float> four;
  // Columns beyond the last repeat it and are not written.
  const float* rows[kDotColumns];
  for (Index j = 0; j < kDotColumns; ++j) rows[j] = b.data + std::min(j, columns - 1) * b.stride;
  hn::Vec<hn::Full128<float>> out[kRows];
  dot_tile<kRows>(a, rows, inner, out);
  for (Index i = 0; i < kRows; ++i) {
    float* to = c + i * c_stride;
    if (columns == kDotColumns) {
      auto value = out[i];
      if (start.columns != nullptr)
        value = hn::Add(value, hn::LoadU(four, start.columns));
      else if (start.beta != 0.0F)
        value = hn::MulAdd(hn::Set(four, start.beta), hn::LoadU(four, to), value);
      hn::StoreU(value, four, to);
      continue;
    }
    alignas(16) float values[kDotColumns];
    hn::Store(out[i], four, values);
    for (Index j = 0; j < columns; ++j)
      to[j] = start.columns != nullptr ? values[j] + start.columns[j] : start.beta != 0.0F ? start.beta * to[j] + values[j] : values[j];
  }
}

/// A block of rows of a against all columns of b.
HWY_INLINE void dot_block(View a, Index rows, View b, Sizes sizes, Start start, float* c, Index c_stride) {
  for (Index j = 0; j < sizes.columns; j += kDotColumns) {
    const View panel{b.data + j * b.stride, b.stride};
    const Index columns = std::min(kDotColumns, sizes.columns - j);
    const Start from{start.beta, start.columns == nullptr ? nullptr : start.columns + j};
    switch (rows) {
      case 1:
        dot_rows<1>(a, panel, columns, sizes.inner, from, c + j, c_stride);
        break;
      case 2:
        dot_rows<2>(a, panel, columns, sizes.inner, from, c + j, c_stride);
        break;
      case 3:
        dot_rows<3>(a, panel, columns, sizes.inner, from, c + j, c_stride);
        break;
#if HWY_TARGET <= HWY_AVX3
      case 4:
        dot_rows<4>(a, panel, columns, sizes.inner, from, c + j, c_stride);
        break;
      case 5:
        dot_rows<5>(a, panel, columns, sizes.inner, from, c + j, c_stride);
        break;
      default:
        dot_rows<6>(a, panel, columns, sizes.inner, from, c + j, c_stride);
        break;
#else
      default:
        break;
#endif
    }
  }
}

void nt(View a, View b, Sizes sizes, Start start, float* c, Index c_stride) {
  // Of b, as much as stays in the second cache while all of a passes by.
  const Index panel = std::max<Index>(kDotColumns, kPanelNumbers / sizes.inner / kDotColumns * kDotColumns);
  for (Index j = 0; j < sizes.columns; j += panel) {
    const Sizes part{sizes.rows, std::min(panel, sizes.columns - j), sizes.inner};
    const Start from{start.beta, start.columns == nullptr ? nullptr : start.columns + j};
    for (Index i = 0; i < sizes.rows; i += kDotRows) {
      const Index count = std::min(kDotRows, sizes.rows - i);
      dot_block({a.data + i * a.stride, a.stride}, count, {b.data + j * b.stride, b.stride}, part, from, c + i * c_stride + j, c_stride);
    }
  }
}

#else
void nt(View, View, Sizes, Start, float*, Index) {}
#endif

}  // namespace ffzero::gemm_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::gemm_kernel {

HWY_EXPORT(is_served);
HWY_EXPORT(name);
HWY_EXPORT(nt);

const char* target_name() { return HWY_DYNAMIC_DISPATCH(name)(); }
bool serves() { return HWY_DYNAMIC_DISPATCH(is_served)(); }
void product_nt(View a, View b, Sizes sizes, Start start, float* c, Index c_stride) {
  HWY_DYNAMIC_DISPATCH(nt)(a, b, sizes, start, c, c_stride);
}

}  // namespace ffzero::gemm_kernel
#endif
