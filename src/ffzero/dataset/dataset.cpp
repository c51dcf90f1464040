// Shared storage, slices and relabelling of one split.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/dataset.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shown.hpp"

namespace ffzero {

std::string to_string(Task task) { return task == Task::classification ? "classification" : "regression"; }

TargetScale scale_to_unit_range(std::span<const double> values) {
  if (values.empty()) throw DataError("targets", "must not be empty");
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (!(*low < *high))
    throw DataError("targets", "must differ from one another", "the value " + shown_number(*low) + " throughout",
                    "a constant needs no network; check the column that was saved");
  return {0.5 * *low + 0.5 * *high, 0.5 * *high - 0.5 * *low};
}

Index distinct_values(std::span<const double> values) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return std::unique(sorted.begin(), sorted.end()) - sorted.begin();
}

bool may_be_classes(std::span<const double> values) {
  if (values.empty()) return false;
  const Index different = distinct_values(values);
  if (different <= kFewValues) return true;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *low == 0.0 && *high + 1.0 == static_cast<double>(different) && 10 * different <= isize(values.size());
}

std::vector<float> DatasetInfo::scaled_targets(std::span<const double> originals) const {
  std::vector<float> targets;
  targets.reserve(originals.size());
  for (std::size_t i = 0; i < originals.size(); ++i)
    targets.push_back(static_cast<float>(scale_of(isize(i) % outputs).target(originals[i])));
  return targets;
}

Dataset::Dataset(DatasetInfo info, std::shared_ptr<const Samples> samples, std::vector<std::int32_t> labels, std::vector<float> targets)
    : info_(std::move(info)),
      samples_(std::move(samples)),
      is_bytes_(!samples_->bytes.empty()),
      size_(isize(labels.size() + targets.size() / usize(std::max<Index>(1, info_.outputs)))),
      labels_(std::move(labels)),
      targets_(std::move(targets)) {
  require_consistent();
}

Dataset::Dataset(DatasetInfo info, std::vector<std::uint8_t> samples, std::vector<std::int32_t> labels)
    : Dataset(std::move(info), std::make_shared<const Samples>(Samples{std::move(samples), {}}), std::move(labels), {}) {}
Dataset::Dataset(DatasetInfo info, std::vector<float> samples, std::vector<std::int32_t> labels)
    : Dataset(std::move(info), std::make_shared<const Samples>(Samples{{}, std::move(samples)}), std::move(labels), {}) {}
Dataset::Dataset(DatasetInfo info, std::vector<std::uint8_t> samples, std::vector<float> targets)
    : Dataset(std::move(info), std::make_shared<const Samples>(Samples{std::move(samples), {}}), {}, std::move(targets)) {}
Dataset::Dataset(DatasetInfo info, std::vector<float> samples, std::vector<float> targets)
    : Dataset(std::move(info), std::make_shared<const Samples>(Samples{{}, std::move(samples)}), {}, std::move(targets)) {}

void Dataset::require_consistent() const {
  const std::string place = "dataset '" + info_.name + "'";
  const std::size_t stored = is_bytes_ ? samples_->bytes.size() : samples_->values.size();
  if (isize(stored) != size_ * info_.shape.size())
    throw ShapeError(place, "must have " + std::to_string(size_) + " samples of " + to_string(info_.shape),
                     std::to_string(stored) + " values");
  if (info_.outputs < 1 || isize(targets_.size()) % info_.outputs != 0 || (task() == Task::classification && info_.outputs != 1))
    throw ShapeError(place, "must have " + std::to_string(info_.outputs) + " numbers a target", std::to_string(targets_.size()));
  if ((task() == Task::regression ? labels_.size() : targets_.size()) != 0)
    throw ShapeError(place, "classification has labels, regression has targets", to_string(task()));
  const auto outside = std::find_if(labels_.begin(), labels_.end(), [this](std::int32_t k) { return k < 0 || k >= classes(); });
  if (outside != labels_.end())
    throw ShapeError(place, "labels must be below " + std::to_string(classes()) + " and not negative", std::to_string(*outside));
}

std::span<const std::uint8_t> Dataset::bytes(Index i) const noexcept {
  return std::span(samples_->bytes).subspan(usize((first_ + i) * info_.shape.size()), usize(info_.shape.size()));
}

std::span<const float> Dataset::values(Index i) const noexcept {
  return std::span(samples_->values).subspan(usize((first_ + i) * info_.shape.size()), usize(info_.shape.size()));
}

Dataset Dataset::slice(Index first, Index count) const {
  if (first < 0 || count < 0 || first > size_ - count)
    throw ShapeError("dataset '" + info_.name + "'", "a slice must lie inside its " + std::to_string(size_) + " samples",
                     std::to_string(count) + " from " + std::to_string(first));
  Dataset part;
  part.info_ = info_;
  part.samples_ = samples_;
  part.is_bytes_ = is_bytes_;
  part.first_ = first_ + first;
  part.size_ = count;
  if (!labels_.empty()) part.labels_.assign(labels_.begin() + first, labels_.begin() + first + count);
  const Index width = outputs();
  if (!targets_.empty()) part.targets_.assign(targets_.begin() + first * width, targets_.begin() + (first + count) * width);
  if (!weights_.empty()) part.weights_.assign(weights_.begin() + first, weights_.begin() + first + count);
  return part;
}

Dataset Dataset::with_weights(std::vector<float> weights) const {
  if (isize(weights.size()) != size_)
    throw ShapeError("dataset '" + info_.name + "'", "must have a weight for each of " + std::to_string(size_) + " samples",
                     std::to_string(weights.size()));
  Dataset result = *this;
  result.weights_ = std::move(weights);
  return result;
}

Dataset Dataset::with_classes(std::span<const std::int32_t> chosen) const {
  if (task() == Task::regression) throw ShapeError("dataset '" + info_.name + "'", "classes can be chosen in classification only");
  std::vector<std::int32_t> all(usize(classes()));
  std::iota(all.begin(), all.end(), 0);
  if (std::equal(chosen.begin(), chosen.end(), all.begin(), all.end())) return *this;

  std::vector<std::int32_t> new_label(usize(classes()), -1);
  DatasetInfo info = info_;
  info.classes = isize(chosen.size());
  info.class_names.clear();
  info.class_texts.clear();
  for (const std::int32_t k : chosen) {
    if (k < 0 || k >= classes()) throw ShapeError("dataset '" + info_.name + "'", "has no class", std::to_string(k));
    new_label[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(info.class_names.size());
    info.class_names.push_back(info_.class_names.empty() ? k : info_.class_names[static_cast<std::size_t>(k)]);
    if (!info_.class_texts.empty()) info.class_texts.push_back(info_.class_texts[static_cast<std::size_t>(k)]);
  }
  const auto label_of = [&](Index i) { return new_label[static_cast<std::size_t>(labels_[usize(i)])]; };
  std::vector<std::int32_t> labels;
  std::vector<float> weights;
  for (Index i = 0; i < size_; ++i) {
    if (label_of(i) < 0) continue;
    labels.push_back(label_of(i));
    if (!weights_.empty()) weights.push_back(weights_[usize(i)]);
  }
  Samples kept;
  const std::size_t values_kept = labels.size() * usize(shape().size());
  if (is_bytes_)
    kept.bytes.reserve(values_kept);
  else
    kept.values.reserve(values_kept);
  for (Index i = 0; i < size_; ++i) {
    if (label_of(i) < 0) continue;
    if (is_bytes_)
      kept.bytes.insert(kept.bytes.end(), bytes(i).begin(), bytes(i).end());
    else
      kept.values.insert(kept.values.end(), values(i).begin(), values(i).end());
  }
  Dataset result(std::move(info), std::make_shared<const Samples>(std::move(kept)), std::move(labels), {});
  result.weights_ = std::move(weights);
  return result;
}

Dataset Dataset::with_labels_as_targets() const {
  if (task() == Task::regression) throw ShapeError("dataset '" + info_.name + "'", "has targets already");
  const float last = static_cast<float>(classes() - 1);
  Dataset result = slice(0, size_);
  result.info_.task = Task::regression;
  result.info_.classes = 0;
  result.info_.class_names.clear();
  result.info_.class_texts.clear();
  result.info_.target_scale = {0.5 * static_cast<double>(last), 0.5 * static_cast<double>(last)};
  result.targets_.reserve(usize(size_));
  for (const std::int32_t label : labels_) result.targets_.push_back(2.0F * (static_cast<float>(label) / last - 0.5F));
  result.labels_.clear();
  return result;
}

}  // namespace ffzero
