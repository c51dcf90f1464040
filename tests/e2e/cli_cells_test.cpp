// The cells of the 2 x 2 table and the kinds of model, end to end, and what a run writes.
// SPDX-License-Identifier: MIT
#include "compare_runs.hpp"

namespace ffzero::test {
namespace {

using json = nlohmann::ordered_json;

struct Cell {
  std::string name;
  Arguments arguments;
  double floor;  // of the final test metric
  friend void PrintTo(const Cell& cell, std::ostream* out) { *out << cell.name; }
};

class Cells : public ::testing::TestWithParam<Cell> {};

TEST_P(Cells, LearnTheGlyphs) {
  Workplace place;
  const auto out =
      succeed(place, Arguments{"train", "--quiet", "--no-report", "--json", "--classes", "4", "--out", "run"} + GetParam().arguments).out;
  EXPECT_GE(json_of(out).at("final").at("test").get<double>(), GetParam().floor);
  EXPECT_EQ(json_of(out).at("solver"), GetParam().name);
}

// Four classes: chance is 0.25. Half a second each; the floors leave room for other machines, not for a cell that does not learn.
INSTANTIATE_TEST_SUITE_P(
    Cli, Cells,
    ::testing::Values(Cell{"ff_dd", {"--solver", "ff_dd", "--preset", "opaque", "--layers", "40", "--epochs", "3"}, 0.4},
                      Cell{"ff_ad", {"--solver", "ff_ad", "--layers", "40,20", "--epochs", "2"}, 0.75},
                      Cell{"bp_dd", {"--solver", "bp_dd", "--preset", "opaque", "--layers", "20,4", "--epochs", "2"}, 0.3},
                      Cell{"bp_ad", {"--solver", "bp_ad", "--layers", "40,4", "--epochs", "1"}, 0.8}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(Regression, LearnsTheFirstFunctionAndHasNoVote) {
  Workplace place;
  const json summary = json_of(succeed(place, {"train", "--quiet", "--no-report", "--json", "--dataset", "function1", "--solver", "ff_ad",
                                               "--layers", "30,30", "--epochs", "3", "--out", "run"})
                                   .out);
  EXPECT_EQ(summary.at("final").at("metric"), "r2");
  EXPECT_TRUE(summary.at("vote").is_null());
  EXPECT_GE(summary.at("final").at("test").get<double>(), 0.8);
  const json evaluated = json_of(succeed(place, {"eval", "run", "--json"}).out);
  EXPECT_NEAR(evaluated.at("final").get<double>(), summary.at("final").at("test").get<double>(), 1e-6);
}

TEST(Kinds, ConvolutionsAndMeshesLearn) {
  Workplace place;
  const auto final_of = [&](const SampleData& data, const Arguments& arguments, const std::string& out) {
    const auto outcome = succeed(place, train_on(place, sample_archive(data)) + arguments + Arguments{"--json", "--out", out});
    return json_of(outcome.out).at("final").at("test").get<double>();
  };
  EXPECT_GE(
      final_of(kImages, kConvolutions + Arguments{"--solver", "ff_ad", "--epochs", "20", "--batch-size", "16", "--lr", "0.01"}, "cnn"),
      0.7);
  EXPECT_GE(final_of(kFields,
                     {"--model", "photonic", "--layers", "2", "--solver", "ff_ad", "--epochs", "20", "--batch-size", "16", "--lr", "0.02"},
                     "mesh"),
            0.55);
}

// name -> type of each member that the design promises.
void expect_members(const json& object, const std::vector<std::pair<std::string, json::value_t>>& members, const std::string& where) {
  for (const auto& [name, type] : members) {
    ASSERT_TRUE(object.contains(name)) << where << "." << name;
    const bool count = type == json::value_t::number_unsigned && object.at(name).is_number_integer() && object.at(name) >= 0;
    const bool real = type == json::value_t::number_float && object.at(name).is_number();
    EXPECT_TRUE(count || real || object.at(name).type() == type) << where << "." << name << " is " << object.at(name).dump();
  }
}

TEST(Summary, HasEveryMemberOfTheSchemaWithItsType) {
  using enum json::value_t;
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--control", "--set", "vote.rule=majority", "--out", "run"});
  const json s = json_of(read_file(place.path("run/summary.json")));
  expect_members(s,
                 {{"schema", number_unsigned},
                  {"solver", string},
                  {"information", string},
                  {"dataset", string},
                  {"seed", number_unsigned},
                  {"epochs", number_unsigned},
                  {"layers", array},
                  {"vote", object},
                  {"control", object},
                  {"stopped_by", string},
                  {"preset", string},
                  {"estimator", string},
                  {"final", object},
                  {"forward_evals", object},
                  {"wall_s", object},
                  {"peak_rss_bytes", number_unsigned},
                  {"machine", object},
                  {"version", string}},
                 "summary");
  EXPECT_EQ(s.at("schema"), 1);
  ASSERT_EQ(s.at("layers").size(), 2U);
  for (const auto& layer : s.at("layers")) {
    expect_members(layer, {{"name", string}, {"parameters", number_unsigned}, {"train", object}, {"test", object}}, "layer");
    for (const char* split : {"train", "test"})
      expect_members(layer.at(split), {{"metric", string}, {"value", number_float}, {"loss", number_float}}, std::string("layer.") + split);
  }
  EXPECT_EQ(s.at("layers").at(0).at("name"), "dense0");
  EXPECT_EQ(s.at("layers").at(0).at("parameters"), 20 * 12 + 12);
  expect_members(s.at("vote"), {{"rule", string}, {"train", number_float}, {"test", number_float}}, "vote");
  expect_members(s.at("control"), {{"metric", string}, {"train", number_float}, {"test", number_float}, {"forward_evals", number_unsigned}},
                 "control");
  expect_members(s.at("final"), {{"metric", string}, {"train", number_float}, {"test", number_float}}, "final");
  expect_members(s.at("forward_evals"),
                 {{"training", number_unsigned},
                  {"propagation", number_unsigned},
                  {"logging", number_unsigned},
                  {"replayed", number_unsigned},
                  {"pullbacks", number_unsigned},
                  {"checks", number_unsigned},
                  {"failed", number_unsigned},
                  {"per_layer", array}},
                 "forward_evals");
  EXPECT_EQ(s.at("forward_evals").at("per_layer").size(), 2U);
  expect_members(s.at("wall_s"),
                 {{"load", number_float}, {"training", number_float}, {"evaluation", number_float}, {"total", number_float}}, "wall_s");
  EXPECT_LE(s.at("final").at("test").get<double>(), 1.0);  // a fraction, not percent
}

TEST(Summary, OfAnEndToEndRunHasOneLayerAndNoVote) {
  Workplace place;
  const json s = json_of(succeed(place, train_on(place) + Arguments{"--solver", "bp_ad", "--layers", "12,3", "--epochs", "1",
                                                                    "--batch-size", "32", "--json", "--out", "run"})
                             .out);
  ASSERT_EQ(s.at("layers").size(), 1U);
  EXPECT_EQ(s.at("layers").at(0).at("name"), "all");
  EXPECT_TRUE(s.at("vote").is_null());
  EXPECT_TRUE(s.at("control").is_null());
}

TEST(Metrics, HaveOneLineForEachLayerAndEpoch) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  const auto lines = lines_of(read_file(place.path("run/metrics.jsonl")));
  ASSERT_EQ(lines.size(), 4U);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    using enum json::value_t;
    const json line = json_of(lines[i]);
    expect_members(line,
                   {{"layer", string},
                    {"epoch", number_unsigned},
                    {"train", number_float},
                    {"test", number_float},
                    {"loss", number_float},
                    {"forward_evals", number_unsigned},
                    {"wall_s", number_float}},
                   "metrics");
    EXPECT_EQ(line.at("epoch"), i % 2 + 1);
  }
}

TEST(Budget, StopsTheRunBeforeItIsPassed) {
  Workplace place;
  const json s =
      json_of(succeed(place, train_on(place) + kSmall +
                                 Arguments{"--solver", "ff_dd", "--preset", "paper", "--budget", "1000", "--json", "--out", "run"})
                  .out);
  EXPECT_EQ(s.at("stopped_by"), "budget");
  EXPECT_LE(s.at("forward_evals").at("training").get<int>(), 1000);
  EXPECT_GT(s.at("forward_evals").at("training").get<int>(), 900);
}

TEST(Budget, LeavesTheDecisionToTheLayersThatItReached) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall + Arguments{"--solver", "ff_dd", "--set", "vote.rule=sum"};
  succeed(place, train + Arguments{"--out", "whole"});
  const json whole = json_of(read_file(place.path("whole/summary.json")));
  EXPECT_FALSE(whole.contains("unreached"));
  // Exactly what the first layer takes, and a part of it.
  const int first = whole.at("forward_evals").at("per_layer").at(0).at("training").get<int>();
  for (const int budget : {first, first / 2}) {
    const std::string run = "run" + std::to_string(budget);
    succeed(place, train + Arguments{"--budget", std::to_string(budget), "--out", run});
    const json s = json_of(read_file(place.path(run + "/summary.json")));
    EXPECT_EQ(s.at("unreached"), json({"dense1"}));
    ASSERT_EQ(s.at("layers").size(), 1U);
    EXPECT_EQ(s.at("final").at("layer"), "dense0");
    EXPECT_EQ(s.at("final").at("test"), s.at("layers").at(0).at("test").at("value"));
    EXPECT_EQ(json_of(succeed(place, {"eval", run, "--json"}).out).at("vote").at("value"), s.at("final").at("test"));
    // What was stopped before its summary ends in the same one.
    fs::remove(place.path(run + "/summary.json"));
    succeed(place, {"train", "--resume", run});
    EXPECT_EQ(json_of(read_file(place.path(run + "/summary.json"))).at("final"), s.at("final"));
  }
}

TEST(Vote, IsChosenByTheValidationSamplesOnRequestAndNamed) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall;
  succeed(place, train + Arguments{"--set", "vote.rule=validated", "--set", "dataset.validation=80", "--out", "run"});
  const json s = json_of(read_file(place.path("run/summary.json")));
  const auto rule = s.at("vote").at("rule").get<std::string>();
  EXPECT_TRUE(rule == "last" || rule == "sum" || rule == "majority") << rule;
  const json e = json_of(succeed(place, {"eval", "run", "--json"}).out);
  EXPECT_EQ(e.at("vote"), json({{"rule", rule}, {"value", s.at("vote").at("test")}}));
  EXPECT_EQ(place.run(train + Arguments{"--set", "vote.rule=validated", "--out", "other"}).code, 3);
  EXPECT_FALSE(fs::exists(place.path("other")));
}

TEST(Kinds, ConvolutionsOfAPresetTakeSmallImages) {
  Workplace place;
  const Arguments train = train_on(place, sample_archive({.train = 60, .test = 30, .shape = {1, 8, 8}, .bytes = true})) +
                          Arguments{"--model", "cnn", "--epochs", "1", "--batch-size", "30", "--threads", "1"};
  succeed(place, train + Arguments{"--out", "first"});
  EXPECT_NE(read_file(place.path("first/config.toml")).find("projection_pool = 2"), std::string::npos);
  succeed(place, {"train", "first/config.toml", "--quiet", "--no-report", "--out", "second"});
  expect_same_run(place.path("first"), place.path("second"));
  const Outcome refused = place.run(train + Arguments{"--set", "model.conv.projection_pool=7", "--out", "third"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_EQ(lines_of(refused.err).size(), 1U) << refused.err;
  EXPECT_NE(refused.err.find("model.conv.projection_pool"), std::string::npos) << refused.err;
}

class ResolvedConfig : public ::testing::TestWithParam<Variant> {};

TEST_P(ResolvedConfig, ReadBackGivesTheSameRun) {
  Workplace place;
  succeed(place, train_on(place, sample_archive(GetParam().data)) + GetParam().arguments + Arguments{"--epochs", "1", "--out", "first"});
  succeed(place, {"train", "first/config.toml", "--quiet", "--no-report", "--out", "second"});
  EXPECT_EQ(read_file(place.path("first/config.toml")), read_file(place.path("second/config.toml")));
  expect_same_run(place.path("first"), place.path("second"));
}

INSTANTIATE_TEST_SUITE_P(Cli, ResolvedConfig,
                         ::testing::Values(Variant{"Default", kFeatures, {}},
                                           Variant{"Paper", kFeatures, {"--preset", "paper", "--layers", "12,6"}},
                                           Variant{"Activity", kFeatures, {"--preset", "activity", "--layers", "12,6"}},
                                           Variant{"EndToEnd", kFeatures, {"--solver", "bp_dd", "--layers", "12,6"}},
                                           Variant{"Conv", kImages, kConvolutions + kProjections},
                                           Variant{"Mesh", kFields, {"--model", "photonic"}},
                                           Variant{"MeshPaper", kFields, {"--model", "photonic", "--preset", "paper"}}),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace ffzero::test
