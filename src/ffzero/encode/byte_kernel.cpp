// Pixels from bytes to floats, compiled once per processor target.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/byte_kernel-inl.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/encode/byte_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::byte_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
constexpr Floats kFloats;

/// v / 255, correctly rounded for whole v from 0 to 255. With fused operations a product and one correction are enough.
HWY_INLINE hn::Vec<Floats> fraction_of(hn::Vec<Floats> v) {
#if HWY_NATIVE_FMA
  const auto inverse = hn::Set(kFloats, 1.0F / 255.0F);
  const auto guess = hn::Mul(v, inverse);
  return hn::MulAdd(hn::NegMulAdd(guess, hn::Set(kFloats, 255.0F), v), inverse, guess);
#else
  return hn::Div(v, hn::Set(kFloats, 255.0F));
#endif
}

void scale_all(const std::uint8_t* HWY_RESTRICT bytes, Index n, float low, float range, float* HWY_RESTRICT out) {
  const hn::Rebind<std::uint8_t, Floats> small;
  const hn::Rebind<std::int32_t, Floats> integers;
  constexpr Index kLanes = HWY_LANES(float);
  const auto each = [&](auto finish) HWY_ATTR {
    Index i = 0;
    for (; i + kLanes <= n; i += kLanes)
      hn::StoreU(finish(fraction_of(hn::ConvertTo(kFloats, hn::PromoteTo(integers, hn::LoadU(small, bytes + i))))), kFloats, out + i);
    return i;
  };
  const bool whole = low == 0.0F && range == 1.0F;  // then nothing is left to do
  Index i = whole ? each([](auto v) HWY_ATTR { return v; })
                  : each([&](auto v) HWY_ATTR { return hn::Div(hn::Sub(v, hn::Set(kFloats, low)), hn::Set(kFloats, range)); });
  for (; i < n; ++i) out[i] = (static_cast<float>(bytes[i]) / 255.0F - low) / range;
}

}  // namespace ffzero::byte_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::byte_kernel {

HWY_EXPORT(scale_all);

void scale(const std::uint8_t* bytes, Index n, float low, float range, float* out) {
  HWY_DYNAMIC_DISPATCH(scale_all)(bytes, n, low, range, out);
}

}  // namespace ffzero::byte_kernel
#endif
