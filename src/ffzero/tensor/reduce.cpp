// Sums in double, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/reduce.hpp"

#include <algorithm>

#include "ffzero/base/index.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/tensor/reduce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ffzero/tensor/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace ffzero::reduce::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace ln = lanes::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
using V = hn::Vec<Doubles>;
constexpr Doubles kDoubles;

/// <a, b>
template <class S>
HWY_INLINE double sum_of_products(const S* a, const S* b, Index n) {
  constexpr Index kLanes = HWY_LANES(double);
  // Four running sums hide the latency of an addition.
  V s0 = hn::Zero(kDoubles), s1 = s0, s2 = s0, s3 = s0;
  Index i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = hn::MulAdd(ln::load_doubles(a + i), ln::load_doubles(b + i), s0);
    s1 = hn::MulAdd(ln::load_doubles(a + i + kLanes), ln::load_doubles(b + i + kLanes), s1);
    s2 = hn::MulAdd(ln::load_doubles(a + i + 2 * kLanes), ln::load_doubles(b + i + 2 * kLanes), s2);
    s3 = hn::MulAdd(ln::load_doubles(a + i + 3 * kLanes), ln::load_doubles(b + i + 3 * kLanes), s3);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = hn::MulAdd(ln::load_doubles(a + i), ln::load_doubles(b + i), s0);
  double sum = hn::GetLane(hn::SumOfLanes(kDoubles, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

template <class S>
HWY_INLINE Moments sums_of(const S* v, Index n) {
  constexpr Index kLanes = HWY_LANES(double);
  V sums[4], squares[4];
  for (int k = 0; k < 4; ++k) sums[k] = squares[k] = hn::Zero(kDoubles);
  const auto add = [&](Index at, int k) HWY_ATTR {
    const V x = ln::load_doubles(v + at);
    sums[k] = hn::Add(sums[k], x);
    squares[k] = hn::MulAdd(x, x, squares[k]);
  };
  Index i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int k = 0; k < 4; ++k) add(i + k * kLanes, k);
  for (; i + kLanes <= n; i += kLanes) add(i, 0);
  const auto together = [](const V* parts) HWY_ATTR {
    return hn::GetLane(hn::SumOfLanes(kDoubles, hn::Add(hn::Add(parts[0], parts[1]), hn::Add(parts[2], parts[3]))));
  };
  Moments m{.sum = together(sums), .squares = together(squares)};
  for (; i < n; ++i) {
    const auto x = static_cast<double>(v[i]);
    m.sum += x;
    m.squares += x * x;
  }
  return m;
}

template <class S>
HWY_INLINE double squares_around(const S* v, Index n, double centre) {
  constexpr Index kLanes = HWY_LANES(double);
  const V middle = hn::Set(kDoubles, centre);
  V s0 = hn::Zero(kDoubles), s1 = s0;
  Index i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const V x = hn::Sub(ln::load_doubles(v + i), middle), y = hn::Sub(ln::load_doubles(v + i + kLanes), middle);
    s0 = hn::MulAdd(x, x, s0);
    s1 = hn::MulAdd(y, y, s1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(kDoubles, hn::Add(s0, s1)));
  for (; i < n; ++i) {
    const double rest = static_cast<double>(v[i]) - centre;
    sum += rest * rest;
  }
  return sum;
}

Moments moments_float(const float* v, Index n) { return sums_of(v, n); }
Moments moments_double(const double* v, Index n) { return sums_of(v, n); }
double around_float(const float* v, Index n, double centre) { return squares_around(v, n, centre); }
double around_double(const double* v, Index n, double centre) { return squares_around(v, n, centre); }
double products_float(const float* a, const float* b, Index n) { return sum_of_products(a, b, n); }
double products_double(const double* a, const double* b, Index n) { return sum_of_products(a, b, n); }

}  // namespace ffzero::reduce::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero {
namespace reduce {
HWY_EXPORT(moments_float);
HWY_EXPORT(moments_double);
HWY_EXPORT(around_float);
HWY_EXPORT(around_double);
HWY_EXPORT(products_float);
HWY_EXPORT(products_double);
}  // namespace reduce

Moments moments(std::span<const float> v) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(moments_float)(v.data(), isize(v.size()));
}
Moments moments(std::span<const double> v) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(moments_double)(v.data(), isize(v.size()));
}
double squared_distance(std::span<const float> v, double centre) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(around_float)(v.data(), isize(v.size()), centre);
}
double squared_distance(std::span<const double> v, double centre) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(around_double)(v.data(), isize(v.size()), centre);
}
double inner_product(std::span<const float> a, std::span<const float> b) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(products_float)(a.data(), b.data(), isize(std::min(a.size(), b.size())));
}
double inner_product(std::span<const double> a, std::span<const double> b) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(products_double)(a.data(), b.data(), isize(std::min(a.size(), b.size())));
}
double squared_norm(std::span<const float> v) { return inner_product(v, v); }
double squared_norm(std::span<const double> v) { return inner_product(v, v); }

}  // namespace ffzero
#endif
