// Recalls of classes, R^2 of targets.
// SPDX-License-Identifier: MIT
#include "ffzero/run/details.hpp"

#include <string>

#include "ffzero/metric/metric.hpp"
#include "ffzero/train/source.hpp"

namespace ffzero {

namespace {
using json = nlohmann::ordered_json;
}

json class_label(const DatasetInfo& info, Index k) {
  if (!info.class_texts.empty()) return info.class_texts.at(usize(k));
  return info.class_names.empty() ? json(k) : json(info.class_names.at(usize(k)));
}

std::string class_title(const DatasetInfo& info, Index k) {
  const json label = class_label(info, k);
  return label.is_string() ? label.get<std::string>() : label.dump();
}

json recalls_json(const Matrix<std::int64_t>& counts, const DatasetInfo& info) {
  const auto recalls = recalls_of(counts);
  json classes = json::array();
  for (Index k = 0; k < counts.rows(); ++k)
    classes.push_back({{"name", class_label(info, k)},
                       {"samples", counts.row(k).sum()},
                       {"recall", recalls[usize(k)] ? json(*recalls[usize(k)]) : json(nullptr)}});
  return classes;
}

json outputs_json(std::span<const double> r_squared, const DatasetInfo& info) {
  json outputs = json::array();
  for (std::size_t t = 0; t < r_squared.size(); ++t)
    outputs.push_back({{"name", info.output_names.empty() ? json(t) : json(info.output_names.at(t))}, {"r2", r_squared[t]}});
  return outputs;
}

void add_details(json& summary, const Outputs& outputs, const Dataset& test) {
  if (outputs.test_scores.empty() || test.empty()) return;
  if (test.task() == Task::regression) {
    if (test.outputs() > 1)
      summary["outputs"] = outputs_json(r_squared_of_outputs(outputs.test_scores[outputs.deciding], test), test.info());
    return;
  }
  ConfusionMatrix confusion(test.classes());
  confusion.add(outputs.vote.empty() ? outputs.predictions[outputs.deciding] : outputs.vote, test.labels());
  summary["classes"] = recalls_json(confusion.counts(), test.info());
  summary["final"]["balanced_accuracy"] = balanced_accuracy(confusion.counts());
}

}  // namespace ffzero
