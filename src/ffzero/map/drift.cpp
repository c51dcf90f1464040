// Slow wandering of the numbers that an instrument stands at.
// SPDX-License-Identifier: MIT
#include "ffzero/map/drift.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ffzero/base/random.hpp"

namespace ffzero {

template <class S>
void Drift::add(double seconds, std::span<S> values) const {
  if (rms_ == 0.0) return;
  // Between two independent normal numbers along a circle, so that the spread stays that of each of them; the first one is 0.
  const double position = std::max(0.0, (seconds + age_) / time_);
  const double whole = std::floor(position), angle = 0.5 * std::numbers::pi * (position - whole);
  const auto first = static_cast<Index>(std::min(whole, 1e12));
  const std::lock_guard lock(busy_);
  if (first_ != first) {
    const auto draw = [&](Index knot, Vector<float>& normal) {
      normal.setZero(count_);
      // Steps below 2^20 are those of what is drawn once.
      if (knot > 0)
        RandomStream(seed_, Stream::device, part_, (std::uint64_t{1} << 20U) + static_cast<std::uint64_t>(knot))
            .fill_normal(as_span(normal));
    };
    draw(first, before_);
    draw(first + 1, after_);
    first_ = first;
  }
  const S from = static_cast<S>(rms_ * std::cos(angle)), to = static_cast<S>(rms_ * std::sin(angle));
  as_vector(values) += from * before_.template cast<S>() + to * after_.template cast<S>();
}

template void Drift::add(double, std::span<float>) const;
template void Drift::add(double, std::span<double>) const;

}  // namespace ffzero
