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
template <class S>
using Lanes = hn::ScalableTag<S>;
template <class S>
using Numbers = hn::Vec<Lanes<S>>;

template <class S>
constexpr Index lanes() {
  return static_cast<Index>(hn::MaxLanes(Lanes<S>()));
}
static_assert(kPad % lanes<float>() == 0);

template <class S>
HWY_INLINE S sum_of(Numbers<S> v) {
  return hn::GetLane(hn::SumOfLanes(Lanes<S>(), v));
}

template <class S>
struct Parts {
  Numbers<S> re, im;
};
template <class S>
HWY_INLINE Parts<S> nothing() {
  return {hn::Zero(Lanes<S>()), hn::Zero(Lanes<S>())};
}
template <class S>
HWY_INLINE Parts<S> load(const S* HWY_RESTRICT p, Index stride, Index k) {
  return {hn::LoadU(Lanes<S>(), p + k), hn::LoadU(Lanes<S>(), p + stride + k)};
}
template <class S>
HWY_INLINE void store(const Parts<S>& parts, S* HWY_RESTRICT p, Index stride, Index k) {
  hn::StoreU(parts.re, Lanes<S>(), p + k);
  hn::StoreU(parts.im, Lanes<S>(), p + stride + k);
}
template <class S>
HWY_INLINE Parts<S> all_lanes(const S* HWY_RESTRICT p) {
  return {hn::Set(Lanes<S>(), p[0]), hn::Set(Lanes<S>(), p[1])};
}
/// sum += a b
template <class S>
HWY_INLINE void add_product(const Parts<S>& a, const Parts<S>& b, Parts<S>& sum) {
  sum.re = hn::NegMulAdd(a.im, b.im, hn::MulAdd(a.re, b.re, sum.re));
  sum.im = hn::MulAdd(a.im, b.re, hn::MulAdd(a.re, b.im, sum.im));
}
/// sum += conj(a) b
template <class S>
HWY_INLINE void add_conjugated(const Parts<S>& a, const Parts<S>& b, Parts<S>& sum) {
  sum.re = hn::MulAdd(a.im, b.im, hn::MulAdd(a.re, b.re, sum.re));
  sum.im = hn::NegMulAdd(a.im, b.re, hn::MulAdd(a.re, b.im, sum.im));
}
template <class S>
HWY_INLINE constexpr S sign(Index column) {
  return column == 0 ? S{1} : S{-1};
}

/// seen (rank, 2) = S V^+ y of one sample.
template <Index rank, class S>
HWY_INLINE void project(const S* HWY_RESTRICT v, const S* HWY_RESTRICT y, Index stride, S* HWY_RESTRICT seen) {
  Parts<S> sums[rank];
  for (Index j = 0; j < rank; ++j) sums[j] = nothing<S>();
  for (Index k = 0; k < stride; k += lanes<S>()) {
    const Parts<S> field = load(y, stride, k);
    for (Index j = 0; j < rank; ++j) add_conjugated(load(v + 2 * j * stride, stride, k), field, sums[j]);
  }
  for (Index j = 0; j < rank; ++j) {
    seen[2 * j] = sign<S>(j) * sum_of<S>(sums[j].re);
    seen[2 * j + 1] = sign<S>(j) * sum_of<S>(sums[j].im);
  }
}

/// 2 Re(conj(y) i z).
template <class S>
HWY_INLINE Numbers<S> slope_of(const Parts<S>& y, const Parts<S>& z) {
  const auto half = hn::NegMulAdd(y.re, z.im, hn::Mul(y.im, z.re));
  return hn::Add(half, half);
}

/// Adds J^T of one sample to out; misses(k, field): lanes k, ... of its misses.
template <Index rank, class S, class Misses>
HWY_INLINE void add_transposed(const S* HWY_RESTRICT v, const S* HWY_RESTRICT y, const S* HWY_RESTRICT seen, Index stride,
                               const Misses& misses, S* HWY_RESTRICT out) {
  Parts<S> sums[rank], amplitudes[rank];
  for (Index j = 0; j < rank; ++j) {
    sums[j] = nothing<S>();
    amplitudes[j] = all_lanes(seen + 2 * j);
  }
  for (Index k = 0; k < stride; k += lanes<S>()) {
    const Parts<S> field = load(y, stride, k);
    const Numbers<S> miss = misses(k, field), twice = hn::Add(miss, miss);
    const Parts<S> weighted = {hn::Mul(twice, field.im), hn::Neg(hn::Mul(twice, field.re))};  // -2 i y miss
    for (Index j = 0; j < rank; ++j) {
      S* HWY_RESTRICT column = out + 2 * j * stride;
      Parts<S> own = load<S>(column, stride, k);
      add_conjugated(amplitudes[j], weighted, own);
      store(own, column, stride, k);
      add_conjugated(weighted, load(v + 2 * j * stride, stride, k), sums[j]);
    }
  }
  for (Index j = 0; j < rank; ++j) {
    const S back[2] = {sign<S>(j) * sum_of<S>(sums[j].re), sign<S>(j) * sum_of<S>(sums[j].im)};
    amplitudes[j] = all_lanes(back);
  }
  for (Index k = 0; k < stride; k += lanes<S>()) {
    const Parts<S> field = load(y, stride, k);
    for (Index j = 0; j < rank; ++j) {
      S* HWY_RESTRICT column = out + 2 * j * stride;
      Parts<S> own = load<S>(column, stride, k);
      add_product(field, amplitudes[j], own);
      store(own, column, stride, k);
    }
  }
}

template <Index rank>
HWY_INLINE double miss_of(const Fields<double>& fields, const Point<double>& at, const double* slopes, double* misses) {
  const Index stride = fields.stride;
  const Lanes<double> tag;
  Numbers<double> squares = hn::Zero(tag);
  for (Index b = 0; b < fields.samples; ++b) {
    const double* y = fields.y + 2 * b * stride;
    double* seen = at.seen + 2 * b * rank;
    project<rank>(at.v, y, stride, seen);
    Parts<double> amplitudes[rank];
    for (Index j = 0; j < rank; ++j) amplitudes[j] = all_lanes<double>(seen + 2 * j);
    for (Index k = 0; k < stride; k += lanes<double>()) {
      Parts<double> z = nothing<double>();
      for (Index j = 0; j < rank; ++j) add_product(load(at.v + 2 * j * stride, stride, k), amplitudes[j], z);
      const auto own = hn::Sub(slope_of(load(y, stride, k), z), hn::LoadU(tag, slopes + b * stride + k));
      hn::StoreU(own, tag, misses + b * stride + k);
      squares = hn::MulAdd(own, own, squares);
    }
  }
  return sum_of<double>(squares);
}

template <Index rank>
HWY_INLINE void backward_of(const Fields<double>& fields, const Point<double>& at, const double* misses, double* out) {
  const Index stride = fields.stride;
  std::fill_n(out, 2 * rank * stride, 0.0);
  for (Index b = 0; b < fields.samples; ++b) {
    const double* own = misses + b * stride;
    const auto stored = [own](Index k, const Parts<double>& /*field*/) HWY_ATTR { return hn::LoadU(Lanes<double>(), own + k); };
    add_transposed<rank, double>(at.v, fields.y + 2 * b * stride, at.seen + 2 * b * rank, stride, stored, out);
  }
}

template <Index rank, class S>
HWY_INLINE void normal_of(const Fields<S>& fields, const Point<S>& at, const S* change, S* out) {
  const Index stride = fields.stride;
  std::fill_n(out, 2 * rank * stride, S{0});
  for (Index b = 0; b < fields.samples; ++b) {
    const S* y = fields.y + 2 * b * stride;
    const S* seen = at.seen + 2 * b * rank;
    S moved[2 * rank];
    project<rank, S>(change, y, stride, moved);
    Parts<S> amplitudes[rank], changes[rank];
    for (Index j = 0; j < rank; ++j) {
      amplitudes[j] = all_lanes<S>(seen + 2 * j);
      changes[j] = all_lanes<S>(moved + 2 * j);
    }
    const auto misses = [&](Index k, const Parts<S>& field) HWY_ATTR {
      Parts<S> z = nothing<S>();
      for (Index j = 0; j < rank; ++j) {
        add_product(load(change + 2 * j * stride, stride, k), amplitudes[j], z);
        add_product(load(at.v + 2 * j * stride, stride, k), changes[j], z);
      }
      return slope_of(field, z);
    };
    add_transposed<rank, S>(at.v, y, seen, stride, misses, out);
  }
}

double miss_double(const Fields<double>& fields, const Point<double>& at, const double* slopes, double* misses) {
  return at.rank == 1 ? miss_of<1>(fields, at, slopes, misses) : miss_of<2>(fields, at, slopes, misses);
}
void backward_double(const Fields<double>& fields, const Point<double>& at, const double* misses, double* out) {
  at.rank == 1 ? backward_of<1>(fields, at, misses, out) : backward_of<2>(fields, at, misses, out);
}
void normal_float(const Fields<float>& fields, const Point<float>& at, const float* change, float* out) {
  at.rank == 1 ? normal_of<1>(fields, at, change, out) : normal_of<2>(fields, at, change, out);
}
void normal_double(const Fields<double>& fields, const Point<double>& at, const double* change, double* out) {
  at.rank == 1 ? normal_of<1>(fields, at, change, out) : normal_of<2>(fields, at, change, out);
}

}  // namespace ffzero::slope_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::slope_kernel {

HWY_EXPORT(miss_double);
HWY_EXPORT(backward_double);
HWY_EXPORT(normal_float);
HWY_EXPORT(normal_double);

double miss(const Fields<double>& fields, const Point<double>& at, const double* slopes, double* misses) {
  return HWY_DYNAMIC_DISPATCH(miss_double)(fields, at, slopes, misses);
}
void backward(const Fields<double>& fields, const Point<double>& at, const double* misses, double* out) {
  HWY_DYNAMIC_DISPATCH(backward_double)(fields, at, misses, out);
}
void normal(const Fields<float>& fields, const Point<float>& at, const float* change, float* out) {
  HWY_DYNAMIC_DISPATCH(normal_float)(fields, at, change, out);
}
void normal(const Fields<double>& fields, const Point<double>& at, const double* change, double* out) {
  HWY_DYNAMIC_DISPATCH(normal_double)(fields, at, change, out);
}

}  // namespace ffzero::slope_kernel
#endif
