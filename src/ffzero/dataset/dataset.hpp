// Samples with their labels or targets, as they came from the disk.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/index.hpp"
#include "ffzero/base/shape.hpp"

namespace ffzero {

enum class Task { classification, regression };

/// "classification" or "regression": the spelling of the configuration.
[[nodiscard]] std::string to_string(Task task);

/// Regression learns targets in [-1, 1]; `original(t) = offset + scale t` is the quantity that the user asked for.
struct TargetScale {
  double offset = 0.0;
  double scale = 1.0;
  [[nodiscard]] double original(double target) const noexcept { return offset + scale * target; }
  [[nodiscard]] double target(double original) const noexcept { return (original - offset) / scale; }
};

/// The scale that takes the smallest of `values` to -1 and the largest to 1. @throws DataError (place "targets") if all are equal.
[[nodiscard]] TargetScale scale_to_unit_range(std::span<const double> values);

/// Number of different values.
[[nodiscard]] Index distinct_values(std::span<const double> values);
/// So many different whole numbers, or fewer, may be classes as well as amounts.
inline constexpr Index kFewValues = 20;
/// Whether whole numbers may be classes rather than amounts: at most kFewValues different ones, or all of 0 .. K - 1, ten times each on
/// average.
[[nodiscard]] bool may_be_classes(std::span<const double> values);

/// More classes can only be a mistake: every class needs a prototype in every layer.
inline constexpr Index kMostClasses = 65536;

/// What all samples of a split have in common.
struct DatasetInfo {
  std::string name;                          ///< "mnist", "glyphs", ..: as in the configuration
  Task task = Task::classification;          ///< labels or targets
  Index classes = 0;                         ///< K; 0 in regression
  Shape shape;                               ///< of one raw sample: 1x28x28, {1,1,n} features, {2,1,n} complex
  std::vector<std::int32_t> class_names;     ///< the file's label of class k; empty: k itself
  TargetScale target_scale;                  ///< regression only
  Index outputs = 1;                         ///< T, numbers that make a target; more than 1 in regression only
  std::vector<TargetScale> target_scales{};  ///< of each of them if there are several; empty: target_scale
  std::vector<std::string> class_texts{};    ///< what a text label calls class k, in UTF-8; empty: labels are numbers
  std::vector<std::string> feature_names{};  ///< of a table with named columns, in UTF-8; empty: features have no names
  std::vector<std::string> output_names{};   ///< of the T targets, in UTF-8; empty: they have no names

  /// Scale of target t.
  [[nodiscard]] const TargetScale& scale_of(Index t) const { return target_scales.empty() ? target_scale : target_scales.at(usize(t)); }
  /// originals (N, T) row-major, each column on the scale of its target.
  [[nodiscard]] std::vector<float> scaled_targets(std::span<const double> originals) const;
};

/// One split, immutable. Copies and slices share the samples, so they cost the labels only.
class Dataset {
 public:
  Dataset() = default;  ///< no samples
  /// samples: sample after sample, each info.shape.size() values, bytes (image pixels 0 .. 255) or floats (the user's units);
  /// labels: one class 0 .. classes - 1 a sample; targets: info.outputs numbers a sample, sample after sample.
  /// @throws ShapeError if counts disagree, a label is out of range or the labels do not go with info.task.
  Dataset(DatasetInfo info, std::vector<std::uint8_t> samples, std::vector<std::int32_t> labels);
  Dataset(DatasetInfo info, std::vector<float> samples, std::vector<std::int32_t> labels);
  Dataset(DatasetInfo info, std::vector<std::uint8_t> samples, std::vector<float> targets);
  Dataset(DatasetInfo info, std::vector<float> samples, std::vector<float> targets);

  [[nodiscard]] const DatasetInfo& info() const noexcept { return info_; }
  [[nodiscard]] const std::string& name() const noexcept { return info_.name; }
  [[nodiscard]] Task task() const noexcept { return info_.task; }
  [[nodiscard]] Index classes() const noexcept { return info_.classes; }
  [[nodiscard]] const Shape& shape() const noexcept { return info_.shape; }
  [[nodiscard]] const TargetScale& target_scale() const noexcept { return info_.target_scale; }
  [[nodiscard]] Index size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  [[nodiscard]] bool is_bytes() const noexcept { return is_bytes_; }
  /// Sample i, for 0 <= i < size(); bytes() only if is_bytes(), values() only if not.
  [[nodiscard]] std::span<const std::uint8_t> bytes(Index i) const noexcept;
  [[nodiscard]] std::span<const float> values(Index i) const noexcept;
  /// Class of each sample; empty in regression.
  [[nodiscard]] std::span<const std::int32_t> labels() const noexcept { return labels_; }
  /// Targets of each sample, (N, T) row-major, on the scale of the training ([-1, 1] on the train split); empty in classification.
  [[nodiscard]] std::span<const float> targets() const noexcept { return targets_; }
  [[nodiscard]] Index outputs() const noexcept { return info_.outputs; }
  /// How much each sample counts in a training loss, not negative; empty: all alike.
  [[nodiscard]] std::span<const float> weights() const noexcept { return weights_; }
  /// The same samples with these weights. @throws ShapeError unless there is one a sample
  [[nodiscard]] Dataset with_weights(std::vector<float> weights) const;

  /// Samples first .. first + count - 1, sharing memory with this set. @throws ShapeError outside 0 .. size().
  [[nodiscard]] Dataset slice(Index first, Index count) const;
  /// The samples of the listed labels in their order, relabelled 0 .. chosen.size() - 1 in the order of the list; a copy, unless that
  /// is what the set holds already. Classification only. @throws ShapeError in regression.
  [[nodiscard]] Dataset with_classes(std::span<const std::int32_t> chosen) const;
  /// The same samples with the targets 2 (label/(K - 1) - 1/2), in float; original scale: the label. @throws ShapeError in regression.
  [[nodiscard]] Dataset with_labels_as_targets() const;

 private:
  struct Samples {
    std::vector<std::uint8_t> bytes;
    std::vector<float> values;
  };
  Dataset(DatasetInfo info, std::shared_ptr<const Samples> samples, std::vector<std::int32_t> labels, std::vector<float> targets);
  void require_consistent() const;

  DatasetInfo info_;
  std::shared_ptr<const Samples> samples_;
  bool is_bytes_ = false;
  Index first_ = 0;
  Index size_ = 0;
  std::vector<std::int32_t> labels_;
  std::vector<float> targets_;
  std::vector<float> weights_;
};

/// The three splits of one problem; `validation` is empty unless asked for.
struct Splits {
  Dataset train, validation, test;
};

}  // namespace ffzero
