// Means, deviations and ranges of features.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/feature_scale.hpp"

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"

namespace ffzero {

std::string to_string(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::none:
      return "none";
    case ScaleKind::standardise:
      return "standardise";
    case ScaleKind::sphere:
      return "sphere";
    case ScaleKind::unit:
      return "unit";
  }
  return {};
}

ScaleKind scale_kind_from(std::string_view text) {
  for (const ScaleKind kind : {ScaleKind::none, ScaleKind::standardise, ScaleKind::sphere, ScaleKind::unit})
    if (text == to_string(kind)) return kind;
  throw ConfigError("dataset.scale", "must be auto, none, standardise, sphere or unit", "\"" + std::string(text) + "\"");
}

void FeatureScale::apply(std::span<const float> x, std::span<float> out) const noexcept {
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double scaled = (static_cast<double>(x[k]) - offset[k]) * factor[k];
    out[k] = static_cast<float>(std::clamp(scaled, -kLargestFeature, kLargestFeature));
  }
}

FeatureScale fit_feature_scale(ScaleKind kind, Index features, Index samples, const std::function<std::span<const float>(Index)>& sample) {
  FeatureScale scale;
  if (kind == ScaleKind::none) return scale;
  if (samples < 1) throw ShapeError("fit_feature_scale", "at least one sample", std::to_string(samples));
  const auto n = usize(features);
  const auto first = sample(0);
  std::vector<double> low(first.begin(), first.end()), high = low, sum(n, 0.0);
  for (Index i = 0; i < samples; ++i) {
    const auto x = sample(i);
    for (std::size_t k = 0; k < n; ++k) {
      const auto v = static_cast<double>(x[k]);
      low[k] = std::min(low[k], v);
      high[k] = std::max(high[k], v);
      sum[k] += v;
    }
  }
  scale.offset = low;
  scale.factor.assign(n, 0.0);
  // A mean of equal numbers may differ from them by rounding, so that equality is asked of the numbers.
  const auto constant = [&](std::size_t k) { return !(low[k] < high[k]); };
  if (kind == ScaleKind::unit) {
    for (std::size_t k = 0; k < n; ++k)
      if (!constant(k)) scale.factor[k] = 1.0 / (high[k] - low[k]);
    return scale;
  }
  for (std::size_t k = 0; k < n; ++k)
    if (!constant(k)) scale.offset[k] = sum[k] / static_cast<double>(samples);
  std::vector<double> squares(n, 0.0);
  for (Index i = 0; i < samples; ++i) {
    const auto x = sample(i);
    for (std::size_t k = 0; k < n; ++k) {
      const double away = static_cast<double>(x[k]) - scale.offset[k];
      squares[k] += away * away;
    }
  }
  const double length = kind == ScaleKind::sphere ? std::sqrt(static_cast<double>(features)) : 1.0;
  for (std::size_t k = 0; k < n; ++k)
    if (!constant(k)) scale.factor[k] = 1.0 / (length * std::sqrt(squares[k] / static_cast<double>(samples)));
  return scale;
}

}  // namespace ffzero
