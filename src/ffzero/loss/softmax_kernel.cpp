// Exponentials and softmax losses, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/loss/softmax_kernel-inl.hpp"

#include <algorithm>

#include "ffzero/tensor/aligned_matrix.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/loss/softmax_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "ffzero/tensor/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace ffzero::softmax_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace ln = lanes::HWY_NAMESPACE;
using Doubles = hn::ScalableTag<double>;
using V = hn::Vec<Doubles>;
constexpr Doubles kDoubles;
constexpr Index kLanes = HWY_LANES(double);

/// Not-a-number stays.
HWY_INLINE V exp_of(V x) { return hn::IfThenElse(hn::Eq(x, x), hn::Exp(kDoubles, x), x); }
HWY_INLINE V log_of(V x) { return hn::IfThenElse(hn::Eq(x, x), hn::Log(kDoubles, x), x); }

template <class Function>
HWY_INLINE void in_place(double* v, Index n, Function function) {
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(function(hn::LoadU(kDoubles, v + i)), kDoubles, v + i);
  if (i == n) return;
  HWY_ALIGN double rest[kLanes] = {};
  std::copy(v + i, v + n, rest);
  hn::Store(function(hn::Load(kDoubles, rest)), kDoubles, rest);
  std::copy_n(rest, n - i, v + i);
}

void exp_all(double* v, Index n) {
  in_place(v, n, [](V x) HWY_ATTR { return exp_of(x); });
}

template <class S>
HWY_INLINE double largest(const S* s, Index n) {
  V top = hn::Set(kDoubles, static_cast<double>(s[0]));
  Index k = 0;
  for (; k + kLanes <= n; k += kLanes) top = hn::Max(top, ln::load_doubles(s + k));
  double result = hn::GetLane(hn::MaxOfLanes(kDoubles, top));
  for (; k < n; ++k) result = std::max(result, static_cast<double>(s[k]));
  return result;
}

HWY_INLINE double sum_of(const double* v, Index n) {
  V sum = hn::Zero(kDoubles);
  Index k = 0;
  for (; k + kLanes <= n; k += kLanes) sum = hn::Add(sum, hn::LoadU(kDoubles, v + k));
  double result = hn::GetLane(hn::SumOfLanes(kDoubles, sum));
  for (; k < n; ++k) result += v[k];
  return result;
}

/// to[k] = (s[k] - top) / temperature, that of the label lowered by the margin, which is returned.
template <class S>
HWY_INLINE double shift(const S* s, Index n, Index label, double top, const Options& o, double* to) {
  const V peak = hn::Set(kDoubles, top), rate = hn::Set(kDoubles, o.inverse_temperature);
  Index k = 0;
  for (; k + kLanes <= n; k += kLanes) hn::StoreU(hn::Mul(hn::Sub(ln::load_doubles(s + k), peak), rate), kDoubles, to + k);
  for (; k < n; ++k) to[k] = (static_cast<double>(s[k]) - top) * o.inverse_temperature;
  return to[label] = (static_cast<double>(s[label]) - o.margin - top) * o.inverse_temperature;
}

template <class S>
HWY_INLINE void losses_of(const ScoreRows<S>& x, const Options& o, double* losses, Index losses_stride) {
  // As many groups at once as fit: exponentials and logarithms of all of them fill whole vectors.
  constexpr Index kNumbers = 512, kMostItems = 64;
  static thread_local AlignedMatrix<double> scratch;  // kept between calls: no allocation in a step
  const Index numbers = std::max(kNumbers, x.classes);
  scratch.resize(1, numbers);
  double* const terms = scratch.view().data();
  HWY_ALIGN double masses[kMostItems];
  double rests[kMostItems];
  const Index items = x.rows * x.groups, at_once = std::min(kMostItems, numbers / x.classes);
  for (Index first = 0; first < items; first += at_once) {
    const Index count = std::min(at_once, items - first);
    for (Index i = 0; i < count; ++i) {
      const Index row = (first + i) / x.groups, group = (first + i) % x.groups;
      const S* s = x.data + row * x.stride + group * x.classes;
      double* own = terms + i * x.classes;
      const double truth = shift(s, x.classes, Index{x.labels[row]}, largest(s, x.classes), o, own);
      rests[i] = (1.0 - o.smoothing) * truth;
      if (o.smoothing != 0.0) rests[i] += o.smoothing * sum_of(own, x.classes) / static_cast<double>(x.classes);
    }
    in_place(terms, count * x.classes, [](V v) HWY_ATTR { return exp_of(v); });
    for (Index i = 0; i < count; ++i) masses[i] = sum_of(terms + i * x.classes, x.classes);
    in_place(masses, count, [](V v) HWY_ATTR { return log_of(v); });
    for (Index i = 0; i < count; ++i) losses[(first + i) / x.groups * losses_stride + (first + i) % x.groups] = masses[i] - rests[i];
  }
}

void losses_float(const ScoreRows<float>& x, const Options& o, double* losses, Index stride) { losses_of(x, o, losses, stride); }
void losses_double(const ScoreRows<double>& x, const Options& o, double* losses, Index stride) { losses_of(x, o, losses, stride); }

}  // namespace ffzero::softmax_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::softmax_kernel {

HWY_EXPORT(exp_all);
HWY_EXPORT(losses_float);
HWY_EXPORT(losses_double);

void exp_in_place(double* v, Index n) { HWY_DYNAMIC_DISPATCH(exp_all)(v, n); }
void softmax_losses(const ScoreRows<float>& scores, const Options& options, double* losses, Index losses_stride) {
  HWY_DYNAMIC_DISPATCH(losses_float)(scores, options, losses, losses_stride);
}
void softmax_losses(const ScoreRows<double>& scores, const Options& options, double* losses, Index losses_stride) {
  HWY_DYNAMIC_DISPATCH(losses_double)(scores, options, losses, losses_stride);
}

}  // namespace ffzero::softmax_kernel
#endif
