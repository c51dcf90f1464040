// Checks a user's arrays one by one and turns them into splits.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/npz_dataset.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/shown.hpp"

namespace ffzero {

namespace {

using Type = NpyArray::Type;

// One array of the file with its name for messages.
struct Named {
  std::string place;
  std::string name;
  NpyArray array;

  [[noreturn]] void fail(std::string_view requirement, const std::string& value, std::string_view remedy) const {
    throw DataError(place + ": " + name, requirement, value, remedy);
  }
  // "x_train[3, 17]" for element i in row-major order.
  [[nodiscard]] std::string element(Index i) const {
    std::string index;
    for (std::size_t d = array.shape.size(); d-- > 0;) {
      index = std::to_string(i % array.shape[d]) + (index.empty() ? "" : ", ") + index;
      i /= array.shape[d];
    }
    return name + "[" + index + "]";
  }
  [[nodiscard]] std::string shape_text() const {
    std::string text;
    for (const Index d : array.shape) text.append(text.empty() ? "" : " x ").append(std::to_string(d));
    return text.empty() ? "a single number" : text;
  }
  [[nodiscard]] Index rows() const { return array.shape.empty() ? 0 : array.shape[0]; }
};

Named take(NpzArchive& archive, const std::string& name, const std::string& place) {
  const auto found = archive.find(name);
  if (found != archive.end()) return {place, name, std::move(found->second)};
  std::string names;
  for (const auto& entry : archive) names.append(names.empty() ? "" : ", ").append(entry.first);
  throw DataError(place, "must hold an array '" + name + "'", names.empty() ? "no arrays" : "only " + names,
                  "save x_train, y_train, x_test and y_test with numpy.savez");
}

Shape sample_shape(const Named& x) {
  const auto& s = x.array.shape;
  if (x.array.type == Type::text) x.fail("must hold numbers", "texts", "write them as numbers");
  if (s.empty() || s.size() > 4 || x.array.size() == 0)
    x.fail("must hold N samples: N x features, N x height x width or N x channels x height x width", x.shape_text(), "reshape it");
  if (x.array.is_complex()) return {2, 1, x.array.size() / s[0]};
  const auto from_end = [&s](std::size_t d) { return s.size() > d ? s[s.size() - d] : 1; };
  return {from_end(3), from_end(2), from_end(1)};
}

template <class S>
void require_finite(const Named& array, const std::vector<S>& values, std::size_t parts = 1) {
  const auto bad = std::find_if(values.begin(), values.end(), [](S v) { return !std::isfinite(static_cast<float>(v)); });
  if (bad != values.end())
    array.fail("must be finite numbers (in float32)",
               array.element((bad - values.begin()) / isize(parts)) + " = " + shown_number(static_cast<double>(*bad)),
               "remove or replace that sample");
}

std::vector<std::uint8_t> pixels(const Named& x) {
  std::vector<std::uint8_t> out(x.array.bytes.size());
  std::memcpy(out.data(), x.array.bytes.data(), out.size());
  return out;
}

std::vector<float> features(const Named& x, const Shape& shape) {
  if (!x.array.is_complex()) {
    auto values = x.array.to<float>();
    require_finite(x, values);
    return values;
  }
  const auto pairs = x.array.to_complex_pairs();
  require_finite(x, pairs, 2);
  std::vector<float> planes(pairs.size());
  const Index n = shape.width;
  for (Index i = 0; i < x.rows(); ++i)
    for (Index k = 0; k < n; ++k)
      for (Index part = 0; part < 2; ++part)
        planes[usize(2 * n * i + part * n + k)] = static_cast<float>(pairs[usize(2 * (n * i + k) + part)]);
  return planes;
}

bool is_integer(const NpyArray& a) { return a.type == Type::u8 || a.type == Type::i32 || a.type == Type::i64 || a.type == Type::boolean; }

// Rows of several numbers are targets, if they are reals that are not one-hot.
bool may_be_rows(const Named& y, std::optional<Task> task) {
  if (y.array.shape.size() != 2 || y.array.shape[1] < 1 || y.array.type == Type::text) return false;
  if (task) return *task == Task::regression;
  if (is_integer(y.array)) return false;
  const auto values = y.array.to<double>();
  return std::any_of(values.begin(), values.end(), [](double v) { return std::trunc(v) != v; }) || !may_be_classes(values);
}

void require_column(const Named& y, const Named& x, std::optional<Task> task) {
  const auto& s = y.array.shape;
  if (s.empty() || s.size() > 2 || y.array.is_complex() || (s.size() == 2 && s[1] != 1 && !may_be_rows(y, task)))
    y.fail("must hold one integer label or one real target a sample", y.shape_text() + (y.array.is_complex() ? " complex numbers" : ""),
           "pass labels as integers 0 .. K - 1 (numpy.argmax turns one-hot rows into them)");
  if (y.rows() != x.rows())
    y.fail("must have as many entries as " + x.name + " has samples (" + std::to_string(x.rows()) + ")", std::to_string(y.rows()),
           "save matching arrays");
}

// Both arrays hold texts: the classes are those of both, in alphabetical order.
std::array<std::vector<std::int32_t>, 2> text_labels(const std::array<Named, 2>& y, DatasetInfo& info) {
  std::array<std::vector<std::string>, 2> texts;
  std::map<std::string, std::int32_t> classes;
  for (std::size_t i = 0; i < 2; ++i) {
    texts[i] = y[i].array.to_texts();
    for (std::size_t n = 0; n < texts[i].size(); ++n) {
      if (texts[i][n].empty()) y[i].fail("labels must not be empty", y[i].element(isize(n)), "name the class, or remove that sample");
      classes.emplace(texts[i][n], 0);
    }
  }
  if (isize(classes.size()) > kMostClasses)
    y[0].fail("must have at most " + std::to_string(kMostClasses) + " classes", std::to_string(classes.size()), "check the array");
  std::int32_t k = 0;
  for (auto& entry : classes) {
    entry.second = k++;
    info.class_texts.push_back(entry.first);
  }
  info.classes = k;
  std::array<std::vector<std::int32_t>, 2> labels;
  for (std::size_t i = 0; i < 2; ++i)
    for (const auto& text : texts[i]) labels[i].push_back(classes.at(text));
  return labels;
}

std::vector<std::int32_t> labels_of(const Named& y) {
  const auto numbers = y.array.to<double>();  // exact up to 2^53; anything larger is refused all the same
  std::vector<std::int32_t> labels;
  labels.reserve(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double v = numbers[i];
    const bool whole = is_integer(y.array) || (std::isfinite(v) && std::trunc(v) == v);
    if (!whole || v < 0 || v >= static_cast<double>(kMostClasses)) {
      const std::string value = is_integer(y.array) ? std::to_string(static_cast<std::int64_t>(v)) : shown_number(v);
      y.fail("labels must be whole numbers 0 .. K - 1 with K at most " + std::to_string(kMostClasses), y.element(isize(i)) + " = " + value,
             whole ? "number the classes from 0" : "set dataset.task = \"regression\" for real targets");
    }
    labels.push_back(static_cast<std::int32_t>(v));
  }
  return labels;
}

std::vector<double> targets_of(const Named& y) {
  if (y.array.type == Type::text) y.fail("targets must be numbers", "texts", "save both with the same type");
  auto values = y.array.to<double>();
  require_finite(y, values);
  return values;
}

Task task_of(const Named& y, std::optional<Task> asked) {
  if (y.array.type == Type::text) {
    if (asked == Task::regression) y.fail("targets must be numbers", "texts", "set dataset.task to \"classification\" or \"auto\"");
    return Task::classification;
  }
  if (asked) return *asked;
  if (is_integer(y.array)) return Task::classification;
  const auto values = targets_of(y);
  if (std::all_of(values.begin(), values.end(), [](double v) { return std::trunc(v) == v; }) && may_be_classes(values))
    y.fail("must be integers (classes) or real numbers (targets)", "real numbers that are all whole",
           "set dataset.task to \"classification\" or \"regression\"");
  return Task::regression;
}

template <class Outcome>
Dataset split(const DatasetInfo& info, const Named& x, std::vector<Outcome> outcome) {
  if (x.array.type == Type::u8) return {info, pixels(x), std::move(outcome)};
  return {info, features(x, info.shape), std::move(outcome)};
}

void require_alike(const Named& train, const Named& test) {
  const bool bytes_differ = (train.array.type == Type::u8) != (test.array.type == Type::u8);
  if (sample_shape(train) != sample_shape(test) || train.array.is_complex() != test.array.is_complex() || bytes_differ)
    test.fail(
        "must hold samples like those of " + train.name + " (" + train.shape_text() + (train.array.type == Type::u8 ? " bytes" : "") + ")",
        test.shape_text() + (test.array.type == Type::u8 ? " bytes" : ""), "save both with the same shape and type");
}

// The scale of every target, from its column of the train set.
void find_scales(DatasetInfo& info, const std::vector<double>& train, const Named& y) {
  std::vector<double> column(train.size() / usize(info.outputs));
  for (std::size_t t = 0; t < usize(info.outputs); ++t) {
    for (std::size_t i = 0; i < column.size(); ++i) column[i] = train[i * usize(info.outputs) + t];
    if (std::all_of(column.begin(), column.end(), [&column](double v) { return v == column[0]; }))
      y.fail(info.outputs > 1 ? "targets of column " + std::to_string(t) + " must differ from one another"
                              : "targets must differ from one another",
             "the value " + shown_number(column[0]) + " throughout", "check which column was saved");
    const TargetScale scale = scale_to_unit_range(column);
    if (t == 0) info.target_scale = scale;
    if (info.outputs > 1) info.target_scales.push_back(scale);
  }
}

Splits regression(DatasetInfo info, const std::array<Named, 2>& x, const std::array<Named, 2>& y) {
  const auto train = targets_of(y[0]), test = targets_of(y[1]);
  const auto columns = [](const Named& of) { return of.array.shape.size() == 2 ? of.array.shape[1] : 1; };
  info.outputs = columns(y[0]);
  if (columns(y[1]) != info.outputs)
    y[1].fail("must have as many columns as y_train, " + std::to_string(info.outputs), std::to_string(columns(y[1])),
              "save matching arrays");
  find_scales(info, train, y[0]);
  return {split(info, x[0], info.scaled_targets(train)), {}, split(info, x[1], info.scaled_targets(test))};
}

Splits classification(DatasetInfo info, const std::array<Named, 2>& x, const std::array<Named, 2>& y) {
  if ((y[0].array.type == Type::text) != (y[1].array.type == Type::text))
    y[1].fail("must hold labels like those of y_train", y[1].array.type == Type::text ? "texts" : "numbers",
              "save both with the same type");
  if (y[0].array.type == Type::text) {
    auto labels = text_labels(y, info);
    return {split(info, x[0], std::move(labels[0])), {}, split(info, x[1], std::move(labels[1]))};
  }
  auto train = labels_of(y[0]), test = labels_of(y[1]);
  info.classes = 1 + std::max(*std::max_element(train.begin(), train.end()), *std::max_element(test.begin(), test.end()));
  return {split(info, x[0], std::move(train)), {}, split(info, x[1], std::move(test))};
}

std::vector<float> weights_of(const Named& w, Index samples) {
  if (w.array.is_complex() || w.array.type == Type::text || w.array.shape.size() != 1 || w.array.size() != samples)
    w.fail("must hold a weight for each of the " + std::to_string(samples) + " training samples", w.shape_text(), "save matching arrays");
  auto values = w.array.to<float>();
  require_finite(w, values);
  const auto negative = std::find_if(values.begin(), values.end(), [](float v) { return v < 0.0F; });
  if (negative != values.end())
    w.fail("weights must not be negative", w.element(negative - values.begin()) + " = " + shown_number(*negative), "correct it");
  if (std::all_of(values.begin(), values.end(), [](float v) { return v == 0.0F; }))
    w.fail("weights must not all be 0", "zeros", "save another array");
  return values;
}

}  // namespace

Splits npz_dataset(NpzArchive archive, std::optional<Task> task, const std::string& place, const std::string& weights) {
  const std::array<Named, 2> x{take(archive, "x_train", place), take(archive, "x_test", place)};
  const std::array<Named, 2> y{take(archive, "y_train", place), take(archive, "y_test", place)};
  DatasetInfo info;
  info.name = "npz";
  info.shape = sample_shape(x[0]);
  require_alike(x[0], x[1]);
  for (std::size_t i = 0; i < 2; ++i) require_column(y[i], x[i], task);
  info.task = task_of(y[0], task);
  Splits splits = info.task == Task::regression ? regression(info, x, y) : classification(info, x, y);
  if (!weights.empty()) splits.train = splits.train.with_weights(weights_of(take(archive, weights, place), splits.train.size()));
  return splits;
}

}  // namespace ffzero
