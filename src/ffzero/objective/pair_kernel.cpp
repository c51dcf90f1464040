// Inner products of a pair of sides, compiled once per processor target. Numbers are read once and summed in double.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/pair_kernel-inl.hpp"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/objective/pair_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::pair_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
using VD = hn::Vec<Doubles>;
constexpr Doubles kDoubles;
constexpr Index kLanes = HWY_LANES(double);

HWY_INLINE VD widen(hn::Vec<hn::Rebind<float, Doubles>> v) { return hn::PromoteTo(kDoubles, v); }
HWY_INLINE VD widen(VD v) { return v; }
HWY_INLINE double sum_of(VD v) { return hn::GetLane(hn::SumOfLanes(kDoubles, v)); }

template <class S>
HWY_INLINE double relu_row(const S* z, Index n, S* a) {
  const hn::Rebind<S, Doubles> real;
  const auto zero = hn::Zero(real);
  VD sum = hn::Zero(kDoubles);
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto x = hn::LoadU(real, z + i);
    const auto y = hn::IfThenElse(hn::Lt(x, zero), zero, x);  // this way round not-a-number stays
    hn::StoreU(y, real, a + i);
    const VD wide = widen(y);
    sum = hn::MulAdd(wide, wide, sum);
  }
  double total = sum_of(sum);
  for (; i < n; ++i) {
    a[i] = z[i] < S{0} ? S{0} : z[i];
    total += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  }
  return total;
}

template <class S>
HWY_INLINE void pair_row(const S* z, const S* p, Index n, double* sums) {
  const hn::Rebind<S, Doubles> real;
  VD zp = hn::Zero(kDoubles), pp = zp;
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const VD a = widen(hn::LoadU(real, z + i)), b = widen(hn::LoadU(real, p + i));
    zp = hn::MulAdd(a, b, zp);
    pp = hn::MulAdd(b, b, pp);
  }
  sums[0] = sum_of(zp);
  sums[1] = sum_of(pp);
  for (; i < n; ++i) {
    sums[0] += static_cast<double>(z[i]) * static_cast<double>(p[i]);
    sums[1] += static_cast<double>(p[i]) * static_cast<double>(p[i]);
  }
}

/// reach: a little more than eps, so that rounding cannot hide a crossing.
template <class S>
HWY_INLINE bool relu_pair_row(const S* z, const S* p, Index n, S reach, S* b, double* sums) {
  const hn::Rebind<S, Doubles> real;
  const auto zero = hn::Zero(real), far = hn::Set(real, reach);
  VD ab = hn::Zero(kDoubles), bb = ab;
  auto staying = hn::Eq(zero, zero);
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto x = hn::LoadU(real, z + i), y = hn::LoadU(real, p + i);
    const auto masked = hn::IfThenElseZero(hn::Gt(x, zero), y);
    hn::StoreU(masked, real, b + i);
    staying = hn::And(staying, hn::Gt(hn::Abs(x), hn::Mul(hn::Abs(y), far)));
    const VD wide = widen(masked);
    ab = hn::MulAdd(widen(x), wide, ab);
    bb = hn::MulAdd(wide, wide, bb);
  }
  bool crossing = !hn::AllTrue(real, staying);
  sums[0] = sum_of(ab);
  sums[1] = sum_of(bb);
  for (; i < n; ++i) {
    b[i] = z[i] > S{0} ? p[i] : S{0};
    crossing = crossing || !(std::abs(z[i]) > std::abs(p[i]) * reach);
    sums[0] += static_cast<double>(z[i]) * static_cast<double>(b[i]);
    sums[1] += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return crossing;
}

template <class S>
HWY_INLINE void relu_rows(Rows<S> z, Sizes sizes, S* a, double* aa) {
  const Index d = sizes.dimension;
  for (Index i = 0; i < sizes.rows; ++i)
    for (Index g = 0; g < sizes.groups; ++g)
      aa[i * sizes.groups + g] = relu_row(z.data + i * z.stride + g * d, d, a + (i * sizes.groups + g) * d);
}

template <class S>
HWY_INLINE void pair_rows(Rows<S> z, Rows<S> p, Sizes sizes, double* sums) {
  const Index d = sizes.dimension;
  for (Index i = 0; i < sizes.rows; ++i)
    for (Index g = 0; g < sizes.groups; ++g)
      pair_row(z.data + i * z.stride + g * d, p.data + i * p.stride + g * d, d, sums + 2 * (i * sizes.groups + g));
}

template <class S>
HWY_INLINE void relu_pair_rows(Rows<S> z, Rows<S> p, Sizes sizes, double eps, S* b, double* sums, std::uint8_t* crossings) {
  const Index d = sizes.dimension;
  const S reach = static_cast<S>(eps * (1.0 + 1e-6));
  for (Index i = 0; i < sizes.rows; ++i)
    for (Index g = 0; g < sizes.groups; ++g) {
      const Index at = i * sizes.groups + g;
      const bool crossing =
          relu_pair_row(z.data + i * z.stride + g * d, p.data + i * p.stride + g * d, d, reach, b + at * d, sums + 2 * at);
      crossings[at] = crossing ? 1 : 0;
    }
}

void relu_float(Rows<float> z, Sizes s, float* a, double* aa) { relu_rows(z, s, a, aa); }
void relu_double(Rows<double> z, Sizes s, double* a, double* aa) { relu_rows(z, s, a, aa); }
void pair_float(Rows<float> z, Rows<float> p, Sizes s, double* sums) { pair_rows(z, p, s, sums); }
void pair_double(Rows<double> z, Rows<double> p, Sizes s, double* sums) { pair_rows(z, p, s, sums); }
void relu_pair_float(Rows<float> z, Rows<float> p, Sizes s, double eps, float* b, double* sums, std::uint8_t* crossings) {
  relu_pair_rows(z, p, s, eps, b, sums, crossings);
}
void relu_pair_double(Rows<double> z, Rows<double> p, Sizes s, double eps, double* b, double* sums, std::uint8_t* crossings) {
  relu_pair_rows(z, p, s, eps, b, sums, crossings);
}

}  // namespace ffzero::pair_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::pair_kernel {

HWY_EXPORT(relu_float);
HWY_EXPORT(relu_double);
HWY_EXPORT(pair_float);
HWY_EXPORT(pair_double);
HWY_EXPORT(relu_pair_float);
HWY_EXPORT(relu_pair_double);

void relu_squares(Rows<float> z, Sizes sizes, float* a, double* aa) { HWY_DYNAMIC_DISPATCH(relu_float)(z, sizes, a, aa); }
void relu_squares(Rows<double> z, Sizes sizes, double* a, double* aa) { HWY_DYNAMIC_DISPATCH(relu_double)(z, sizes, a, aa); }
void pair_sums(Rows<float> z, Rows<float> p, Sizes sizes, double* sums) { HWY_DYNAMIC_DISPATCH(pair_float)(z, p, sizes, sums); }
void pair_sums(Rows<double> z, Rows<double> p, Sizes sizes, double* sums) { HWY_DYNAMIC_DISPATCH(pair_double)(z, p, sizes, sums); }
void relu_pair_sums(Rows<float> z, Rows<float> p, Sizes sizes, double eps, float* b, double* sums, std::uint8_t* crossings) {
  HWY_DYNAMIC_DISPATCH(relu_pair_float)(z, p, sizes, eps, b, sums, crossings);
}
void relu_pair_sums(Rows<double> z, Rows<double> p, Sizes sizes, double eps, double* b, double* sums, std::uint8_t* crossings) {
  HWY_DYNAMIC_DISPATCH(relu_pair_double)(z, p, sizes, eps, b, sums, crossings);
}

}  // namespace ffzero::pair_kernel
#endif
