// Sums of hinges, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/loss/hinge_kernel-inl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/loss/hinge_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ffzero/tensor/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace ffzero::hinge_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace ln = lanes::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
using V = hn::Vec<Doubles>;
constexpr Doubles kDoubles;

/// This way round not-a-number stays, so that divergence shows.
HWY_INLINE double hinge(double x) { return x <= 0.0 ? 0.0 : x; }
HWY_INLINE V hinge(V x) { return hn::IfThenElse(hn::Le(x, hn::Zero(kDoubles)), hn::Zero(kDoubles), x); }

template <class S>
HWY_INLINE double hinge_sum(const S* HWY_RESTRICT s, Index classes, Index label, double margin) {
  constexpr Index kLanes = HWY_LANES(double);
  const double offset = margin - static_cast<double>(s[label]);
  const V offsets = hn::Set(kDoubles, offset), own = hn::Set(kDoubles, margin), truth = hn::Set(kDoubles, static_cast<double>(label));
  V sum = hn::Zero(kDoubles), place = hn::Iota(kDoubles, 0.0);
  Index k = 0;
  for (; k + kLanes <= classes; k += kLanes) {
    sum = hn::Add(sum, hn::IfThenElse(hn::Eq(place, truth), own, hinge(hn::Add(offsets, ln::load_doubles(s + k)))));
    place = hn::Add(place, hn::Set(kDoubles, static_cast<double>(kLanes)));
  }
  double total = hn::GetLane(hn::SumOfLanes(kDoubles, sum));
  for (; k < classes; ++k) total += k == label ? margin : hinge(offset + static_cast<double>(s[k]));
  return total;
}

template <class S>
HWY_INLINE void hinge_rows(const ScoreRows<S>& x, double margin, double* HWY_RESTRICT losses, Index losses_stride) {
  for (Index b = 0; b < x.rows; ++b)
    for (Index g = 0; g < x.groups; ++g)
      losses[b * losses_stride + g] = hinge_sum(x.data + b * x.stride + g * x.classes, x.classes, Index{x.labels[b]}, margin);
}

void hinge_float(const ScoreRows<float>& x, double margin, double* losses, Index stride) { hinge_rows(x, margin, losses, stride); }
void hinge_double(const ScoreRows<double>& x, double margin, double* losses, Index stride) { hinge_rows(x, margin, losses, stride); }

}  // namespace ffzero::hinge_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::hinge_kernel {

HWY_EXPORT(hinge_float);
HWY_EXPORT(hinge_double);

void hinge_sums(const ScoreRows<float>& scores, double margin, double* losses, Index losses_stride) {
  HWY_DYNAMIC_DISPATCH(hinge_float)(scores, margin, losses, losses_stride);
}
void hinge_sums(const ScoreRows<double>& scores, double margin, double* losses, Index losses_stride) {
  HWY_DYNAMIC_DISPATCH(hinge_double)(scores, margin, losses, losses_stride);
}

}  // namespace ffzero::hinge_kernel
#endif
