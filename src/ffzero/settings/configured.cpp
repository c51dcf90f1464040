// Facts of data, options of loaders.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/configured.hpp"

#include "ffzero/base/error.hpp"

namespace ffzero {

DatasetOptions dataset_options(const Values& v) {
  DatasetOptions o;
  o.name = v.word("dataset.name");
  o.dir = v.word("dataset.dir");
  if ((o.name == "npz" || o.name == "csv") && o.dir.empty())
    throw ConfigError("dataset.dir", (o.name == "npz" ? "an npz" : "a csv") + std::string(" data set is a file of yours"), "none",
                      "name it with --data-dir");
  o.task = v.word("dataset.task");
  if (v.at("dataset.classes").is_array())
    o.class_list = v.at("dataset.classes").get<std::vector<std::int32_t>>();
  else
    o.classes = v.integer("dataset.classes");
  o.validation = v.integer("dataset.validation");
  o.csv = {.label = v.word("dataset.label"),
           .weights = v.word("dataset.weights"),
           .ignore = v.word("dataset.ignore"),
           .test = v.number("dataset.test"),
           .split_seed = v.at("dataset.split_seed").get<std::uint64_t>()};
  o.seed = v.seed();
  o.threads = v.integer("threads");
  return o;
}

DataFacts data_facts(const Splits& splits) {
  const bool regression = splits.train.task() == Task::regression;
  return {.regression = regression,
          .classes = regression ? splits.train.outputs() : splits.train.classes(),
          .train_size = splits.train.size(),
          .images = splits.train.shape().height > 1,
          .sample = splits.train.shape(),
          .table = !splits.train.is_bytes() && splits.train.shape().height == 1 && splits.train.shape().channels == 1};
}

}  // namespace ffzero
