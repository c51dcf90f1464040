// Sums in double, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/reduce.hpp"

#include "ffzero/base/index.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/tensor/reduce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::reduce::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
using V = hn::Vec<Doubles>;
constexpr Doubles kDoubles;

HWY_INLINE V load(const float* p) { return hn::PromoteTo(kDoubles, hn::LoadU(hn::Rebind<float, Doubles>(), p)); }
HWY_INLINE V load(const double* p) { return hn::LoadU(kDoubles, p); }

template <class S>
HWY_INLINE double sum_of_squares(const S* v, Index n) {
  constexpr Index kLanes = HWY_LANES(double);
  // Four running sums hide the latency of an addition.
  V s0 = hn::Zero(kDoubles), s1 = s0, s2 = s0, s3 = s0;
  Index i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const V x0 = load(v + i), x1 = load(v + i + kLanes), x2 = load(v + i + 2 * kLanes), x3 = load(v + i + 3 * kLanes);
    s0 = hn::MulAdd(x0, x0, s0);
    s1 = hn::MulAdd(x1, x1, s1);
    s2 = hn::MulAdd(x2, x2, s2);
    s3 = hn::MulAdd(x3, x3, s3);
  }
  double sum = hn::GetLane(hn::SumOfLanes(kDoubles, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += static_cast<double>(v[i]) * static_cast<double>(v[i]);
  return sum;
}

double squares_float(const float* v, Index n) { return sum_of_squares(v, n); }
double squares_double(const double* v, Index n) { return sum_of_squares(v, n); }

}  // namespace ffzero::reduce::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero {
namespace reduce {
HWY_EXPORT(squares_float);
HWY_EXPORT(squares_double);
}  // namespace reduce

double squared_norm(std::span<const float> v) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(squares_float)(v.data(), isize(v.size()));
}
double squared_norm(std::span<const double> v) {
  using namespace reduce;
  return HWY_DYNAMIC_DISPATCH(squares_double)(v.data(), isize(v.size()));
}

}  // namespace ffzero
#endif
