// Features of tables on a common scale. Fitted on the train split without its labels.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// none: as they are; standardise: mean 0 and standard deviation 1; sphere: the same over sqrt(F), so that the samples lie around the unit
/// sphere, whatever the number of features; unit: the range of the train split becomes 0 .. 1.
enum class ScaleKind { none, standardise, sphere, unit };

/// "none", "standardise", "sphere" or "unit": the spelling of the configuration, and back. @throws ConfigError (dataset.scale)
[[nodiscard]] std::string to_string(ScaleKind kind);
[[nodiscard]] ScaleKind scale_kind_from(std::string_view text);

/// x -> (x - offset) * factor for each of F features; empty: features stay as they are.
struct FeatureScale {
  std::vector<double> offset;  ///< (F) in the units of the feature
  std::vector<double> factor;  ///< (F) finite; 0 for a feature that is constant on the train split, which becomes 0
  [[nodiscard]] bool empty() const noexcept { return offset.empty(); }
  /// out (F), overwritten; x (F). Computed in double. Values beyond +-kLargestFeature, which no sample of the train split reaches while it
  /// has fewer than 10^12 samples, are cut there, so that one outlier cannot drive a network to infinity.
  void apply(std::span<const float> x, std::span<float> out) const noexcept;
  static constexpr double kLargestFeature = 1e6;
};

/// sample(i): the F finite features of sample i, 0 <= i < samples. Two passes, sums in double in the order of the samples.
/// A feature whose values are all equal gets the factor 0. Empty for ScaleKind::none. @throws ShapeError if there is no sample.
[[nodiscard]] FeatureScale fit_feature_scale(ScaleKind kind, Index features, Index samples,
                                             const std::function<std::span<const float>(Index)>& sample);

}  // namespace ffzero
