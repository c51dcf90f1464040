// Steps of update rules, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/update/rule_kernel-inl.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/update/rule_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ffzero/tensor/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace ffzero::rule_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace ln = lanes::HWY_NAMESPACE;

template <class S>
HWY_INLINE void adam_vector(const AdamScalars<S>& k, const S* HWY_RESTRICT gradient, S* HWY_RESTRICT theta, S* HWY_RESTRICT m,
                            S* HWY_RESTRICT v) {
  const hn::ScalableTag<S> d;
  const auto t = hn::LoadU(d, theta);
  const auto g = hn::MulAdd(hn::Set(d, k.decay), t, hn::LoadU(d, gradient));
  const auto mean = hn::MulAdd(hn::Set(d, k.beta1), hn::LoadU(d, m), hn::Mul(hn::Set(d, k.rest1), g));
  const auto square = hn::MulAdd(hn::Set(d, k.beta2), hn::LoadU(d, v), hn::Mul(hn::Set(d, k.rest2), hn::Mul(g, g)));
  hn::StoreU(mean, d, m);
  hn::StoreU(square, d, v);
  const auto step = hn::Div(hn::Mul(hn::Set(d, k.rate), mean), hn::Add(hn::Sqrt(square), hn::Set(d, k.epsilon)));
  hn::StoreU(hn::Sub(t, step), d, theta);
}

template <class S>
HWY_INLINE void descend_vector(const S* HWY_RESTRICT gradient, S rate, S* HWY_RESTRICT theta) {
  const hn::ScalableTag<S> d;
  hn::StoreU(hn::NegMulAdd(hn::Set(d, rate), hn::LoadU(d, gradient), hn::LoadU(d, theta)), d, theta);
}

template <class S>
HWY_INLINE void adam_all(const AdamScalars<S>& k, const S* gradient, Index n, S* theta, S* m, S* v) {
  constexpr Index kLanes = ln::count<S>();
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) adam_vector(k, gradient + i, theta + i, m + i, v + i);
  if (i == n) return;
  // The rest in a vector of its own: an entry's value must not depend on where the run of parameters was cut.
  HWY_ALIGN S rest[4][kLanes] = {};
  const Index left = n - i;
  std::copy_n(gradient + i, left, rest[0]);
  std::copy_n(theta + i, left, rest[1]);
  std::copy_n(m + i, left, rest[2]);
  std::copy_n(v + i, left, rest[3]);
  adam_vector(k, rest[0], rest[1], rest[2], rest[3]);
  std::copy_n(rest[1], left, theta + i);
  std::copy_n(rest[2], left, m + i);
  std::copy_n(rest[3], left, v + i);
}

template <class S>
HWY_INLINE void descend_all(const S* gradient, Index n, S rate, S* theta) {
  constexpr Index kLanes = ln::count<S>();
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) descend_vector(gradient + i, rate, theta + i);
  if (i == n) return;
  HWY_ALIGN S rest[2][kLanes] = {};
  std::copy_n(gradient + i, n - i, rest[0]);
  std::copy_n(theta + i, n - i, rest[1]);
  descend_vector(rest[0], rate, rest[1]);
  std::copy_n(rest[1], n - i, theta + i);
}

void adam_float(const AdamScalars<float>& k, const float* g, Index n, float* t, float* m, float* v) { adam_all(k, g, n, t, m, v); }
void adam_double(const AdamScalars<double>& k, const double* g, Index n, double* t, double* m, double* v) { adam_all(k, g, n, t, m, v); }
void descend_float(const float* gradient, Index n, float rate, float* theta) { descend_all(gradient, n, rate, theta); }
void descend_double(const double* gradient, Index n, double rate, double* theta) { descend_all(gradient, n, rate, theta); }

}  // namespace ffzero::rule_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::rule_kernel {

HWY_EXPORT(adam_float);
HWY_EXPORT(adam_double);
HWY_EXPORT(descend_float);
HWY_EXPORT(descend_double);

void adam(const AdamScalars<float>& k, const float* gradient, Index n, float* theta, float* m, float* v) {
  HWY_DYNAMIC_DISPATCH(adam_float)(k, gradient, n, theta, m, v);
}
void adam(const AdamScalars<double>& k, const double* gradient, Index n, double* theta, double* m, double* v) {
  HWY_DYNAMIC_DISPATCH(adam_double)(k, gradient, n, theta, m, v);
}
void descend(const float* gradient, Index n, float rate, float* theta) { HWY_DYNAMIC_DISPATCH(descend_float)(gradient, n, rate, theta); }
void descend(const double* gradient, Index n, double rate, double* theta) {
  HWY_DYNAMIC_DISPATCH(descend_double)(gradient, n, rate, theta);
}

}  // namespace ffzero::rule_kernel
#endif
