// A slice of studies/any_data.toml: default settings on any number of classes and any seed are never left at chance.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "ffzero/run/study.hpp"
#include "ffzero/settings/configured.hpp"
#include "support/project_folder.hpp"

namespace ffzero {
namespace {

bool has_axis(const PlannedRun& run, const std::string& key, const std::string& value) {
  return std::find(run.axes.begin(), run.axes.end(), std::pair(key, value)) != run.axes.end();
}

double test_accuracy(const PlannedRun& run) {
  Config config = Config::parse(run.toml, run.name);
  const Splits all = load_dataset(dataset_options(config.values()));
  const Splits splits{.train = all.train.slice(0, std::min<Index>(2000, all.train.size())),
                      .validation = {},
                      .test = all.test.slice(0, std::min<Index>(500, all.test.size()))};
  config.resolve(data_facts(splits));
  auto trainer = make_trainer<float>(config, splits, std::make_shared<const Executor>(1));
  return trainer.run().final_test.value;
}

TEST(AnyData, IsLearnedByTheDefaultWithAnyNumberOfClasses) {
  const Study study = read_study(test::project_folder() / "studies/any_data.toml");
  EXPECT_EQ(study.runs.size(), 4U * 9U * 3U * 3U);
  Index runs = 0;
  for (const PlannedRun& run : study.runs) {
    if (!has_axis(run, "solver", "ff_activity") || !has_axis(run, "model.layers", "[100]") || run.seed > 1) continue;
    EXPECT_GT(test_accuracy(run), 0.8) << setting_title(run.axes) << ", seed " << run.seed;
    ++runs;
  }
  EXPECT_EQ(runs, 9 * 2);
}

}  // namespace
}  // namespace ffzero
