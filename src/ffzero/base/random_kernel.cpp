// Philox 4x32-10 (Salmon et al. 2011) and what RandomStream makes of its words, compiled once per processor target. Additions and
// multiplications stay apart and division and square root are exact, so every target gives the same bits.
// SPDX-License-Identifier: MIT
#include "ffzero/base/random_kernel-inl.hpp"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/base/random_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::random_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Words = hn::ScalableTag<std::uint32_t>;
using Wides = hn::ScalableTag<std::uint64_t>;
using Signed = hn::ScalableTag<std::int32_t>;
using Floats = hn::ScalableTag<float>;
using VW = hn::Vec<Words>;
using VF = hn::Vec<Floats>;
constexpr Words kWords;
constexpr Signed kSigned;
constexpr Floats kFloats;

constexpr Index kRounds = 10;
constexpr std::uint32_t kMultiplier0 = 0xD2511F53U, kMultiplier1 = 0xCD9E8D57U, kWeyl0 = 0x9E3779B9U, kWeyl1 = 0xBB67AE85U;

/// The largest words round up to 1, which the interval leaves out.
HWY_INLINE VF uniform_of(VW words) {
  const VF whole = hn::ConvertTo(kFloats, hn::BitCast(kSigned, hn::ShiftRight<8>(words)));
  return hn::Min(hn::Mul(hn::Add(whole, hn::Set(kFloats, 0.5F)), hn::Set(kFloats, 0x1p-24F)), hn::Set(kFloats, 1.0F - 0x1p-24F));
}

/// a + x b, rounded twice.
HWY_INLINE VF plus(float a, VF x, VF b) { return hn::Add(hn::Set(kFloats, a), hn::Mul(x, b)); }

/// ln x for x in (0, 1): exponent by bits, then atanh series on the mantissa in [sqrt(1/2), sqrt(2)).
HWY_INLINE VF log_of(VF x) {
  const VW root = hn::Set(kWords, 0x3F3504F3U);
  const VW shifted = hn::Sub(hn::BitCast(kWords, x), root);
  const VF exponent = hn::ConvertTo(kFloats, hn::ShiftRight<23>(hn::BitCast(kSigned, shifted)));
  const VF m = hn::BitCast(kFloats, hn::Add(hn::And(shifted, hn::Set(kWords, 0x007FFFFFU)), root));
  const VF one = hn::Set(kFloats, 1.0F);
  const VF t = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  const VF t2 = hn::Mul(t, t);
  const VF series = plus(2.0F, t2, plus(0.66666667F, t2, plus(0.4F, t2, plus(0.28571430F, t2, hn::Set(kFloats, 0.22222222F)))));
  return hn::Add(hn::Mul(exponent, hn::Set(kFloats, 0.69314718F)), hn::Mul(t, series));
}

HWY_INLINE VF radius_of(VW words) { return hn::Sqrt(hn::Mul(hn::Set(kFloats, -2.0F), log_of(uniform_of(words)))); }

struct CosSin {
  VF cos, sin;
};

/// cos and sin of 2 pi u for u in (0, 1): quadrant by rounding, Taylor polynomials on [-pi/4, pi/4].
HWY_INLINE CosSin cos_sin_turn(VF u) {
  const VF quarter = hn::Mul(u, hn::Set(kFloats, 4.0F));
  const auto q = hn::ConvertTo(kSigned, hn::Add(quarter, hn::Set(kFloats, 0.5F)));
  const VF a = hn::Mul(hn::Sub(quarter, hn::ConvertTo(kFloats, q)), hn::Set(kFloats, 1.57079633F));
  const VF a2 = hn::Mul(a, a);
  const VF s = hn::Mul(
      a, plus(1.0F, a2, plus(-0.16666667F, a2, plus(8.3333333e-3F, a2, plus(-1.9841270e-4F, a2, hn::Set(kFloats, 2.7557319e-6F))))));
  const VF c = plus(1.0F, a2, plus(-0.5F, a2, plus(4.1666667e-2F, a2, plus(-1.3888889e-3F, a2, hn::Set(kFloats, 2.4801587e-5F)))));
  // Quadrants 1 and 3 swap sine and cosine; 2 and 3 negate the sine, 1 and 2 the cosine.
  const auto odd = hn::MaskFromVec(hn::BitCast(kFloats, hn::VecFromMask(kSigned, hn::TestBit(q, hn::Set(kSigned, 1)))));
  const auto two = hn::Set(kSigned, 2);
  const VF sin_sign = hn::BitCast(kFloats, hn::ShiftLeft<30>(hn::And(q, two)));
  const VF cos_sign = hn::BitCast(kFloats, hn::ShiftLeft<30>(hn::And(hn::Add(q, hn::Set(kSigned, 1)), two)));
  return {hn::Xor(hn::IfThenElse(odd, s, c), cos_sign), hn::Xor(hn::IfThenElse(odd, c, s), sin_sign)};
}

#if HWY_TARGET == HWY_SCALAR
// ---- One block at a time: the definition that the other targets must meet ------------------------------------------------------------

constexpr Index kBlocks = 1;

class Keys {
 public:
  explicit Keys(const Source& source) : key_{source.key[0], source.key[1]} {}
  [[nodiscard]] std::uint32_t operator()(Index round, Index which) const {
    return key_[which] + static_cast<std::uint32_t>(round) * (which == 0 ? kWeyl0 : kWeyl1);
  }

 private:
  std::uint32_t key_[2];
};

struct Four {
  std::uint32_t w[4];
};

HWY_INLINE Four philox(const Source& source, const Keys& keys, std::uint64_t block) {
  Four x{
      {static_cast<std::uint32_t>(block), source.step, source.high | (static_cast<std::uint32_t>(block >> 32) & 0xFFFFFFU), source.part}};
  for (Index round = 0; round < kRounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{x.w[0]} * kMultiplier0, p1 = std::uint64_t{x.w[2]} * kMultiplier1;
    x = {{static_cast<std::uint32_t>(p1 >> 32) ^ x.w[1] ^ keys(round, 0), static_cast<std::uint32_t>(p1),
          static_cast<std::uint32_t>(p0 >> 32) ^ x.w[3] ^ keys(round, 1), static_cast<std::uint32_t>(p0)}};
  }
  return x;
}

struct ToBits {
  using Value = std::uint32_t;
  HWY_INLINE void operator()(const Four& x, std::uint32_t* out) const { std::copy_n(x.w, 4, out); }
};

struct ToUniform {
  using Value = float;
  HWY_INLINE void operator()(const Four& x, float* out) const {
    for (Index i = 0; i < 4; ++i) out[i] = hn::GetLane(uniform_of(hn::Set(kWords, x.w[i])));
  }
};

/// Box-Muller: words 0 and 2 of a block are radii, words 1 and 3 angles.
struct ToNormal {
  using Value = float;
  HWY_INLINE void operator()(const Four& x, float* out) const {
    for (Index i = 0; i < 4; i += 2) {
      const VF radius = radius_of(hn::Set(kWords, x.w[i]));
      const CosSin turn = cos_sin_turn(uniform_of(hn::Set(kWords, x.w[i + 1])));
      out[i] = hn::GetLane(hn::Mul(radius, turn.cos));
      out[i + 1] = hn::GetLane(hn::Mul(radius, turn.sin));
    }
  }
};

#else
// ---- One block in each 64-bit lane -----------------------------------------------------------------------------------------------------
// The 32 x 32 -> 64 bit products of the processor then need no shuffles. Only the low halves count: the high halves of what goes into a
// round are never looked at.

constexpr Wides kWides;
constexpr Index kBlocks = HWY_LANES(std::uint64_t);

struct Four {
  VW w0, w1, w2, w3;
};

/// The keys of all rounds, made once per call.
class Keys {
 public:
  // The loop writes every entry: zeros before it would cost as much as the keys.
  explicit Keys(const Source& source) {  // NOLINT(cppcoreguidelines-pro-type-member-init)
    for (Index round = 0; round < kRounds; ++round) {
      const auto n = static_cast<std::uint32_t>(round);
      hn::Store(hn::Set(kWords, source.key[0] + n * kWeyl0), kWords, values_[round][0]);
      hn::Store(hn::Set(kWords, source.key[1] + n * kWeyl1), kWords, values_[round][1]);
    }
  }
  HWY_INLINE VW operator()(Index round, Index which) const { return hn::Load(kWords, values_[round][which]); }

 private:
  alignas(64) std::uint32_t values_[kRounds][2][HWY_LANES(std::uint32_t)];
};

/// High halves in the low ones: a shuffle, because shifts would wait for the ports that multiply.
HWY_INLINE VW high_halves(VW v) { return hn::Shuffle2301(v); }

HWY_INLINE Four philox(const Source& source, const Keys& keys, std::uint64_t first) {
  const auto block = hn::Add(hn::Set(kWides, first), hn::Iota(kWides, 0));
  const auto beyond = hn::And(hn::ShiftRight<32>(block), hn::Set(kWides, 0xFFFFFFU));
  Four x{hn::BitCast(kWords, block), hn::Set(kWords, source.step), hn::BitCast(kWords, hn::Or(beyond, hn::Set(kWides, source.high))),
         hn::Set(kWords, source.part)};
  const VW m0 = hn::Set(kWords, kMultiplier0), m1 = hn::Set(kWords, kMultiplier1);
  HWY_UNROLL(10)
  for (Index round = 0; round < kRounds; ++round) {
    const VW p0 = hn::BitCast(kWords, hn::MulEven(x.w0, m0));
    const VW p1 = hn::BitCast(kWords, hn::MulEven(x.w2, m1));
    x = {hn::Xor(hn::Xor(high_halves(p1), x.w1), keys(round, 0)), p1, hn::Xor(hn::Xor(high_halves(p0), x.w3), keys(round, 1)), p0};
  }
  return x;
}

/// Low halves of `even` in even lanes, of `odd` in odd ones.
HWY_INLINE VW zip(VW even, VW odd) { return hn::OddEven(hn::Shuffle2301(odd), even); }

/// The pairs of words of `low` and `high` in turn, to values of four bytes.
template <class V>
HWY_INLINE void store_pairs(V low, V high, void* out) {
#if HWY_TARGET == HWY_EMU128
  // Without vectors these are plain stores of eight bytes, which must not straddle.
  std::uint64_t pairs[2 * kBlocks];
  hn::StoreInterleaved2(hn::BitCast(kWides, low), hn::BitCast(kWides, high), kWides, pairs);
  std::memcpy(out, pairs, sizeof(pairs));
#else
  hn::StoreInterleaved2(hn::BitCast(kWides, low), hn::BitCast(kWides, high), kWides, static_cast<std::uint64_t*>(out));
#endif
}

/// Each of these turns kBlocks blocks into 4 kBlocks values.
struct ToBits {
  using Value = std::uint32_t;
  HWY_INLINE void operator()(const Four& x, std::uint32_t* out) const { store_pairs(zip(x.w0, x.w1), zip(x.w2, x.w3), out); }
};

struct ToUniform {
  using Value = float;
  HWY_INLINE void operator()(const Four& x, float* out) const {
    store_pairs(uniform_of(zip(x.w0, x.w1)), uniform_of(zip(x.w2, x.w3)), out);
  }
};

/// Box-Muller: words 0 and 2 of a block are radii, words 1 and 3 angles.
struct ToNormal {
  using Value = float;
  HWY_INLINE void operator()(const Four& x, float* out) const {
    const VF radius = radius_of(zip(x.w0, x.w2));
    const CosSin turn = cos_sin_turn(uniform_of(zip(x.w1, x.w3)));
    hn::StoreInterleaved2(hn::Mul(radius, turn.cos), hn::Mul(radius, turn.sin), kFloats, out);
  }
};

#endif

template <class To>
HWY_INLINE void fill(const Source& source, std::uint64_t first, Index blocks, typename To::Value* out) {
  const Keys keys(source);
  const To to;
  Index done = 0;
  for (; done + kBlocks <= blocks; done += kBlocks) to(philox(source, keys, first + static_cast<std::uint64_t>(done)), out + 4 * done);
  if (done == blocks) return;
  alignas(64) typename To::Value rest[4 * kBlocks];
  to(philox(source, keys, first + static_cast<std::uint64_t>(done)), rest);
  std::copy_n(rest, 4 * (blocks - done), out + 4 * done);
}

void bits(const Source& source, std::uint64_t first, Index blocks, std::uint32_t* out) { fill<ToBits>(source, first, blocks, out); }
void uniform(const Source& source, std::uint64_t first, Index blocks, float* out) { fill<ToUniform>(source, first, blocks, out); }
void normal(const Source& source, std::uint64_t first, Index blocks, float* out) { fill<ToNormal>(source, first, blocks, out); }

template <class S, class U>
HWY_INLINE void spread(const std::uint32_t* words, Index count, S scale, S* out) {
  const hn::ScalableTag<S> real;
  const hn::ScalableTag<U> integers;
  constexpr Index kLanes = HWY_LANES(U);
  static_assert(kLanes <= 32);
  const auto plus = hn::Set(real, scale), minus = hn::Set(real, -scale);
  const auto lane_bits = hn::Shl(hn::Set(integers, U{1}), hn::Iota(integers, U{0}));
  for (Index i = 0; i < count; ++i) {
    const auto word = hn::Set(integers, static_cast<U>(words[i]));
    auto bit = lane_bits;
    for (Index at = 0; at < 32; at += kLanes) {
      const auto set = hn::TestBit(word, bit);
      hn::StoreU(hn::IfThenElse(hn::RebindMask(real, set), plus, minus), real, out + 32 * i + at);
      bit = hn::ShiftLeft<kLanes>(bit);
    }
  }
}

void spread_float(const std::uint32_t* words, Index count, float scale, float* out) {
  spread<float, std::uint32_t>(words, count, scale, out);
}
void spread_double(const std::uint32_t* words, Index count, double scale, double* out) {
  spread<double, std::uint64_t>(words, count, scale, out);
}

}  // namespace ffzero::random_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::random_kernel {

HWY_EXPORT(bits);
HWY_EXPORT(uniform);
HWY_EXPORT(normal);
HWY_EXPORT(spread_float);
HWY_EXPORT(spread_double);

void fill_bits(const Source& source, std::uint64_t first, Index blocks, std::uint32_t* out) {
  HWY_DYNAMIC_DISPATCH(bits)(source, first, blocks, out);
}
void fill_uniform(const Source& source, std::uint64_t first, Index blocks, float* out) {
  HWY_DYNAMIC_DISPATCH(uniform)(source, first, blocks, out);
}
void fill_normal(const Source& source, std::uint64_t first, Index blocks, float* out) {
  HWY_DYNAMIC_DISPATCH(normal)(source, first, blocks, out);
}
void spread_signs(const std::uint32_t* words, Index count, float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(spread_float)(words, count, scale, out);
}
void spread_signs(const std::uint32_t* words, Index count, double scale, double* out) {
  HWY_DYNAMIC_DISPATCH(spread_double)(words, count, scale, out);
}

}  // namespace ffzero::random_kernel
#endif
