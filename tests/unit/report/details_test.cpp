// Recalls and targets one by one, as the layer that decides sees them; figures of regressions with several targets.
// SPDX-License-Identifier: MIT
#include "ffzero/run/details.hpp"

#include <gtest/gtest.h>

#include "ffzero/base/error.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/run_figures.hpp"

namespace ffzero {
namespace {

using json = nlohmann::ordered_json;

TEST(Details, AreOfTheVoteOrOfTheLayerThatDecides) {
  const DatasetInfo info{.name = "csv",
                         .task = Task::classification,
                         .classes = 2,
                         .shape = {.width = 1},
                         .class_names = {},
                         .target_scale = {},
                         .class_texts = {"daisy", "rose"}};
  const Dataset test(info, std::vector<float>(4), std::vector<std::int32_t>{0, 0, 0, 1});
  Outputs outputs;
  outputs.test_scores = {Matrix<float>::Zero(4, 2), Matrix<float>::Zero(4, 2)};
  outputs.predictions = {{0, 0, 1, 1}, {1, 1, 1, 1}};
  outputs.deciding = 0;
  json summary = {{"final", json::object()}};
  add_details(summary, outputs, test);
  EXPECT_EQ(summary.at("classes"), json::parse(R"([{"name":"daisy","samples":3,"recall":0.6666666666666666},
                                                   {"name":"rose","samples":1,"recall":1.0}])"));
  EXPECT_DOUBLE_EQ(summary.at("final").at("balanced_accuracy").get<double>(), 5.0 / 6.0);
  outputs.vote = {0, 0, 0, 0};
  add_details(summary, outputs, test);
  EXPECT_DOUBLE_EQ(summary.at("final").at("balanced_accuracy").get<double>(), 0.5);
}

TEST(Details, TellTheTargetsOfTheLayerThatDecides) {
  DatasetInfo info{.name = "csv", .task = Task::regression, .classes = 0, .shape = {.width = 1}, .class_names = {}, .target_scale = {}};
  info.outputs = 2;
  info.target_scales = {{}, {}};
  info.output_names = {"up", "down"};
  const Dataset test(info, std::vector<float>(2), std::vector<float>{1.0F, 0.0F, 0.0F, 1.0F});
  Outputs outputs;
  Matrix<float> exact(2, 2), mean(2, 2);
  exact << 1, 0, 0, 1;
  mean.setConstant(0.5F);
  outputs.test_scores = {exact, mean};
  json summary = {{"final", json::object()}};
  for (const std::size_t deciding : {std::size_t{0}, std::size_t{1}}) {
    outputs.deciding = deciding;
    add_details(summary, outputs, test);
    for (const std::size_t t : {std::size_t{0}, std::size_t{1}})
      EXPECT_EQ(summary.at("outputs")[t], (json{{"name", info.output_names[t]}, {"r2", deciding == 0 ? 1.0 : 0.0}}));
  }
}

// What evaluation.npz holds about two layers, the first of which decides.
RunData run_with_two_targets() {
  RunData run;
  run.arrays["test_targets"] = NpyArray::of<float>(std::vector<float>{1, -1, 0, 1, -1, 0}, {3, 2});
  run.arrays["test_scores"] = NpyArray::of<float>(std::vector<float>{1, -1, 0, 1, -1, 0, 5, 5, 5, 5, 5, 5}, {2, 3, 2});
  run.about = {{"deciding_layer", 0}, {"output_names", {"a column with a long name", "b"}}};
  return run;
}

TEST(PredictionFigures, ShowEveryTargetOfTheLayerThatDecides) {
  const RunData run = run_with_two_targets();
  EXPECT_EQ(run.output_name(1), "b");
  EXPECT_EQ(run.output_name(2), "2");
  const auto figures = prediction_figures(run).figures;
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_NE(figures[0].data.find("$samples1 << EOD\n-1 -1 \n1 1 \n0 0"), std::string::npos) << figures[0].data;
  for (const Figure& figure : figures)
    for (const char* name : {"'a column wi..'", "'b'"}) EXPECT_NE(figure.plot.find(name), std::string::npos) << figure.plot;
  RunData one = run;
  one.arrays["test_targets"] = NpyArray::of<float>(std::vector<float>{1, 0, -1}, {3});
  one.arrays["test_scores"] = NpyArray::of<float>(std::vector<float>{1, 0, -1, 5, 5, 5}, {2, 3, 1});
  EXPECT_NE(prediction_figures(one).figures[0].plot.find("$samples using 1:2"), std::string::npos);
}

TEST(RunData, DecidesByTheVoteOrByTheLayerThatDecides) {
  RunData run;
  run.about = json::object();
  run.arrays["test_scores"] = NpyArray::of<float>(std::vector<float>(8), {2, 2, 2});
  run.arrays["test_predictions"] = NpyArray::of<std::int32_t>(std::vector<std::int32_t>{0, 1, 1, 1}, {2, 2});
  EXPECT_EQ(run.decisions(), (std::vector<std::int32_t>{1, 1})) << "the last layer, if nothing is said";
  run.about = {{"deciding_layer", 0}};
  EXPECT_EQ(run.decisions(), (std::vector<std::int32_t>{0, 1}));
  run.about = {{"deciding_layer", 2}};
  EXPECT_THROW((void)run.decisions(), DataError);
  run.arrays["test_vote"] = NpyArray::of<std::int32_t>(std::vector<std::int32_t>{1, 0}, {2});
  EXPECT_EQ(run.decisions(), (std::vector<std::int32_t>{1, 0}));
}

TEST(Figure, ShortensNamesByCharacters) {
  EXPECT_EQ(shortened("rose", 4), "rose");
  EXPECT_EQ(shortened("roses", 4), "ros..");
  EXPECT_EQ(shortened("ÄÖÜß", 4), "ÄÖÜß");
  EXPECT_EQ(shortened("ÄÖÜßa", 4), "ÄÖÜ..");
}

}  // namespace
}  // namespace ffzero
