// Exponentials, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/loss/exp_kernel-inl.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/loss/exp_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::exp_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
constexpr Doubles kDoubles;

HWY_INLINE void exp_vector(double* v) {
  const auto x = hn::LoadU(kDoubles, v);
  hn::StoreU(hn::IfThenElse(hn::Eq(x, x), hn::Exp(kDoubles, x), x), kDoubles, v);
}

void exp_all(double* v, Index n) {
  constexpr Index kLanes = HWY_LANES(double);
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) exp_vector(v + i);
  if (i == n) return;
  double rest[kLanes] = {};
  std::copy(v + i, v + n, rest);
  exp_vector(rest);
  std::copy_n(rest, n - i, v + i);
}

}  // namespace ffzero::exp_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::exp_kernel {

HWY_EXPORT(exp_all);
void exp_in_place(double* v, Index n) { HWY_DYNAMIC_DISPATCH(exp_all)(v, n); }

}  // namespace ffzero::exp_kernel
#endif
