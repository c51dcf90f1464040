// Columns to features, labels, targets and weights.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/csv_dataset.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/base/shown.hpp"

namespace ffzero {

namespace {

// Labels of rows as they stand in the file, and what they have in common.
struct LabelColumn {
  std::size_t column = 0;
  std::vector<std::string> texts;
  std::vector<double> numbers;  // of the same rows, NaN for a text
  Index first_text_line = 0;    // 0: all are numbers
  std::size_t texts_seen = 0;
  bool whole = true;     // all numbers are whole
  bool integral = true;  // and written without point or exponent
};

struct Table {
  std::vector<std::size_t> labels;    // positions of columns
  std::vector<std::size_t> features;  // the same
  std::vector<float> x;               // row after row
  LabelColumn label;                  // if there is one
  std::vector<double> targets;        // row after row, if there are several
  std::vector<float> weights;
  std::size_t rows = 0;
};

std::vector<std::string> listed(const std::string& names) {
  std::vector<std::string> list;
  std::string name;
  for (const char c : names + ",") {
    if (c != ',') {
      name += c;
      continue;
    }
    const auto first = name.find_first_not_of(' '), last = name.find_last_not_of(' ');
    if (first != std::string::npos) list.push_back(name.substr(first, last - first + 1));
    name.clear();
  }
  return list;
}

// The last column, the one of that name, or those of several names.
std::vector<std::size_t> label_columns(const CsvReader& reader, const std::string& label) {
  const auto& names = reader.names();
  if (label.empty()) return {names.size() - 1};
  if (std::find(names.begin(), names.end(), label) != names.end()) return {reader.column(label, "dataset.label")};
  std::vector<std::size_t> columns;
  for (const std::string& name : listed(label)) columns.push_back(reader.column(name, "dataset.label"));
  if (columns.empty()) throw ConfigError("dataset.label", "must name a column", "\"" + excerpt(label) + "\"");
  return columns;
}

// The columns that are features, what is said about the others being checked.
std::vector<std::size_t> feature_columns(const CsvReader& reader, const CsvOptions& o, const std::vector<std::size_t>& labels) {
  std::vector<bool> taken(reader.names().size(), false);
  for (const std::size_t label : labels) {
    if (taken[label])
      throw ConfigError("dataset.label", "must not hold a column twice", "\"" + excerpt(reader.names()[label]) + "\"", "remove it");
    taken[label] = true;
  }
  if (!o.weights.empty()) {
    const std::size_t weights = reader.column(o.weights, "dataset.weights");
    if (taken[weights])
      throw ConfigError("dataset.weights", "must be another column than the label", "\"" + excerpt(o.weights) + "\"", "set dataset.label");
    taken[weights] = true;
  }
  for (const std::string& name : listed(o.ignore)) {
    const std::size_t column = reader.column(name, "dataset.ignore");
    if (taken[column])
      throw ConfigError("dataset.ignore", "must not hold the label, the weights or a column twice", "\"" + excerpt(name) + "\"",
                        "remove it");
    taken[column] = true;
  }
  std::vector<std::size_t> features;
  for (std::size_t c = 0; c < taken.size(); ++c)
    if (!taken[c]) features.push_back(c);
  if (features.empty())
    throw DataError(reader.place(), "must have a column of features besides the label", std::to_string(taken.size()) + " columns",
                    "add a column, or set dataset.label");
  return features;
}

// Names go into checkpoints and reports, which hold no other text.
const std::string& require_utf8(const CsvReader& reader, std::size_t column, const std::string& text) {
  if (!is_utf8(text)) reader.fail(column, "must be text in UTF-8", "other bytes", "save the file as CSV in UTF-8");
  return text;
}

void read_label(const CsvReader& reader, const CsvField& field, LabelColumn& label) {
  if (field.missing())
    reader.fail(label.column, "must be a label or a target", field.text.empty() ? "nothing" : excerpt(field.text),
                "fill in the value or remove the row");
  double number = 0.0;
  if (parse_number(field.text, number)) {
    if (!std::isfinite(number)) reader.fail(label.column, "must be finite", excerpt(field.text), "choose another unit");
    label.whole = label.whole && std::trunc(number) == number;
    label.integral = label.integral && field.text.find_first_of(".eE") == std::string::npos;
  } else {
    require_utf8(reader, label.column, field.text);
    number = std::numeric_limits<double>::quiet_NaN();
    if (label.texts_seen++ == 0) label.first_text_line = reader.line();
  }
  label.numbers.push_back(number);
  label.texts.push_back(field.text);
}

Table read_table(CsvReader& reader, const CsvOptions& o, std::optional<Task> task) {
  Table table;
  table.labels = label_columns(reader, o.label);
  table.label.column = table.labels.front();
  table.features = feature_columns(reader, o, table.labels);
  const std::size_t weights = o.weights.empty() ? 0 : reader.column(o.weights, "dataset.weights");
  double total = 0.0;
  std::vector<CsvField> record;
  while (reader.next(record)) {
    for (const std::size_t c : table.features) table.x.push_back(static_cast<float>(reader.number(record, c)));
    ++table.rows;
    if (task == Task::regression || table.labels.size() > 1)
      for (const std::size_t c : table.labels) table.targets.push_back(reader.number(record, c));
    else
      read_label(reader, record[table.label.column], table.label);
    if (o.weights.empty()) continue;
    const double weight = reader.number(record, weights);
    if (weight < 0.0) reader.fail(weights, "weights must not be negative", record[weights].text, "correct it");
    total += weight;
    table.weights.push_back(static_cast<float>(weight));
  }
  if (table.rows < 2)
    throw DataError(reader.place(), "must hold at least two rows, to train and to test", std::to_string(table.rows),
                    "add rows below the line of names");
  if (!o.weights.empty() && !(total > 0.0))
    throw DataError(reader.place(), "weights must not all be 0", "column \"" + excerpt(o.weights) + "\"", "choose another column");
  return table;
}

Task task_of(const CsvReader& reader, const LabelColumn& label, std::optional<Task> asked) {
  if (asked) return *asked;
  const std::string place = reader.place() + ": column \"" + excerpt(reader.names()[label.column]) + "\"";
  if (label.texts_seen > 0) {
    // A word or two among numbers is a slip, and not a class of its own.
    if (2 * label.texts_seen < label.texts.size())
      throw DataError(place, "must hold numbers or texts", "numbers, and a text in line " + std::to_string(label.first_text_line),
                      "correct it, or set dataset.task = \"classification\" if all are names of classes");
    return Task::classification;
  }
  if (!label.whole) return Task::regression;
  if (!may_be_classes(label.numbers)) return Task::regression;
  if (label.integral && distinct_values(label.numbers) <= kFewValues) return Task::classification;
  throw DataError(place, "must show whether it holds classes or amounts", "whole numbers that may be either",
                  "set dataset.task to \"classification\" or \"regression\"");
}

// Class of every row, and their names.
std::vector<std::int32_t> number_classes(const CsvReader& reader, const LabelColumn& label, DatasetInfo& info) {
  std::vector<std::int32_t> labels;
  labels.reserve(label.texts.size());
  const auto number = [&](auto& classes, const auto& keys) {
    for (const auto& key : keys) classes.emplace(key, 0);
    if (isize(classes.size()) > kMostClasses)
      throw DataError(reader.place() + ": column \"" + excerpt(reader.names()[label.column]) + "\"",
                      "must have at most " + std::to_string(kMostClasses) + " classes", std::to_string(classes.size()),
                      "check dataset.label");
    std::int32_t k = 0;
    for (auto& entry : classes) entry.second = k++;
    info.classes = k;
    for (const auto& key : keys) labels.push_back(classes.at(key));
  };
  const auto in_range = [](double v) { return std::abs(v) <= std::numeric_limits<std::int32_t>::max(); };
  if (label.texts_seen == 0 && label.whole && std::all_of(label.numbers.begin(), label.numbers.end(), in_range)) {
    std::map<double, std::int32_t> classes;
    number(classes, label.numbers);
    for (const auto& entry : classes) info.class_names.push_back(static_cast<std::int32_t>(entry.first));
  } else {
    std::map<std::string, std::int32_t> classes;
    number(classes, label.texts);
    for (const auto& entry : classes) info.class_texts.push_back(entry.first);
  }
  return labels;
}

// Rows of the two sets, each in the shuffled order.
std::array<std::vector<std::size_t>, 2> chosen_rows(std::size_t rows, const std::vector<std::int32_t>& labels, Index classes,
                                                    const CsvOptions& o) {
  std::vector<std::uint32_t> order(rows);
  RandomStream(o.split_seed, Stream::split).permutation(order);
  std::vector<std::size_t> count(usize(std::max<Index>(1, classes)), 0);
  const auto class_of = [&](std::size_t row) { return labels.empty() ? std::size_t{0} : static_cast<std::size_t>(labels[row]); };
  for (std::size_t row = 0; row < rows; ++row) ++count[class_of(row)];
  std::vector<std::size_t> quota;
  std::size_t total = 0;
  for (const std::size_t n : count) {
    const auto wanted = static_cast<std::size_t>(std::lround(o.test * static_cast<double>(n)));
    quota.push_back(std::min(wanted, n > 0 ? n - 1 : 0));
    total += quota.back();
  }
  // A share of very little is one sample, of the largest class.
  if (total == 0) quota[static_cast<std::size_t>(std::max_element(count.begin(), count.end()) - count.begin())] = 1;
  std::array<std::vector<std::size_t>, 2> chosen;
  for (const std::uint32_t row : order) {
    std::size_t& left = quota[class_of(row)];
    chosen[left > 0 ? 1 : 0].push_back(row);
    if (left > 0) --left;
  }
  return chosen;
}

template <class T>
std::vector<T> picked(const std::vector<T>& values, const std::vector<std::size_t>& rows, std::size_t width = 1) {
  std::vector<T> out;
  out.reserve(rows.size() * width);
  for (const std::size_t row : rows) {
    const auto from = values.begin() + static_cast<std::ptrdiff_t>(row * width);
    out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(width));
  }
  return out;
}

// The scale of every target, from its values in the train set.
void find_scales(const CsvReader& reader, const std::vector<std::size_t>& columns, const std::vector<double>& train, DatasetInfo& info) {
  std::vector<double> own(train.size() / columns.size());
  for (std::size_t t = 0; t < columns.size(); ++t) {
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = train[i * columns.size() + t];
    if (std::all_of(own.begin(), own.end(), [&own](double v) { return v == own[0]; }))
      throw DataError(reader.place() + ": column \"" + excerpt(reader.names()[columns[t]]) + "\"", "targets must differ from one another",
                      "the value " + shown_number(own[0]) + " throughout", "check dataset.label");
    const TargetScale scale = scale_to_unit_range(own);
    if (t == 0) info.target_scale = scale;
    if (columns.size() > 1) info.target_scales.push_back(scale);
    info.output_names.push_back(require_utf8(reader, columns[t], reader.names()[columns[t]]));
  }
}

}  // namespace

Splits csv_dataset(CsvReader& reader, const CsvOptions& o, std::optional<Task> task) {
  if (!(o.test > 0.0 && o.test < 1.0))
    throw ConfigError("dataset.test", "must be a share of the rows, above 0 and below 1", shown_number(o.test), "0.2 is usual");
  Table table = read_table(reader, o, task);
  const auto outputs = table.labels.size();
  if (outputs > 1 && task == Task::classification)
    throw ConfigError("dataset.label", "classification has one column of labels", "\"" + excerpt(o.label) + "\"", "name one column");
  DatasetInfo info;
  info.name = "csv";
  info.task = table.targets.empty() ? task_of(reader, table.label, task) : Task::regression;
  info.shape = {1, 1, isize(table.features.size())};
  info.outputs = isize(outputs);
  for (const std::size_t c : table.features) info.feature_names.push_back(require_utf8(reader, c, reader.names()[c]));
  const bool regression = info.task == Task::regression;
  std::vector<std::int32_t> labels;
  if (!regression) labels = number_classes(reader, table.label, info);
  if (regression && table.targets.empty()) table.targets = table.label.numbers;
  const auto rows = chosen_rows(table.rows, labels, info.classes, o);
  if (regression) find_scales(reader, table.labels, picked(table.targets, rows[0], outputs), info);
  std::array<Dataset, 2> sets;
  for (std::size_t i = 0; i < 2; ++i) {
    auto x = picked(table.x, rows[i], table.features.size());
    sets[i] = regression ? Dataset(info, std::move(x), info.scaled_targets(picked(table.targets, rows[i], outputs)))
                         : Dataset(info, std::move(x), picked(labels, rows[i]));
    if (!table.weights.empty()) sets[i] = sets[i].with_weights(picked(table.weights, rows[i]));
  }
  return {std::move(sets[0]), {}, std::move(sets[1])};
}

Dataset csv_samples(CsvReader& reader, const DatasetInfo& info, const std::string& label, bool labelled) {
  std::vector<std::size_t> features, columns;
  for (const std::string& name : info.feature_names) features.push_back(reader.column(name, {}));
  if (labelled) columns = label_columns(reader, label);
  if (labelled && isize(columns.size()) != info.outputs)
    throw ConfigError("dataset.label", "must name the " + std::to_string(info.outputs) + " targets of the training",
                      "\"" + excerpt(label) + "\"");
  std::map<std::string, std::int32_t> by_text;
  std::map<double, std::int32_t> by_number;
  for (std::size_t k = 0; k < info.class_texts.size(); ++k) by_text[info.class_texts[k]] = static_cast<std::int32_t>(k);
  for (std::size_t k = 0; k < info.class_names.size() && info.class_texts.empty(); ++k)
    by_number[info.class_names[k]] = static_cast<std::int32_t>(k);
  std::vector<float> x, targets;
  std::vector<std::int32_t> labels;
  std::vector<CsvField> record;
  const auto class_of = [&](const CsvField& field) {
    double number = 0.0;
    if (const auto found = by_text.find(field.text); found != by_text.end()) return found->second;
    if (const auto found = parse_number(field.text, number) ? by_number.find(number) : by_number.end(); found != by_number.end())
      return found->second;
    reader.fail(columns[0], "must be a class of the training", "\"" + excerpt(field.text) + "\"", "remove the row or train anew");
  };
  std::size_t rows = 0;
  for (; reader.next(record); ++rows) {
    for (const std::size_t c : features) x.push_back(static_cast<float>(reader.number(record, c)));
    if (!labelled) continue;
    if (info.task == Task::classification) {
      labels.push_back(class_of(record[columns[0]]));
      continue;
    }
    for (std::size_t t = 0; t < columns.size(); ++t)
      targets.push_back(static_cast<float>(info.scale_of(isize(t)).target(reader.number(record, columns[t]))));
  }
  if (rows == 0) throw DataError(reader.place(), "must hold a row", "none", "add rows below the line of names");
  if (info.task == Task::classification) {
    labels.resize(rows, 0);
    return {info, std::move(x), std::move(labels)};
  }
  targets.resize(rows * usize(info.outputs), 0.0F);
  return {info, std::move(x), std::move(targets)};
}

}  // namespace ffzero
