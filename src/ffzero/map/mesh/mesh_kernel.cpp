// The fast mesh in float, compiled once per processor target. Private to map/mesh; see mesh_kernel.hpp for how it works.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/mesh_kernel.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/map/mesh/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ffzero/map/mesh/mesh_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace ffzero::mesh_kernel::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<float>;
using V = hn::Vec<Tag>;
constexpr Tag kTag;
constexpr Index kLanes = HWY_LANES(float);
// Registers: the forward sweep keeps 2 (width - 1) fields, the backward one 4 (width - 1).
constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;
constexpr Index kForwardWidth = kManyRegisters ? 8 : 4;
constexpr Index kBackwardWidth = kManyRegisters ? 4 : 2;

// ---- Sine and cosine -----------------------------------------------------------------------------------------------------------

/// x - q pi/2 without loss, |x| <= kReducible.
#if HWY_NATIVE_FMA
constexpr float kReducible = 1.0e5F;
HWY_INLINE V reduce(V x, V q) {
  const V first = hn::NegMulAdd(q, hn::Set(kTag, 1.5707963705062866F), x);
  const V second = hn::NegMulAdd(q, hn::Set(kTag, -4.371138828673793e-08F), first);
  return hn::NegMulAdd(q, hn::Set(kTag, -1.7151245100058819e-15F), second);
}
#else
constexpr float kReducible = 500.0F;  // the parts of pi/2 have 11 bits, so products with q stay exact
HWY_INLINE V reduce(V x, V q) {
  const V first = hn::NegMulAdd(q, hn::Set(kTag, 1.5703125F), x);
  const V second = hn::NegMulAdd(q, hn::Set(kTag, 0.0004837512969970703F), first);
  const V third = hn::NegMulAdd(q, hn::Set(kTag, 7.549533620476723e-08F), second);
  return hn::NegMulAdd(q, hn::Set(kTag, 2.5633440682570896e-12F), third);
}
#endif

struct SinCos {
  V sin, cos;
};

/// Angles far outside of the usual range, infinities.
HWY_NOINLINE SinCos sin_cos_far(V x) {
  alignas(64) float angle[kLanes], s[kLanes], c[kLanes];
  hn::Store(x, kTag, angle);
  for (Index i = 0; i < kLanes; ++i) {
    s[i] = static_cast<float>(std::sin(static_cast<double>(angle[i])));
    c[i] = static_cast<float>(std::cos(static_cast<double>(angle[i])));
  }
  return {hn::Load(kTag, s), hn::Load(kTag, c)};
}

/// Accurate to about one unit in the last place of 1. Minimax polynomials on |r| <= pi/4.
HWY_INLINE SinCos sin_cos(V x) {
  if (HWY_UNLIKELY(!hn::AllFalse(kTag, hn::Gt(hn::Abs(x), hn::Set(kTag, kReducible))))) return sin_cos_far(x);
  const hn::RebindToSigned<Tag> integers;
  const V q = hn::Round(hn::Mul(x, hn::Set(kTag, 0.6366197723675814F)));
  const V r = reduce(x, q);
  const V z = hn::Mul(r, r);
  const V s3 = hn::MulAdd(z, hn::Set(kTag, -0.00019514076890822442F), hn::Set(kTag, 0.008332154994306016F));
  const V s = hn::MulAdd(hn::Mul(hn::MulAdd(z, s3, hn::Set(kTag, -0.1666665458907426F)), z), r, r);
  const V c3 = hn::MulAdd(z, hn::Set(kTag, 2.4434837100449932e-05F), hn::Set(kTag, -0.0013887337007301717F));
  const V c2 = hn::MulAdd(z, c3, hn::Set(kTag, 0.04166664626717965F));
  const V c = hn::MulAdd(hn::MulAdd(z, c2, hn::Set(kTag, -0.5F)), z, hn::Set(kTag, 1.0F));
  // Quadrant: odd ones swap sine and cosine; bit 1 of q negates the sine, bit 1 of q + 1 the cosine.
  const auto quadrant = hn::ConvertTo(integers, q);
  const auto one = hn::Set(integers, 1);
  const auto two = hn::Set(integers, 2);
  const auto odd = hn::MaskFromVec(hn::BitCast(kTag, hn::VecFromMask(integers, hn::TestBit(quadrant, one))));
  const V sin_sign = hn::BitCast(kTag, hn::ShiftLeft<30>(hn::And(quadrant, two)));
  const V cos_sign = hn::BitCast(kTag, hn::ShiftLeft<30>(hn::And(hn::Add(quadrant, one), two)));
  return {hn::Xor(hn::IfThenElse(odd, c, s), sin_sign), hn::Xor(hn::IfThenElse(odd, s, c), cos_sign)};
}

// ---- Coefficients --------------------------------------------------------------------------------------------------------------

HWY_INLINE V phases_at(const Phases& phases, Index i) {
  const V theta = hn::LoadU(kTag, phases.theta + i);
  if (phases.direction == nullptr) return theta;
  return hn::MulAdd(hn::Set(kTag, phases.step), hn::LoadU(kTag, phases.direction + i), theta);
}

/// The last, incomplete vector of a column.
HWY_INLINE V phases_at(const Phases& phases, Index i, Index count) {
  alignas(64) float theta[kLanes] = {};
  alignas(64) float direction[kLanes] = {};
  std::copy_n(phases.theta + i, count, theta);
  if (phases.direction != nullptr) std::copy_n(phases.direction + i, count, direction);
  return phases_at(Phases{theta, phases.direction == nullptr ? nullptr : direction, phases.step}, 0);
}

HWY_INLINE V load_some(const float* from, Index count) {
  if (count >= kLanes) return hn::LoadU(kTag, from);
  alignas(64) float some[kLanes] = {};
  std::copy_n(from, count, some);
  return hn::Load(kTag, some);
}

HWY_INLINE void store_some(V v, float* to, Index count) {
  if (count >= kLanes) return hn::StoreU(v, kTag, to);
  alignas(64) float some[kLanes];
  hn::Store(v, kTag, some);
  std::copy_n(some, count, to);
}

/// Of theta / 2 and phi of `count` interferometers from entry i of the blocks.
struct Angles {
  SinCos t, phi;
};
HWY_INLINE Angles angles_at(const MeshLayout& layout, const Phases& phases, Index i, Index count) {
  if (const Resolved* r = phases.resolved; r != nullptr) {
    return {{load_some(r->sin_t + i, count), load_some(r->cos_t + i, count)},
            {load_some(r->sin_phi + i, count), load_some(r->cos_phi + i, count)}};
  }
  const bool full = count >= kLanes;
  const V t = full ? phases_at(phases, i) : phases_at(phases, i, count);
  const V phi = full ? phases_at(phases, layout.phi_begin() + i) : phases_at(phases, layout.phi_begin() + i, count);
  return {sin_cos(hn::Mul(t, hn::Set(kTag, 0.5F))), sin_cos(phi)};
}
HWY_INLINE bool has_loss(const Phases& phases) { return phases.resolved != nullptr && phases.resolved->amplitude != nullptr; }

struct Coefficients {
  float sin_t, cos_t, cos_phi, sin_phi;
};
constexpr Coefficients kDark{0.0F, 0.0F, 0.0F, 0.0F};
constexpr Coefficients kIdentity{-1.0F, 0.0F, -1.0F, 0.0F};
/// A factor -i on both waveguides, divided by i.
constexpr Coefficients kBar{1.0F, 0.0F, -1.0F, 0.0F};

/// Pairs without an interferometer: dark, passing, or beyond the last column.
HWY_INLINE Coefficients passing(const MeshLayout& layout, Index column, Index top) {
  const Index n = layout.ports();
  if (top < -1 || top >= n) return kDark;
  if (column >= layout.columns() || top == -1) return kIdentity;
  if (top == n - 1 && n % 2 != 0) return {1.0F, 0.0F, 0.0F, -1.0F};  // factor 1, divided by i
  return kBar;
}

HWY_INLINE void put(float* to, const Coefficients& c) {
  to[0] = c.sin_t;
  to[1] = c.cos_t;
  to[2] = c.cos_phi;
  to[3] = c.sin_phi;
}

HWY_INLINE void copy_quadruple(const float* from, float* to) {
#if HWY_TARGET == HWY_SCALAR
  std::copy_n(from, kCoefficients, to);
#else
  const hn::FixedTag<float, kCoefficients> four;
  hn::StoreU(hn::LoadU(four, from), four, to);
#endif
}

/// Column `column`, the j-th of a sweep. to: first position of the sweep for this j; `stride` floats lie between diagonals.
HWY_INLINE void pack_column(const MeshLayout& layout, const Phases& phases, Index column, Index j, Index shift, Index diagonals,
                            Index stride, float* to) {
  const Index count = column < layout.columns() ? layout.pairs(column) : 0;
  const Index first = (column % 2 + j + shift) / 2;  // diagonal of pair 0
  const Index theta = count > 0 ? layout.offset(column) : 0;
  alignas(64) float quadruples[kCoefficients * kLanes];
  for (Index k = 0; k < count; k += kLanes) {
    const Index some = std::min(kLanes, count - k);
    Angles angles = angles_at(layout, phases, theta + k, some);
    if (has_loss(phases)) {
      const V amplitude = load_some(phases.resolved->amplitude + theta + k, some);
      angles.t = {hn::Mul(angles.t.sin, amplitude), hn::Mul(angles.t.cos, amplitude)};
    }
    hn::StoreInterleaved4(angles.t.sin, angles.t.cos, angles.phi.cos, angles.phi.sin, kTag, quadruples);
    for (Index i = 0; i < some; ++i) copy_quadruple(quadruples + kCoefficients * i, to + (first + k + i) * stride);
  }
  const auto top = [&](Index d) { return 2 * d - shift - j; };
  for (Index d = 0; d < first; ++d) put(to + d * stride, passing(layout, column, top(d)));
  for (Index d = first + count; d < diagonals; ++d) put(to + d * stride, passing(layout, column, top(d)));
  if (column % 2 != 0 || column + 1 >= layout.columns()) return;
  // Waveguide 0 passes the next column alone: its factor (-i or 1, divided by i) joins the phase of this column's first pair.
  float* phase = to + first * stride + 2;
  const float re = phase[0];
  const float im = phase[1];
  const bool even = layout.ports() % 2 == 0;
  phase[0] = even ? -re : im;
  phase[1] = even ? -im : -re;
}

constexpr float kSmallestScale = 0x1p-80F;
/// Floats per diagonal of a block of shears: those of its positions, then the scales of the two waveguides that leave the block.
constexpr Index kShearStride = kForwardWidth * kShear + 2;

/// Shears of the interferometers of one vector, each in the first three of four floats; the scales of their waveguides move on.
HWY_INLINE void shear(const Angles& angles, V& upper_scale, V& lower_scale, float* quadruples) {
  const SinCos& t = angles.t;
  const SinCos& p = angles.phi;
  const V upper = hn::Mul(t.sin, upper_scale);
  const V lower = hn::Mul(t.sin, lower_scale);
  const V r = hn::Div(hn::Mul(t.cos, lower_scale), upper);
  const V q = hn::Neg(hn::Div(hn::Mul(t.cos, upper_scale), lower));
  hn::StoreInterleaved4(r, q, hn::Div(p.sin, p.cos), r, kTag, quadruples);
  upper_scale = hn::Mul(upper, p.cos);
  lower_scale = hn::Neg(lower);
}

/// Loss is a matter of the scales.
HWY_INLINE void weaken(const Phases& phases, Index i, Index count, V& upper_scale, V& lower_scale) {
  const V amplitude = load_some(phases.resolved->amplitude + i, count);
  upper_scale = hn::Mul(upper_scale, amplitude);
  lower_scale = hn::Mul(lower_scale, amplitude);
}

/// The j-th column of a block of shears.  scales: of waveguide 0, 1, ..
HWY_INLINE void shear_column(const MeshLayout& layout, const Phases& phases, Index column, Index j, Index diagonals, float* scales,
                             float* to) {
  const Index count = column < layout.columns() ? layout.pairs(column) : 0;
  const Index first = (column % 2 + j) / 2;
  const Index theta = count > 0 ? layout.offset(column) : 0;
  alignas(64) float quadruples[kCoefficients * kLanes];
  for (Index k = 0; k < count; k += kLanes) {
    const Index some = std::min(kLanes, count - k);
    float* const own = scales + column % 2 + 2 * k;
    const Angles angles = angles_at(layout, phases, theta + k, some);
    V upper, lower;
    if (some == kLanes) {
      hn::LoadInterleaved2(kTag, own, upper, lower);
      shear(angles, upper, lower, quadruples);
      if (has_loss(phases)) weaken(phases, theta + k, some, upper, lower);
      hn::StoreInterleaved2(upper, lower, kTag, own);
    } else {
      alignas(64) float some_scales[2 * kLanes] = {};
      std::copy_n(own, 2 * some, some_scales);
      hn::LoadInterleaved2(kTag, some_scales, upper, lower);
      shear(angles, upper, lower, quadruples);
      if (has_loss(phases)) weaken(phases, theta + k, some, upper, lower);
      hn::StoreInterleaved2(upper, lower, kTag, some_scales);
      std::copy_n(some_scales, 2 * some, own);
    }
    float* at = to + (first + k) * kShearStride;
    // The fourth float falls on the next position's first one, which its own column writes later.
    for (Index i = 0; i < some; ++i, at += kShearStride) copy_quadruple(quadruples + kCoefficients * i, at);
  }
  for (Index d = 0; d < first; ++d) std::fill_n(to + d * kShearStride, kShear, 0.0F);
  for (Index d = first + count; d < diagonals; ++d) std::fill_n(to + d * kShearStride, kShear, 0.0F);
  if (column >= layout.columns()) return;
  // Waveguides without an interferometer: -i, divided by i.
  for (Index w = column % 2 + 2 * count; w < layout.ports(); ++w) scales[w] = -scales[w];
  if (column % 2 != 0) scales[0] = -scales[0];
}

/// False if the scales leave the range that is safe in float.
HWY_INLINE bool pack_shears(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients) {
  const Grid grid(layout, kForwardWidth);
  const Index n = layout.ports();
  // Scales of the waveguides -width .. , dark ones included.
  const Scratch<float> memory(grid.rows + 2 * kForwardWidth);
  std::fill_n(memory.data(), grid.rows + 2 * kForwardWidth, 1.0F);
  float* const scales = memory.data() + kForwardWidth;
  for (Index j = 0; j < kForwardWidth; ++j) {
    shear_column(layout, phases, block * kForwardWidth + j, j, grid.diagonals, scales, coefficients + j * kShear);
  }
  bool safe = true;
  for (Index w = 0; w < n; ++w) safe &= std::abs(scales[w]) >= kSmallestScale;
  for (Index d = 0; d < grid.diagonals; ++d) {
    std::copy_n(scales + 2 * d + 1 - kForwardWidth, 2, coefficients + d * kShearStride + kForwardWidth * kShear);
  }
  return safe;
}

Form pack_forward(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients) {
  if (layout.ports() % 2 == 0 && pack_shears(layout, phases, block, coefficients)) return Form::shears;
  const Grid grid(layout, kForwardWidth);
  for (Index j = 0; j < kForwardWidth; ++j) {
    pack_column(layout, phases, block * kForwardWidth + j, j, 0, grid.diagonals, kForwardWidth * kCoefficients,
                coefficients + j * kCoefficients);
  }
  return Form::rotations;
}

Form pack_backward(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients) {
  const Grid grid(layout, kBackwardWidth);
  for (Index j = 0; j < kBackwardWidth; ++j) {
    pack_column(layout, phases, (block + 1) * kBackwardWidth - 1 - j, j, 1, grid.diagonals, kBackwardWidth * kCoefficients,
                coefficients + j * kCoefficients);
  }
  return Form::rotations;
}

Form pack_backward_lossy(const MeshLayout& layout, const Phases& phases, Index block, float* coefficients) {
  const Grid grid(layout, kBackwardWidth);
  constexpr Index kStride = kBackwardWidth * kLossyCoefficients;
  for (Index j = 0; j < kBackwardWidth; ++j) {
    const Index column = (block + 1) * kBackwardWidth - 1 - j;
    float* const to = coefficients + j * kLossyCoefficients;
    pack_column(layout, phases, column, j, 1, grid.diagonals, kStride, to);
    const Index count = column < layout.columns() ? layout.pairs(column) : 0;
    const Index first = (column % 2 + j + 1) / 2;
    for (Index d = 0; d < grid.diagonals; ++d) {
      float* const own = to + d * kStride;
      const bool real = has_loss(phases) && d >= first && d < first + count;
      const float amplitude = real ? phases.resolved->amplitude[layout.offset(column) + d - first] : 1.0F;
      for (Index i : {0, 1}) own[kCoefficients + i] = own[i] / (amplitude * amplitude);
    }
  }
  return Form::rotations;
}

struct Complex {
  V re, im;
};
HWY_INLINE Complex times(const Complex& a, const Complex& b) {
  return {hn::NegMulAdd(a.im, b.im, hn::Mul(a.re, b.re)), hn::MulAdd(a.re, b.im, hn::Mul(a.im, b.re))};
}
/// a / |a|, and |a|; 1 where a vanishes.
HWY_INLINE Complex direction_of(const Complex& a, V& length) {
  const V square = hn::MulAdd(a.re, a.re, hn::Mul(a.im, a.im));
  const auto there = hn::Gt(square, hn::Set(kTag, 1e-30F));
  length = hn::Sqrt(square);
  const V one = hn::Set(kTag, 1.0F);
  const V inverse = hn::Div(one, hn::IfThenElse(there, length, one));
  return {hn::IfThenElse(there, hn::Mul(a.re, inverse), one), hn::IfThenElse(there, hn::Mul(a.im, inverse), hn::Zero(kTag))};
}

/// Light of the imperfect mesh is that of the ideal one times a unit number for each waveguide, which is 1 behind the last column. Of a
/// pair with p = exp(i mu) |p|, q = exp(i nu) |q| [docs/notation.md, Chips] and the numbers A, B behind it, those in front are
/// B exp(i nu) and B exp(i mu), and the ideal pair has sin t = |p|, cos t = |q|, phase exp(i (phi + mu + nu)) B / A.
void resolve(const MeshLayout& layout, const float* theta, const CouplerAngles& couplers, const ResolvedOut& out) {
  const Index n = layout.ports();
  const Scratch<float> memory(2 * (n + 2 * kLanes));
  float* const re = memory.data();
  float* const im = re + n + 2 * kLanes;
  std::fill_n(re, n + 2 * kLanes, 1.0F);
  std::fill_n(im, n + 2 * kLanes, 0.0F);
  const Phases phases{.theta = theta};
  for (Index l = layout.columns() - 1; l >= 0; --l) {
    const Index count = layout.pairs(l);
    for (Index k = 0; k < count; k += kLanes) {
      const Index some = std::min(kLanes, count - k), i = layout.offset(l) + k, top = MeshLayout::top_waveguide(l, k);
      const Angles angles = angles_at(layout, phases, i, some);
      const auto& [sin, cos] = angles.t;
      const Complex p{hn::Mul(load_some(couplers.cos_difference + i, some), sin),
                      hn::Neg(hn::Mul(load_some(couplers.cos_sum + i, some), cos))};
      const Complex q{hn::Mul(load_some(couplers.sin_sum + i, some), cos), hn::Mul(load_some(couplers.sin_difference + i, some), sin)};
      V p_length, q_length;
      const Complex mu = direction_of(p, p_length);
      const Complex nu = direction_of(q, q_length);
      // The arrays have room for a vector behind the last waveguide; what is calculated there is not kept.
      Complex above, below;
      hn::LoadInterleaved2(kTag, re + top, above.re, below.re);
      hn::LoadInterleaved2(kTag, im + top, above.im, below.im);
      const Complex turn = times(mu, nu);
      const Complex phase = times(times(times({angles.phi.cos, angles.phi.sin}, turn), below), {above.re, hn::Neg(above.im)});
      above = times(below, nu);
      below = times(below, mu);
      if (some == kLanes) {
        hn::StoreInterleaved2(above.re, below.re, kTag, re + top);
        hn::StoreInterleaved2(above.im, below.im, kTag, im + top);
      } else {
        alignas(64) float some_re[2 * kLanes], some_im[2 * kLanes];
        hn::StoreInterleaved2(above.re, below.re, kTag, some_re);
        hn::StoreInterleaved2(above.im, below.im, kTag, some_im);
        std::copy_n(some_re, 2 * some, re + top);
        std::copy_n(some_im, 2 * some, im + top);
      }
      store_some(p_length, out.sin_t + i, some);
      store_some(q_length, out.cos_t + i, some);
      store_some(phase.re, out.cos_phi + i, some);
      store_some(phase.im, out.sin_phi + i, some);
      store_some(turn.re, out.cos_turn + i, some);
      store_some(turn.im, out.sin_turn + i, some);
      store_some(cos, out.cos_half + i, some);
      store_some(sin, out.sin_half + i, some);
    }
  }
  for (Index w = 0; w < n; w += kLanes) {
    const Index some = std::min(kLanes, n - w);
    const SinCos gamma = sin_cos(phases_at(phases, layout.gamma_begin() + w, some));
    const Complex phase = times({gamma.cos, gamma.sin}, {load_some(re + w, some), hn::Neg(load_some(im + w, some))});
    store_some(phase.re, out.cos_gamma + w, some);
    store_some(phase.im, out.sin_gamma + w, some);
  }
}

void pack_input(const MeshLayout& layout, const Phases& phases, float* input_phases) {
  // exp(i gamma) i^columns: quarter turns swap and negate.
  const Index turns = layout.columns() % 4;
  for (Index w = 0; w < layout.ports(); w += kLanes) {
    const Index some = std::min(kLanes, layout.ports() - w);
    SinCos gamma;
    if (phases.resolved != nullptr)
      gamma = {load_some(phases.resolved->sin_gamma + w, some), load_some(phases.resolved->cos_gamma + w, some)};
    else
      gamma = sin_cos(phases_at(phases, layout.gamma_begin() + w, some));
    const V re = turns % 2 == 0 ? gamma.cos : gamma.sin;
    const V im = turns % 2 == 0 ? gamma.sin : gamma.cos;
    alignas(64) float pairs[2 * kLanes];
    hn::StoreInterleaved2(turns == 1 || turns == 2 ? hn::Neg(re) : re, turns == 2 || turns == 3 ? hn::Neg(im) : im, kTag, pairs);
    std::copy_n(pairs, 2 * some, input_phases + 2 * w);
  }
}

// ---- Batch <-> state -----------------------------------------------------------------------------------------------------------

constexpr Index kRow = 2 * kLanes;  // floats per waveguide of a state

void load(const Grid& grid, Index ports, const float* re, const float* im, Index stride, Index count, float* state) {
  float* const first = state + grid.width * kRow;
  std::fill(state, first, 0.0F);
  std::fill(first + ports * kRow, state + grid.rows * kRow, 0.0F);
  constexpr Index kTile = 16;  // a cache line of every sample at a time
  for (Index w = 0; w < ports; w += kTile) {
    const Index some = std::min(kTile, ports - w);
    if (count < kLanes) std::fill(first + w * kRow, first + (w + some) * kRow, 0.0F);
    for (Index lane = 0; lane < count; ++lane) {
      const float* from_re = re + lane * stride + w;
      const float* from_im = im + lane * stride + w;
      float* to = first + w * kRow + lane;
      for (Index i = 0; i < some; ++i) {
        to[i * kRow] = from_re[i];
        to[i * kRow + kLanes] = from_im[i];
      }
    }
  }
}

void rotate(const Grid& grid, Index ports, const float* input_phases, bool conjugate, const float* from, float* to) {
  const Index offset = grid.width * kRow;
  if (from != to) {
    std::copy_n(from, offset, to);
    std::copy(from + offset + ports * kRow, from + grid.rows * kRow, to + offset + ports * kRow);
  }
  for (Index w = 0; w < ports; ++w) {
    const V p = hn::Set(kTag, input_phases[2 * w]);
    const V q = hn::Set(kTag, conjugate ? -input_phases[2 * w + 1] : input_phases[2 * w + 1]);
    const V re = hn::Load(kTag, from + offset + w * kRow);
    const V im = hn::Load(kTag, from + offset + w * kRow + kLanes);
    hn::Store(hn::NegMulAdd(q, im, hn::Mul(p, re)), kTag, to + offset + w * kRow);
    hn::Store(hn::MulAdd(q, re, hn::Mul(p, im)), kTag, to + offset + w * kRow + kLanes);
  }
}

void store(const Grid& grid, Index ports, const float* state, Index count, float* re, Index re_stride, float* im, Index im_stride) {
  const float* const first = state + grid.width * kRow;
  constexpr Index kTile = 16;
  alignas(64) float powers[kTile * kLanes];
  for (Index w = 0; w < ports; w += kTile) {
    const Index some = std::min(kTile, ports - w);
    const float* from = first + w * kRow;
    if (im == nullptr) {
      for (Index i = 0; i < some; ++i) {
        const V a = hn::Load(kTag, from + i * kRow);
        const V b = hn::Load(kTag, from + i * kRow + kLanes);
        hn::Store(hn::MulAdd(a, a, hn::Mul(b, b)), kTag, powers + i * kLanes);
      }
      for (Index lane = 0; lane < count; ++lane) {
        for (Index i = 0; i < some; ++i) re[lane * re_stride + w + i] = powers[i * kLanes + lane];
      }
      continue;
    }
    for (Index lane = 0; lane < count; ++lane) {
      for (Index i = 0; i < some; ++i) {
        re[lane * re_stride + w + i] = from[i * kRow + lane];
        im[lane * im_stride + w + i] = from[i * kRow + kLanes + lane];
      }
    }
  }
}

// ---- Forwards ------------------------------------------------------------------------------------------------------------------

struct Field {
  V re, im;
};

HWY_INLINE Field load_field(const float* at) { return {hn::Load(kTag, at), hn::Load(kTag, at + kLanes)}; }
HWY_INLINE void store_field(const Field& f, float* at) {
  hn::Store(f.re, kTag, at);
  hn::Store(f.im, kTag, at + kLanes);
}

/// One interferometer: upper, lower <- behind it.
HWY_INLINE void interfere(const float* c, Field& upper, Field& lower) {
  const V sin_t = hn::Set(kTag, c[0]);
  const V cos_t = hn::Set(kTag, c[1]);
  const V re = hn::MulAdd(sin_t, upper.re, hn::Mul(cos_t, lower.re));
  const V im = hn::MulAdd(sin_t, upper.im, hn::Mul(cos_t, lower.im));
  lower = {hn::NegMulAdd(sin_t, lower.re, hn::Mul(cos_t, upper.re)), hn::NegMulAdd(sin_t, lower.im, hn::Mul(cos_t, upper.im))};
  const V p = hn::Set(kTag, c[2]);
  const V q = hn::Set(kTag, c[3]);
  upper = {hn::NegMulAdd(q, im, hn::Mul(p, re)), hn::MulAdd(q, re, hn::Mul(p, im))};
}

/// The same on scaled fields.
HWY_INLINE void interfere_scaled(const float* c, Field& upper, Field& lower) {
  const V r = hn::Set(kTag, c[0]);
  const V q = hn::Set(kTag, c[1]);
  const V tangent = hn::Set(kTag, c[2]);
  const V re = hn::MulAdd(r, lower.re, upper.re);
  const V im = hn::MulAdd(r, lower.im, upper.im);
  lower = {hn::MulAdd(q, upper.re, lower.re), hn::MulAdd(q, upper.im, lower.im)};
  upper = {hn::NegMulAdd(tangent, im, re), hn::MulAdd(tangent, re, im)};
}

struct Rotations {
  static constexpr Index kStride = kForwardWidth * kCoefficients;
  HWY_INLINE static void apply(const float* c, Index j, Field& upper, Field& lower) { interfere(c + kCoefficients * j, upper, lower); }
  HWY_INLINE static void finish(const float*, Field&, Field&) {}
};

struct Shears {
  static constexpr Index kStride = kShearStride;
  HWY_INLINE static void apply(const float* c, Index j, Field& upper, Field& lower) { interfere_scaled(c + kShear * j, upper, lower); }
  HWY_INLINE static void finish(const float* c, Field& upper, Field& lower) {
    const V upper_scale = hn::Set(kTag, c[kForwardWidth * kShear]);
    const V lower_scale = hn::Set(kTag, c[kForwardWidth * kShear + 1]);
    upper = {hn::Mul(upper_scale, upper.re), hn::Mul(upper_scale, upper.im)};
    lower = {hn::Mul(lower_scale, lower.re), hn::Mul(lower_scale, lower.im)};
  }
};

/// Step J of a diagonal. On entry `upper` and `lower` are the fields in front of the pair; on return those in front of the next column's
/// pair, half a step higher: its upper one waited in the frontier since the previous diagonal, its lower one is our upper output.
template <class Steps, std::size_t J, std::size_t Last>
HWY_INLINE void forward_step(const float* c, Field* frontier, Field& upper, Field& lower) {
  Steps::apply(c, isize(J), upper, lower);
  if constexpr (J < Last) {
    const Field next = frontier[J];
    frontier[J] = lower;
    lower = upper;
    upper = next;
  }
}

template <class Steps, std::size_t... J>
HWY_INLINE void forward_diagonal(std::index_sequence<J...>, const float* c, Field* frontier, Field& upper, Field& lower) {
  (forward_step<Steps, J, sizeof...(J) - 1>(c, frontier, upper, lower), ...);
}

template <class Steps>
HWY_INLINE void sweep(const Grid& grid, const float* coefficients, float* state) {
  Field frontier[kForwardWidth - 1];
  for (Field& f : frontier) f = {hn::Zero(kTag), hn::Zero(kTag)};
  float* in = state + kForwardWidth * kRow;
  float* out = in + (1 - kForwardWidth) * kRow;
  for (Index d = 0; d < grid.diagonals; ++d) {
    Field upper = load_field(in);
    Field lower = load_field(in + kRow);
    forward_diagonal<Steps>(std::make_index_sequence<kForwardWidth>{}, coefficients, frontier, upper, lower);
    Steps::finish(coefficients, upper, lower);
    store_field(upper, out);
    store_field(lower, out + kRow);
    coefficients += Steps::kStride;
    in += 2 * kRow;
    out += 2 * kRow;
  }
}

void sweep_forward(const Grid& grid, Form form, const float* coefficients, float* state) {
  if (form == Form::shears) {
    sweep<Shears>(grid, coefficients, state);
  } else {
    sweep<Rotations>(grid, coefficients, state);
  }
}

// ---- Backwards -----------------------------------------------------------------------------------------------------------------

/// Light and the gradient of the loss with respect to it.
struct Beam {
  Field light, gradient;
};

/// Slopes of one interferometer, lane by lane.
struct Slope {
  V t, phi;
};

HWY_INLINE Field turned_back(const Field& f, V p, V q) {
  return {hn::MulAdd(q, f.im, hn::Mul(p, f.re)), hn::NegMulAdd(q, f.re, hn::Mul(p, f.im))};
}

HWY_INLINE void unmix(V sin_t, V cos_t, Field& upper, Field& lower) {
  const Field u = upper;
  upper = {hn::MulAdd(sin_t, u.re, hn::Mul(cos_t, lower.re)), hn::MulAdd(sin_t, u.im, hn::Mul(cos_t, lower.im))};
  lower = {hn::NegMulAdd(sin_t, lower.re, hn::Mul(cos_t, u.re)), hn::NegMulAdd(sin_t, lower.im, hn::Mul(cos_t, u.im))};
}

/// Undoes one interferometer on light and gradient (the inverse of a unitary map is its adjoint). With a'' = exp(-i phi) a':
/// da''/dt = b', db'/dt = -a'', da'/dphi = i a'.
HWY_INLINE Slope undo(const float* c, Beam& upper, Beam& lower) {
  const V p = hn::Set(kTag, c[2]);
  const V q = hn::Set(kTag, c[3]);
  const V phi = hn::NegMulAdd(upper.gradient.re, upper.light.im, hn::Mul(upper.gradient.im, upper.light.re));
  upper.light = turned_back(upper.light, p, q);
  upper.gradient = turned_back(upper.gradient, p, q);
  const V gain = hn::MulAdd(upper.gradient.re, lower.light.re, hn::Mul(upper.gradient.im, lower.light.im));
  const V loss = hn::MulAdd(lower.gradient.re, upper.light.re, hn::Mul(lower.gradient.im, upper.light.im));
  const V sin_t = hn::Set(kTag, c[0]);
  const V cos_t = hn::Set(kTag, c[1]);
  unmix(sin_t, cos_t, upper.light, lower.light);
  unmix(sin_t, cos_t, upper.gradient, lower.gradient);
  return {hn::Sub(gain, loss), phi};
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void accumulate(const Slope& first, const Slope& second, double* slopes) {
  slopes[0] += static_cast<double>(hn::GetLane(first.t));
  slopes[1] += static_cast<double>(hn::GetLane(first.phi));
  slopes[2] += static_cast<double>(hn::GetLane(second.t));
  slopes[3] += static_cast<double>(hn::GetLane(second.phi));
}
#else
using Four = hn::FixedTag<float, 4>;

/// Sum of the 128-bit blocks.
HWY_INLINE hn::Vec<Four> fold(V v) {
#if HWY_MAX_BYTES >= 64
  const hn::FixedTag<float, 8> eight;
  const auto half = hn::Add(hn::LowerHalf(eight, v), hn::UpperHalf(eight, v));
  return hn::Add(hn::LowerHalf(Four(), half), hn::UpperHalf(Four(), half));
#elif HWY_MAX_BYTES >= 32
  return hn::Add(hn::LowerHalf(Four(), v), hn::UpperHalf(Four(), v));
#else
  return v;
#endif
}

/// {sum of a, sum of b, sum of c, sum of d}: transposes and adds inside blocks, then adds the blocks.
HWY_INLINE hn::Vec<Four> sums(V a, V b, V c, V d) {
  const hn::Repartition<double, Tag> wide;
  const V ab = hn::Add(hn::InterleaveLower(kTag, a, b), hn::InterleaveUpper(kTag, a, b));
  const V cd = hn::Add(hn::InterleaveLower(kTag, c, d), hn::InterleaveUpper(kTag, c, d));
  const auto low = hn::InterleaveLower(wide, hn::BitCast(wide, ab), hn::BitCast(wide, cd));
  const auto high = hn::InterleaveUpper(wide, hn::BitCast(wide, ab), hn::BitCast(wide, cd));
  return fold(hn::Add(hn::BitCast(kTag, low), hn::BitCast(kTag, high)));
}

/// Adds the lanes of both slopes to slopes[0 .. 3].
HWY_INLINE void accumulate(const Slope& first, const Slope& second, double* slopes) {
  const hn::FixedTag<double, 2> two;
  const hn::FixedTag<float, 2> narrow;
  const auto sum = sums(first.t, first.phi, second.t, second.phi);
  const auto low = hn::PromoteTo(two, hn::LowerHalf(narrow, sum));
  const auto high = hn::PromoteTo(two, hn::UpperHalf(narrow, sum));
  hn::StoreU(hn::Add(hn::LoadU(two, slopes), low), two, slopes);
  hn::StoreU(hn::Add(hn::LoadU(two, slopes + 2), high), two, slopes + 2);
}
#endif

template <std::size_t J, std::size_t Last>
HWY_INLINE void backward_step(const float* c, Beam* frontier, Beam& upper, Beam& lower, Slope* slope) {
  slope[J] = undo(c + kCoefficients * isize(J), upper, lower);
  if constexpr (J < Last) {
    const Beam next = frontier[J];
    frontier[J] = lower;
    lower = upper;
    upper = next;
  }
}

template <std::size_t... J>
HWY_INLINE void backward_diagonal(std::index_sequence<J...>, const float* c, Beam* frontier, Beam& upper, Beam& lower, double* slopes) {
  Slope slope[sizeof...(J)];
  (backward_step<J, sizeof...(J) - 1>(c, frontier, upper, lower, slope), ...);
  for (std::size_t j = 0; j < sizeof...(J); j += 2) accumulate(slope[j], slope[j + 1], slopes + 2 * j);
}

void sweep_backward(const Grid& grid, const float* coefficients, float* light, float* gradient, double* slopes) {
  const Field zero{hn::Zero(kTag), hn::Zero(kTag)};
  Beam frontier[kBackwardWidth - 1];
  for (Beam& f : frontier) f = {zero, zero};
  const auto load_beam = [&](Index at) HWY_ATTR { return Beam{load_field(light + at), load_field(gradient + at)}; };
  const auto store_beam = [&](const Beam& beam, Index at) HWY_ATTR {
    store_field(beam.light, light + at);
    store_field(beam.gradient, gradient + at);
  };
  Index in = (kBackwardWidth - 1) * kRow;
  Index out = 0;
  for (Index d = 0; d < grid.diagonals; ++d) {
    Beam upper = load_beam(in);
    Beam lower = load_beam(in + kRow);
    backward_diagonal(std::make_index_sequence<kBackwardWidth>{}, coefficients, frontier, upper, lower, slopes);
    store_beam(upper, out);
    store_beam(lower, out + kRow);
    coefficients += kBackwardWidth * kCoefficients;
    slopes += 2 * kBackwardWidth;
    in += 2 * kRow;
    out += 2 * kRow;
  }
}

/// Slopes of one interferometer with imperfect couplers, lane by lane; see Kernel::sweep_backward_lossy.
struct FullSlope {
  V real, phi, imaginary, difference;
};

HWY_INLINE FullSlope undo_lossy(const float* c, Beam& upper, Beam& lower) {
  const V p = hn::Set(kTag, c[2]);
  const V q = hn::Set(kTag, c[3]);
  const V phi = hn::NegMulAdd(upper.gradient.re, upper.light.im, hn::Mul(upper.gradient.im, upper.light.re));
  const V below = hn::NegMulAdd(lower.gradient.re, lower.light.im, hn::Mul(lower.gradient.im, lower.light.re));
  upper.light = turned_back(upper.light, p, q);
  upper.gradient = turned_back(upper.gradient, p, q);
  const V gain = hn::MulAdd(upper.gradient.re, lower.light.re, hn::Mul(upper.gradient.im, lower.light.im));
  const V loss = hn::MulAdd(lower.gradient.re, upper.light.re, hn::Mul(lower.gradient.im, upper.light.im));
  const V one = hn::NegMulAdd(upper.gradient.im, lower.light.re, hn::Mul(upper.gradient.re, lower.light.im));
  const V other = hn::NegMulAdd(lower.gradient.im, upper.light.re, hn::Mul(lower.gradient.re, upper.light.im));
  unmix(hn::Set(kTag, c[4]), hn::Set(kTag, c[5]), upper.light, lower.light);
  unmix(hn::Set(kTag, c[0]), hn::Set(kTag, c[1]), upper.gradient, lower.gradient);
  return {hn::Sub(gain, loss), phi, hn::Add(one, other), hn::Sub(phi, below)};
}

HWY_INLINE void accumulate(const FullSlope& s, double* slopes) {
  accumulate(Slope{s.real, s.phi}, Slope{s.imaginary, s.difference}, slopes);
}

template <std::size_t J, std::size_t Last>
HWY_INLINE void lossy_step(const float* c, Beam* frontier, Beam& upper, Beam& lower, double* slopes) {
  accumulate(undo_lossy(c + kLossyCoefficients * isize(J), upper, lower), slopes + 4 * isize(J));
  if constexpr (J < Last) {
    const Beam next = frontier[J];
    frontier[J] = lower;
    lower = upper;
    upper = next;
  }
}

template <std::size_t... J>
HWY_INLINE void lossy_diagonal(std::index_sequence<J...>, const float* c, Beam* frontier, Beam& upper, Beam& lower, double* slopes) {
  (lossy_step<J, sizeof...(J) - 1>(c, frontier, upper, lower, slopes), ...);
}

void sweep_backward_lossy(const Grid& grid, const float* coefficients, float* light, float* gradient, double* slopes) {
  const Field zero{hn::Zero(kTag), hn::Zero(kTag)};
  Beam frontier[kBackwardWidth - 1];
  for (Beam& f : frontier) f = {zero, zero};
  Index in = (kBackwardWidth - 1) * kRow;
  Index out = 0;
  for (Index d = 0; d < grid.diagonals; ++d) {
    Beam upper{load_field(light + in), load_field(gradient + in)};
    Beam lower{load_field(light + in + kRow), load_field(gradient + in + kRow)};
    lossy_diagonal(std::make_index_sequence<kBackwardWidth>{}, coefficients, frontier, upper, lower, slopes);
    store_field(upper.light, light + out);
    store_field(upper.gradient, gradient + out);
    store_field(lower.light, light + out + kRow);
    store_field(lower.gradient, gradient + out + kRow);
    coefficients += kBackwardWidth * kLossyCoefficients;
    slopes += 4 * kBackwardWidth;
    in += 2 * kRow;
    out += 2 * kRow;
  }
}

void input_slopes(const Grid& grid, Index ports, const float* light, const float* gradient, double* slopes) {
  const Index offset = grid.width * kRow;
  for (Index w = 0; w < ports; ++w) {
    const Field v = load_field(light + offset + w * kRow);
    const Field g = load_field(gradient + offset + w * kRow);
    const V slope = hn::NegMulAdd(g.re, v.im, hn::Mul(g.im, v.re));
    slopes[w] += static_cast<double>(hn::GetLane(hn::SumOfLanes(kTag, slope)));
  }
}

const Kernel* make() {
  static const Kernel instance{.lanes = kLanes,
                               .forward_width = kForwardWidth,
                               .backward_width = kBackwardWidth,
                               .pack_forward = pack_forward,
                               .pack_backward = pack_backward,
                               .pack_input = pack_input,
                               .load = load,
                               .rotate = rotate,
                               .store = store,
                               .sweep_forward = sweep_forward,
                               .sweep_backward = sweep_backward,
                               .sweep_backward_lossy = sweep_backward_lossy,
                               .pack_backward_lossy = pack_backward_lossy,
                               .resolve = resolve,
                               .input_slopes = input_slopes};
  return &instance;
}

}  // namespace ffzero::mesh_kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ffzero::mesh_kernel {

HWY_EXPORT(make);

const Kernel& kernel() { return *HWY_DYNAMIC_DISPATCH(make)(); }

Grid::Grid(const MeshLayout& layout, Index block_width)
    : width(block_width),
      blocks(divide_up(layout.columns(), block_width)),
      diagonals((layout.ports() + layout.ports() % 2 + block_width) / 2),
      rows(layout.ports() + layout.ports() % 2 + 2 * block_width) {}

}  // namespace ffzero::mesh_kernel
#endif
