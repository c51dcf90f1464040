// Slopes of powers in a generator of one column or two, compiled once per processor target: such products are too narrow for the BLAS.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/slope_kernel-inl.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/gradient/slope_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::slope_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
using VD = hn::Vec<Doubles>;
constexpr Doubles kDoubles;
constexpr Index kLanes = static_cast<Index>(hn::MaxLanes(kDoubles));
static_assert(kPad % kLanes == 0);

HWY_INLINE double sum_of(VD v) { return hn::GetLane(hn::SumOfLanes(kDoubles, v)); }

struct Parts {
  VD re, im;
};
HWY_INLINE Parts load(const double* HWY_RESTRICT p, Index stride, Index k) {
  return {hn::LoadU(kDoubles, p + k), hn::LoadU(kDoubles, p + stride + k)};
}
HWY_INLINE Parts all_lanes(const double* HWY_RESTRICT p) { return {hn::Set(kDoubles, p[0]), hn::Set(kDoubles, p[1])}; }
/// sum += a b
HWY_INLINE void add_product(Parts a, Parts b, Parts& sum) {
  sum.re = hn::NegMulAdd(a.im, b.im, hn::MulAdd(a.re, b.re, sum.re));
  sum.im = hn::MulAdd(a.im, b.re, hn::MulAdd(a.re, b.im, sum.im));
}
/// sum += conj(a) b
HWY_INLINE void add_conjugated(Parts a, Parts b, Parts& sum) {
  sum.re = hn::MulAdd(a.im, b.im, hn::MulAdd(a.re, b.re, sum.re));
  sum.im = hn::NegMulAdd(a.im, b.re, hn::MulAdd(a.re, b.im, sum.im));
}
HWY_INLINE constexpr double sign(Index column) { return column == 0 ? 1.0 : -1.0; }

/// seen (rank, 2) = S V^+ y of one sample.
template <Index rank>
HWY_INLINE void project(const double* HWY_RESTRICT v, const double* HWY_RESTRICT y, Index stride, double* HWY_RESTRICT seen) {
  Parts sums[rank];
  for (Index j = 0; j < rank; ++j) sums[j] = {hn::Zero(kDoubles), hn::Zero(kDoubles)};
  for (Index k = 0; k < stride; k += kLanes) {
    const Parts field = load(y, stride, k);
    for (Index j = 0; j < rank; ++j) add_conjugated(load(v + 2 * j * stride, stride, k), field, sums[j]);
  }
  for (Index j = 0; j < rank; ++j) {
    seen[2 * j] = sign(j) * sum_of(sums[j].re);
    seen[2 * j + 1] = sign(j) * sum_of(sums[j].im);
  }
}

/// 2 Re(conj(y) i z).
HWY_INLINE VD slope_of(Parts y, Parts z) {
  const VD half = hn::NegMulAdd(y.re, z.im, hn::Mul(y.im, z.re));
  return hn::Add(half, half);
}

/// Adds J^T of one sample to out; misses(k, field): lanes k, ... of its misses.
template <Index rank, class Misses>
HWY_INLINE void add_transposed(const double* HWY_RESTRICT v, const double* HWY_RESTRICT y, const double* HWY_RESTRICT seen, Index stride,
                               const Misses& misses, double* HWY_RESTRICT out) {
  Parts sums[rank], amplitudes[rank];
  for (Index j = 0; j < rank; ++j) {
    sums[j] = {hn::Zero(kDoubles), hn::Zero(kDoubles)};
    amplitudes[j] = all_lanes(seen + 2 * j);
  }
  for (Index k = 0; k < stride; k += kLanes) {
    const Parts field = load(y, stride, k);
    const VD miss = misses(k, field), twice = hn::Add(miss, miss);
    const Parts weighted = {hn::Mul(twice, field.im), hn::Neg(hn::Mul(twice, field.re))};  // -2 i y miss
    for (Index j = 0; j < rank; ++j) {
      double* HWY_RESTRICT column = out + 2 * j * stride;
      Parts own = load(column, stride, k);
      add_conjugated(amplitudes[j], weighted, own);
      hn::StoreU(own.re, kDoubles, column + k);
      hn::StoreU(own.im, kDoubles, column + stride + k);
      add_conjugated(weighted, load(v + 2 * j * stride, stride, k), sums[j]);
    }
  }
  for (Index j = 0; j < rank; ++j) {
    const double back[2] = {sign(j) * sum_of(sums[j].re), sign(j) * sum_of(sums[j].im)};
    amplitudes[j] = all_lanes(back);
  }
  for (Index k = 0; k < stride; k += kLanes) {
    const Parts field = load(y, stride, k);
    for (Index j = 0; j < rank; ++j) {
      double* HWY_RESTRICT column = out + 2 * j * stride;
      Parts own = load(column, stride, k);
      add_product(field, amplitudes[j], own);
      hn::StoreU(own.re, kDoubles, column + k);
      hn::StoreU(own.im, kDoubles, column + stride + k);
    }
  }
}

template <Index rank>
HWY_INLINE double miss_of(const Fields& fields, const Point& at, const double* slopes, double* misses) {
  const Index stride = fields.stride;
  VD squares = hn::Zero(kDoubles);
  for (Index b = 0; b < fields.samples; ++b) {
    const double* y = fields.y + 2 * b * stride;
    double* seen = at.seen + 2 * b * rank;
    project<rank>(at.v, y, stride, seen);
    Parts amplitudes[rank];
    for (Index j = 0; j < rank; ++j) amplitudes[j] = all_lanes(seen + 2 * j);
    for (Index k = 0; k < stride; k += kLanes) {
      Parts z = {hn::Zero(kDoubles), hn::Zero(kDoubles)};
      for (Index j = 0; j < rank; ++j) add_product(load(at.v + 2 * j * stride, stride, k), amplitudes[j], z);
      const VD own = hn::Sub(slope_of(load(y, stride, k), z), hn::LoadU(kDoubles, slopes + b * stride + k));
      hn::StoreU(own, kDoubles, misses + b * stride + k);
      squares = hn::MulAdd(own, own, squares);
    }
  }
  return sum_of(squares);
}

template <Index rank>
HWY_INLINE void backward_of(const Fields& fields, const Point& at, const double* misses, double* out) {
  const Index stride = fields.stride;
  std::fill_n(out, 2 * rank * stride, 0.0);
  for (Index b = 0; b < fields.samples; ++b) {
    const double* own = misses + b * stride;
    add_transposed<rank>(
        at.v, fields.y + 2 * b * stride, at.seen + 2 * b * rank, stride,
        [own](Index k, Parts /*field*/) HWY_ATTR { return hn::LoadU(kDoubles, own + k); }, out);
  }
}

template <Index rank>
HWY_INLINE void normal_of(const Fields& fields, const Point& at, const double* change, double* out) {
  const Index stride = fields.stride;
  std::fill_n(out, 2 * rank * stride, 0.0);
  for (Index b = 0; b < fields.samples; ++b) {
    const double* y = fields.y + 2 * b * stride;
    const double* seen = at.seen + 2 * b * rank;
    double moved[2 * rank];
    project<rank>(change, y, stride, moved);
    Parts amplitudes[rank], changes[rank];
    for (Index j = 0; j < rank; ++j) {
      amplitudes[j] = all_lanes(seen + 2 * j);
      changes[j] = all_lanes(moved + 2 * j);
    }
    const auto misses = [&](Index k, Parts field) HWY_ATTR {
      Parts z = {hn::Zero(kDoubles), hn::Zero(kDoubles)};
      for (Index j = 0; j < rank; ++j) {
        add_product(load(change + 2 * j * stride, stride, k), amplitudes[j], z);
        add_product(load(at.v + 2 * j * stride, stride, k), changes[j], z);
      }
      return slope_of(field, z);
    };
    add_transposed<rank>(at.v, y, seen, stride, misses, out);
  }
}

double miss_all(const Fields& fields, const Point& at, const double* slopes, double* misses) {
  return at.rank == 1 ? miss_of<1>(fields, at, slopes, misses) : miss_of<2>(fields, at, slopes, misses);
}
void backward_all(const Fields& fields, const Point& at, const double* misses, double* out) {
  at.rank == 1 ? backward_of<1>(fields, at, misses, out) : backward_of<2>(fields, at, misses, out);
}
void normal_all(const Fields& fields, const Point& at, const double* change, double* out) {
  at.rank == 1 ? normal_of<1>(fields, at, change, out) : normal_of<2>(fields, at, change, out);
}

}  // namespace ffzero::slope_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::slope_kernel {

HWY_EXPORT(miss_all);
HWY_EXPORT(backward_all);
HWY_EXPORT(normal_all);

double miss(const Fields& fields, const Point& at, const double* slopes, double* misses) {
  return HWY_DYNAMIC_DISPATCH(miss_all)(fields, at, slopes, misses);
}
void backward(const Fields& fields, const Point& at, const double* misses, double* out) {
  HWY_DYNAMIC_DISPATCH(backward_all)(fields, at, misses, out);
}
void normal(const Fields& fields, const Point& at, const double* change, double* out) {
  HWY_DYNAMIC_DISPATCH(normal_all)(fields, at, change, out);
}

}  // namespace ffzero::slope_kernel
#endif
