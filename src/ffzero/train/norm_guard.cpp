// Lengths of the units of a block's parameters.
// SPDX-License-Identifier: MIT
#include "ffzero/train/norm_guard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ffzero {

namespace {
// The largest growth of a sound run that we have seen is some hundredfold (the paper's settings); a million times the first length leaves
// steps that are lost in rounding.
constexpr double kLargestGrowth = 1e6;
}  // namespace

template <class S>
double unit_norm(const Unit& unit, std::span<const S> theta) {
  double squared = 0.0;
  for (const Segment& s : unit.segments) squared += as_vector(theta).segment(s.begin, s.size).template cast<double>().squaredNorm();
  return std::sqrt(squared);
}

std::vector<Segment> uncovered_segments(const ParameterLayout& layout, Index parameters) {
  std::vector<Segment> covered;
  for (const Unit& unit : layout.units) covered.insert(covered.end(), unit.segments.begin(), unit.segments.end());
  std::sort(covered.begin(), covered.end(), [](const Segment& a, const Segment& b) { return a.begin < b.begin; });
  covered.push_back({.begin = parameters, .size = 0});
  std::vector<Segment> gaps;
  Index at = 0;
  for (const Segment& s : covered) {
    if (s.begin > at) gaps.push_back({.begin = at, .size = s.begin - at});
    at = s.begin + s.size;
  }
  return gaps;
}

template <class S>
NormGuard<S>::NormGuard(const ParameterLayout& layout, std::span<const S> initial) : layout_(&layout) {
  for (const Unit& unit : layout.units) initial_.push_back(unit_norm<S>(unit, initial));
}

template <class S>
void NormGuard<S>::hold(std::span<S> theta) const {
  for (std::size_t u = 0; u < initial_.size(); ++u) {
    const double norm = unit_norm<S>(layout_->units[u], theta);
    if (norm <= 0.0) continue;
    for (const Segment& s : layout_->units[u].segments) as_vector(theta).segment(s.begin, s.size) *= static_cast<S>(initial_[u] / norm);
  }
}

template <class S>
typename NormGuard<S>::Finding NormGuard<S>::look(std::span<const S> theta) const {
  for (std::size_t u = 0; u < initial_.size(); ++u) {
    const Unit& unit = layout_->units[u];
    const double norm = unit_norm<S>(unit, theta);
    if (!std::isfinite(norm)) return {"the parameters must stay finite", "one that is not"};
    // Parameters that begin at zero are compared with ones.
    const double first = initial_[u] > 0.0 ? initial_[u] : std::sqrt(static_cast<double>(unit.size()));
    if (norm > kLargestGrowth * first)
      return {fmt::format("the parameters must stay finite, and below {:g} times their first length", kLargestGrowth),
              fmt::format("{:.3g} times", norm / first)};
  }
  return {};
}

template double unit_norm(const Unit&, std::span<const float>);
template double unit_norm(const Unit&, std::span<const double>);
template class NormGuard<float>;
template class NormGuard<double>;

}  // namespace ffzero
