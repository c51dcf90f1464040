// Passes over contiguous maps: pooling, sums of slopes, linear combinations.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/row_kernel-inl.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/map/conv/row_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::conv {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Numbers that are summed in S before a sum goes on in double.
constexpr Index kChunk = 1024;

template <class V>
HWY_INLINE V larger(V a, V b) {
  return hn::IfThenElse(hn::Or(hn::Gt(b, a), hn::IsNaN(b)), b, a);
}

template <class S>
HWY_INLINE S larger_number(S a, S b) {
  return b > a || b != b ? b : a;
}

/// One row of windows.
template <class S>
HWY_INLINE void pool_row(const S* HWY_RESTRICT top, const S* HWY_RESTRICT bottom, Index out_width, S* HWY_RESTRICT out) {
#if HWY_TARGET != HWY_SCALAR
  // Short registers, for rows of maps are short; the last one goes back so that it ends with the row.
  const hn::CappedTag<S, 16 / sizeof(S)> d;
  using V = hn::Vec<decltype(d)>;
  const Index n = static_cast<Index>(hn::Lanes(d));
  const auto windows = [&](Index k) HWY_ATTR {
    V even, odd, even_below, odd_below;
    hn::LoadInterleaved2(d, top + 2 * k, even, odd);
    hn::LoadInterleaved2(d, bottom + 2 * k, even_below, odd_below);
    hn::StoreU(larger(larger(even, odd), larger(even_below, odd_below)), d, out + k);
  };
  if (out_width >= n) {
    for (Index k = 0; k + n <= out_width; k += n) windows(k);
    if (out_width % n != 0) windows(out_width - n);
    return;
  }
#endif
  for (Index k = 0; k < out_width; ++k)
    out[k] = larger_number(larger_number(top[2 * k], top[2 * k + 1]), larger_number(bottom[2 * k], bottom[2 * k + 1]));
}

template <class S>
void max_pool_pairs_typed(const S* plane, Index width, Index out_height, Index out_width, S* out) {
  for (Index i = 0; i < out_height; ++i) pool_row(plane + 2 * i * width, plane + (2 * i + 1) * width, out_width, out + i * out_width);
}

template <class S>
void add_slope_sums_typed(const S* HWY_RESTRICT g, const S* HWY_RESTRICT v, Index size, double* HWY_RESTRICT sums) {
  const hn::ScalableTag<S> d;
  const Index n = static_cast<Index>(hn::Lanes(d));
  for (Index begin = 0; begin < size; begin += kChunk) {
    const Index end = std::min(size, begin + kChunk);
    auto sum = hn::Zero(d), product = hn::Zero(d);
    Index i = begin;
    for (; i + n <= end; i += n) {
      const auto slope = hn::LoadU(d, g + i);
      sum = hn::Add(sum, slope);
      product = hn::MulAdd(slope, hn::LoadU(d, v + i), product);
    }
    HWY_ALIGN S lanes[2][hn::MaxLanes(hn::ScalableTag<S>())];
    hn::Store(sum, d, lanes[0]);
    hn::Store(product, d, lanes[1]);
    for (Index l = 0; l < n; ++l) {
      sums[0] += static_cast<double>(lanes[0][l]);
      sums[1] += static_cast<double>(lanes[1][l]);
    }
    for (; i < end; ++i) {
      sums[0] += static_cast<double>(g[i]);
      sums[1] += static_cast<double>(g[i]) * static_cast<double>(v[i]);
    }
  }
}

/// Calls body(tag, i) for whole registers, then for single numbers: the same instructions everywhere.
template <class S, class Body>
HWY_INLINE void for_registers(Index size, Body&& body) {
  const hn::ScalableTag<S> d;
  const hn::CappedTag<S, 1> one;
  const Index n = static_cast<Index>(hn::Lanes(d));
  Index i = 0;
  for (; i + n <= size; i += n) body(d, i);
  for (; i < size; ++i) body(one, i);
}

template <class S>
void combine_typed(const S* HWY_RESTRICT g, Index size, S a, S b, S c, S* HWY_RESTRICT v) {
  for_registers<S>(size, [&](auto d, Index i) HWY_ATTR {
    const auto map = hn::MulAdd(hn::Set(d, b), hn::LoadU(d, v + i), hn::Set(d, c));
    hn::StoreU(hn::MulAdd(hn::Set(d, a), hn::LoadU(d, g + i), map), d, v + i);
  });
}

template <class S>
void combine_sides_typed(const S* HWY_RESTRICT z, const S* HWY_RESTRICT p, const S* HWY_RESTRICT one, Index size, const S* HWY_RESTRICT a,
                         const S* HWY_RESTRICT b, S* HWY_RESTRICT plus, S* HWY_RESTRICT minus) {
  for_registers<S>(size, [&](auto d, Index i) HWY_ATTR {
    const auto value = hn::LoadU(d, z + i), slope = hn::LoadU(d, p + i);
    const auto constant = one != nullptr ? hn::LoadU(d, one + i) : hn::Set(d, S{1});
    const auto side = [&](const S* k) HWY_ATTR {
      return hn::MulAdd(hn::Set(d, k[0]), value, hn::MulAdd(hn::Set(d, k[1]), slope, hn::Mul(hn::Set(d, k[2]), constant)));
    };
    hn::StoreU(side(a), d, plus + i);
    hn::StoreU(side(b), d, minus + i);
  });
}

}  // namespace

void max_pool_pairs_float(const float* plane, Index width, Index out_height, Index out_width, float* out) {
  max_pool_pairs_typed(plane, width, out_height, out_width, out);
}
void max_pool_pairs_double(const double* plane, Index width, Index out_height, Index out_width, double* out) {
  max_pool_pairs_typed(plane, width, out_height, out_width, out);
}
void add_slope_sums_float(const float* g, const float* v, Index size, double* sums) { add_slope_sums_typed(g, v, size, sums); }
void add_slope_sums_double(const double* g, const double* v, Index size, double* sums) { add_slope_sums_typed(g, v, size, sums); }
void combine_float(const float* g, Index size, float a, float b, float c, float* v) { combine_typed(g, size, a, b, c, v); }
void combine_double(const double* g, Index size, double a, double b, double c, double* v) { combine_typed(g, size, a, b, c, v); }
void combine_sides_float(const float* z, const float* p, const float* one, Index size, const float* a, const float* b, float* plus,
                         float* minus) {
  combine_sides_typed(z, p, one, size, a, b, plus, minus);
}
void combine_sides_double(const double* z, const double* p, const double* one, Index size, const double* a, const double* b, double* plus,
                          double* minus) {
  combine_sides_typed(z, p, one, size, a, b, plus, minus);
}

}  // namespace HWY_NAMESPACE
}  // namespace ffzero::conv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::conv {

HWY_EXPORT(max_pool_pairs_float);
HWY_EXPORT(max_pool_pairs_double);
HWY_EXPORT(add_slope_sums_float);
HWY_EXPORT(add_slope_sums_double);
HWY_EXPORT(combine_float);
HWY_EXPORT(combine_double);
HWY_EXPORT(combine_sides_float);
HWY_EXPORT(combine_sides_double);

template <>
void max_pool_pairs<float>(const float* plane, Index width, Index out_height, Index out_width, float* out) {
  HWY_DYNAMIC_DISPATCH(max_pool_pairs_float)(plane, width, out_height, out_width, out);
}
template <>
void max_pool_pairs<double>(const double* plane, Index width, Index out_height, Index out_width, double* out) {
  HWY_DYNAMIC_DISPATCH(max_pool_pairs_double)(plane, width, out_height, out_width, out);
}
template <>
void add_slope_sums<float>(const float* g, const float* v, Index size, double* sums) {
  HWY_DYNAMIC_DISPATCH(add_slope_sums_float)(g, v, size, sums);
}
template <>
void add_slope_sums<double>(const double* g, const double* v, Index size, double* sums) {
  HWY_DYNAMIC_DISPATCH(add_slope_sums_double)(g, v, size, sums);
}
template <>
void combine<float>(const float* g, Index size, float a, float b, float c, float* v) {
  HWY_DYNAMIC_DISPATCH(combine_float)(g, size, a, b, c, v);
}
template <>
void combine<double>(const double* g, Index size, double a, double b, double c, double* v) {
  HWY_DYNAMIC_DISPATCH(combine_double)(g, size, a, b, c, v);
}
template <>
void combine_sides<float>(const float* z, const float* p, const float* one, Index size, const float* a, const float* b, float* plus,
                          float* minus) {
  HWY_DYNAMIC_DISPATCH(combine_sides_float)(z, p, one, size, a, b, plus, minus);
}
template <>
void combine_sides<double>(const double* z, const double* p, const double* one, Index size, const double* a, const double* b, double* plus,
                           double* minus) {
  HWY_DYNAMIC_DISPATCH(combine_sides_double)(z, p, one, size, a, b, plus, minus);
}

}  // namespace ffzero::conv
#endif
