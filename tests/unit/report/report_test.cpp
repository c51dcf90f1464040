// Reports of small runs: whole, self-contained, and there without gnuplot too.
// SPDX-License-Identifier: MIT
#include "ffzero/report/report.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <regex>
#include <set>

#include "ffzero/base/error.hpp"
#include "ffzero/report/interactive.hpp"
#include "ffzero/report/light.hpp"
#include "ffzero/report/page.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/run_figures.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/run/pictures.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/train/source.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Overrides = std::vector<std::pair<std::string, std::string>>;

// Two classes of a data set of a few samples, so that a run takes milliseconds.
fs::path small_data(const test::TemporaryFolder& folder) {
  constexpr Index kSide = 6;
  NpzArchive archive;
  const auto add = [&](const std::string& split, Index samples) {
    std::vector<std::uint8_t> pixels;
    std::vector<std::int32_t> labels;
    for (Index i = 0; i < samples; ++i) {
      labels.push_back(static_cast<std::int32_t>(i % 3));
      for (Index p = 0; p < kSide * kSide; ++p)
        pixels.push_back(static_cast<std::uint8_t>(p / (2 * kSide) == i % 3 ? 200 - (i * 7 + p * 3) % 50 : (i * 11 + p * 5) % 60));
    }
    archive["x_" + split] = NpyArray::of<std::uint8_t>(pixels, {samples, kSide, kSide});
    archive["y_" + split] = NpyArray::of<std::int32_t>(labels, {samples});
  };
  add("train", 60);
  add("test", 30);
  write_npz(folder.path() / "data.npz", archive);
  return folder.path() / "data.npz";
}

fs::path small_run(const test::TemporaryFolder& folder, Overrides overrides) {
  RunRequest request;
  request.sources.overrides = {{"dataset.name", "npz"},
                               {"dataset.dir", small_data(folder).string()},
                               {"training.epochs", "2"},
                               {"training.batch_size", "10"},
                               {"threads", "1"}};
  request.sources.overrides.insert(request.sources.overrides.end(), overrides.begin(), overrides.end());
  request.out = folder.path() / "run";
  EXPECT_FALSE(run_training(request).interrupted);
  return request.out;
}

fs::path dense_run(const test::TemporaryFolder& folder) { return small_run(folder, {{"model.layers", "[8, 6]"}}); }

fs::path photonic_run(const test::TemporaryFolder& folder) {
  return small_run(folder, {{"model.kind", "photonic"}, {"dataset.crop", "3"}, {"model.mesh.layers", "2"}});
}

// More maps and kernels' channels than a page has room for.
fs::path convolutional_run(const test::TemporaryFolder& folder) {
  return small_run(folder, {{"model.kind", "cnn"},
                            {"model.conv.channels", "[20,3]"},
                            {"model.conv.kernel", "[3]"},
                            {"model.conv.padding", "[1]"},
                            {"model.conv.pool", "[2,0]"},
                            {"model.layers", "[5]"}});
}

// Every tag that is opened is closed; void elements aside.
void expect_well_formed(const std::string& html) {
  static const std::regex tag(R"(<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:[^<>"']|"[^"]*"|'[^']*')*?)(/?)>)");
  std::vector<std::string> open;
  for (std::sregex_iterator at(html.begin(), html.end(), tag), end; at != end; ++at) {
    const std::string name = (*at)[2];
    if (name == "meta" || name == "br" || (*at)[4].length() > 0) continue;
    if ((*at)[1].length() == 0) {
      open.push_back(name);
    } else {
      ASSERT_FALSE(open.empty()) << "closed without being open: " << name;
      ASSERT_EQ(open.back(), name);
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty()) << open.size() << " elements stay open, the last is " << open.back();
}

void expect_self_contained(std::string html) {
  EXPECT_LT(html.size(), 1'500'000U) << "it can be sent by mail";
  // One script, our own.
  const std::string script(interactive_script());
  const auto place_of = html.find(script);
  ASSERT_NE(place_of, std::string::npos);
  EXPECT_TRUE(std::string_view(html).substr(0, place_of).ends_with("<script>\n"));
  html.erase(place_of - 9, script.size() + 9);
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<link")));
  EXPECT_THAT(html, Not(HasSubstr("@import")));
  static const std::regex source(R"((?:src|href)\s*=\s*["']([^"']*))"), place(R"(url\(([^)]*))");
  for (const std::regex& pattern : {source, place})
    for (std::sregex_iterator at(html.begin(), html.end(), pattern), end; at != end; ++at) {
      const std::string target = (*at)[1];
      EXPECT_TRUE(target.starts_with("#") || target.starts_with("data:")) << target;
    }
}

void expect_unique_ids(const std::string& html) {
  static const std::regex id(R"(\sid=["']([^"']*))");
  std::vector<std::string> ids;
  for (std::sregex_iterator at(html.begin(), html.end(), id), end; at != end; ++at) ids.push_back((*at)[1]);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
}

bool have_gnuplot() {
  return draw({{.name = "try", .title = "", .caption = "", .data = "", .plot = "plot x\n"}},
              fs::temp_directory_path() / "ffzero-try-gnuplot")
      .available;
}

void expect_drawn(const std::vector<FigureGroup>& groups, const fs::path& folder, const std::string& html) {
  for (const auto& group : groups)
    for (const auto& figure : group.figures) {
      for (const char* suffix : {".svg", ".png", ".pdf"}) {
        ASSERT_TRUE(fs::exists(folder / (figure.name + suffix))) << figure.name << suffix;
        EXPECT_GT(fs::file_size(folder / (figure.name + suffix)), 800U) << figure.name << suffix;
      }
      EXPECT_THAT(html, HasSubstr("-" + figure.name + "\""));
    }
}

TEST(Report, OfADenseRunIsOneSelfContainedPageWithEveryFigure) {
  if (!have_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  const fs::path run = dense_run(folder);
  const ReportResult result = write_report({run});
  EXPECT_TRUE(result.notices.empty()) << result.notices.front();
  EXPECT_EQ(result.file, run / "report.html");
  const std::string html = read_file(result.file);
  expect_well_formed(html);
  expect_self_contained(html);
  expect_unique_ids(html);
  const RunData data = read_run(run);
  const std::vector<FigureGroup> groups{learning_figures(data), prediction_figures(data)};
  EXPECT_EQ(groups[0].figures.size(), 5U);
  EXPECT_EQ(groups[1].figures.size(), 3U);
  EXPECT_EQ(result.figures, 8);
  expect_drawn(groups, run / "figures", html);
  EXPECT_THAT(html, HasSubstr("taken for"));
  EXPECT_THAT(html, HasSubstr("ffzero train "));
  EXPECT_TRUE(fs::exists(run / "figures" / "worst_samples.png"));
}

TEST(Report, OfAPhotonicRunShowsPhasesAndLight) {
  if (!have_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  const fs::path run = photonic_run(folder);
  const ReportResult result = write_report({run});
  EXPECT_TRUE(result.notices.empty()) << result.notices.front();
  const std::string html = read_file(result.file);
  expect_well_formed(html);
  expect_self_contained(html);
  const FigureGroup light = photonic_figures(read_run(run));
  // A mesh: light twice, power, six maps of phases, gamma, two histograms, two roses; and the energy of all.
  EXPECT_EQ(light.figures.size(), 2U * 14U + 1U);
  expect_drawn({light}, run / "figures", html);
}

TEST(Report, OfAConvolutionalRunShowsKernelsAndFeatureMaps) {
  if (!have_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  const fs::path run = convolutional_run(folder);
  const ReportResult result = write_report({run});
  EXPECT_TRUE(result.notices.empty()) << result.notices.front();
  const std::string html = read_file(result.file);
  expect_well_formed(html);
  expect_self_contained(html);
  expect_unique_ids(html);
  const RunData data = read_run(run);
  const FigureGroup group = convolution_figures(data);
  ASSERT_EQ(group.figures.size(), 3U) << "kernels, and maps of each convolution";
  expect_drawn({group}, run / "figures", html);
  EXPECT_THAT(html, HasSubstr("aria-label=\"conv0: learnt kernels\""));
  EXPECT_THAT(group.figures[0].caption, HasSubstr("3 x 3 pixels, a tile each (all 20 kernels)"));
  const auto weights = data.arrays.at("kernels").to<double>();
  const auto [low, high] = std::ranges::minmax(weights);
  EXPECT_THAT(group.figures[0].caption, HasSubstr(fmt::format("between {:.3g} and {:.3g}", low, high)));
  EXPECT_EQ(group.figures[1].title, "conv0: feature maps, 20 x 3 x 3");
  EXPECT_THAT(group.figures[1].caption, HasSubstr("the first 16 of 20 maps; 4 are left out"));
  EXPECT_THAT(group.figures[1].plot, HasSubstr("set cbrange [0:")) << "nothing is negative behind a rectifier";
  const auto labels = data.integers("test_labels"), decided = data.decisions();
  EXPECT_THAT(group.figures[2].plot, HasSubstr(fmt::format("'test sample 1 (is {}, taken for {})'", labels[1], decided[1])));
  EXPECT_THAT(group.figures[2].data, HasSubstr("$sample2 <<"));
}

TEST(Report, OfAConvolutionalRunWithManyLayersStaysLight) {
  if (!have_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  // Twice as many pixels as are kept, so that few layers weigh as much as many.
  constexpr Index kLayers = 5, kSide = 2 * ConvolutionPictures::kPixels;
  const test::TemporaryFolder folder;
  RunData run = read_run(convolutional_run(folder));
  run.about["maps"] = nlohmann::json::array();
  for (Index i = 0; i < kLayers; ++i) {
    // Noise: no picture takes more.
    std::vector<double> values(usize(3 * ConvolutionPictures::kMaps * kSide * kSide));
    for (std::size_t v = 0; v < values.size(); ++v) values[v] = std::sin(static_cast<double>(v * v % 7919 + usize(i)));
    run.arrays[fmt::format("maps.{}", i)] = NpyArray::of<double>(values, {3, ConvolutionPictures::kMaps, kSide, kSide});
    run.about["maps"].push_back({{"name", fmt::format("conv{}", i)}, {"shape", {512, 64, 64}}, {"step", 2}});
  }
  ReportResult result;
  const std::string html = report_body(run, folder.path() / "figures", {.only_svg = true}, result);
  EXPECT_TRUE(result.notices.empty()) << result.notices.front();
  EXPECT_LT(html.size(), 1'450'000U);
  EXPECT_THAT(html, AllOf(HasSubstr("the first 16 of 512 maps; 496 are left out"), HasSubstr("Of 2 rows and columns one is shown"),
                          HasSubstr("more figures lie in")));
}

TEST(Report, RefusesDamagedFeatureMaps) {
  const test::TemporaryFolder folder;
  const RunData whole = read_run(convolutional_run(folder));
  for (const char* name : {"kernels", "maps.1"}) {
    RunData run = whole;
    run.arrays[name].shape = {run.arrays[name].size()};
    EXPECT_THROW((void)convolution_figures(run), DataError) << name;
  }
  RunData run = whole;
  run.arrays["maps_samples"] = NpyArray::of<std::int32_t>(std::vector<std::int32_t>{0}, {1});
  EXPECT_THROW((void)convolution_figures(run), DataError);
  run.arrays.erase("maps.0");
  EXPECT_THROW((void)convolution_figures(run), DataError);
}

TEST(Report, WithoutGnuplotComesAndSaysHowToGetIt) {
  const test::TemporaryFolder folder;
  const fs::path run = dense_run(folder);
  const ReportResult result = write_report({run}, {.out = {}, .gnuplot = {.program = "no-such-gnuplot"}});
  ASSERT_EQ(result.notices.size(), 1U);
  EXPECT_THAT(result.notices[0], HasSubstr("apt install gnuplot-nox"));
  EXPECT_EQ(result.figures, 0);
  const std::string html = read_file(result.file);
  expect_well_formed(html);
  EXPECT_THAT(html, HasSubstr("apt install gnuplot-nox"));
  EXPECT_THAT(html, HasSubstr("test accuracy"));
}

TEST(Report, NamesTheFigureThatCannotBeDrawn) {
  if (!have_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  const Drawing drawing = draw({{.name = "good", .title = "a \"b\" `touch x`", .caption = "", .data = "", .plot = "plot sin(x)\n"},
                                {.name = "bad", .title = "", .caption = "", .data = "", .plot = "this is no command\n"}},
                               folder.path());
  EXPECT_TRUE(drawing.available);
  ASSERT_EQ(drawing.failures.size(), 1U);
  EXPECT_THAT(drawing.failures[0], testing::StartsWith("bad: "));
  EXPECT_FALSE(fs::exists(folder.path() / "x")) << "a title was run as a command";
}

TEST(Figure, LegendKeepsEveryEntryWithinTheFigureAndMakesRoomForIt) {
  std::vector<LegendEntry> entries;
  for (int i = 0; i < 13; ++i) entries.push_back({"a rather long name of a setting, number " + std::to_string(i), palette_colour(0)});
  Figure figure;
  const int height = figure.height;
  const std::string commands = legend(figure, entries);
  EXPECT_GE(figure.height, height + 13 * 20) << "names that fill the width go into one column";
  static const std::regex place(R"(set label \d+ '[^']*' at screen ([0-9.]+), screen ([0-9.]+) left)");
  std::set<std::string> rows;
  for (std::sregex_iterator at(commands.begin(), commands.end(), place), end; at != end; ++at) {
    EXPECT_LT(std::stod((*at)[1]), 0.5);
    rows.insert((*at)[2]);
  }
  EXPECT_EQ(rows.size(), 13U);
}

TEST(Figure, AxisStaysWithinWhatTheQuantityCanBe) {
  EXPECT_THAT(axis('y', {0.01, 0.99}, metric_limits("accuracy")), HasSubstr("set yrange [0:1]\nset ytics 0.2\n"));
  EXPECT_THAT(axis('x', {1.0, 3.0}, {0.0, 1e300}, 1.0), HasSubstr("set xtics 1\n")) << "there are no half epochs";
  const Range range = range_of({{1.0, 5.0}, {}, {2.0, std::nan("")}}, 2);
  EXPECT_EQ(range.low, 5.0);
  EXPECT_EQ(range.high, 5.0);
  EXPECT_EQ(axis('y', range_of({{}}, 1)), "");
  EXPECT_EQ(cost_axis({{0.5, 2.0}, {1.0, 19.0}}), axis('x', {0.0, 19.0}, {0.0, 1e300})) << "less than 10 times apart";
  EXPECT_EQ(cost_axis({{0.5, 2.0}, {1.0, 20.0}}), "set logscale x\nset format x '%g'\nset xrange [0.4:25]\n");
  EXPECT_EQ(cost_axis({{0.0, 2.0}, {0.0, 0.0}, {1.0, 40.0}}), "set logscale x\nset format x '%g'\nset xrange [0.8:50]\n") << "what is free";
  EXPECT_EQ(cost_axis({{0.0, 0.0}}), "");
}

TEST(Figure, WritesNoNegativeZeroIntoTheCellsOfAMatrix) {
  const test::TemporaryFolder folder;
  for (const Figure& figure : prediction_figures(read_run(dense_run(folder))).figures)
    if (figure.name == "similarity") {
      EXPECT_THAT(figure.plot, HasSubstr("abs($3)<0.05?0:$3"));
    }
}

// What the script reads: a page's data, unescaped.
nlohmann::json curves_in(std::string html) {
  const std::string begin = "data-curves=\"";
  const auto at = html.find(begin);
  if (at == std::string::npos) return nullptr;
  html = html.substr(at + begin.size());
  html = html.substr(0, html.find('"'));
  for (const auto& [from, to] : {std::pair{"&quot;", "\""}, std::pair{"&lt;", "<"}, std::pair{"&gt;", ">"}, std::pair{"&amp;", "&"}})
    for (std::size_t i = html.find(from); i != std::string::npos; i = html.find(from, i + 1)) html.replace(i, std::string(from).size(), to);
  return nlohmann::json::parse(html, nullptr, false);
}

TEST(Interactive, HasEveryValueOfARun) {
  const test::TemporaryFolder folder;
  RunData run = read_run(dense_run(folder));
  ASSERT_FALSE(run.epochs.empty());
  run.epochs[0].layer = "\"><script>";
  const std::string html = interactive_html({run});
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  const nlohmann::json all = curves_in(html);
  ASSERT_TRUE(all.is_object()) << html;
  ASSERT_EQ(all.at("curves").size(), 5U) << "two layers, on the test and on the train set, and the whole run";
  const auto& curve = all.at("curves")[2];
  EXPECT_EQ(curve.at("name"), run.epochs.back().layer);
  EXPECT_EQ(curve.at("set"), "test");
  EXPECT_EQ(curve.at("seed"), run.summary.at("seed"));
  ASSERT_EQ(curve.at("points").size(), 2U);
  const auto& point = curve.at("points")[1];
  EXPECT_EQ(point.at(0), static_cast<std::int64_t>(run.epochs.back().forward_evals));
  EXPECT_EQ(point.at(1), 2.0);
  EXPECT_NEAR(point.at(2).get<double>(), run.epochs.back().test, 1e-5);
  EXPECT_NEAR(point.at(3).get<double>(), run.epochs.back().test_loss, 1e-5);
  EXPECT_TRUE(point.at(4).is_null());
  EXPECT_NEAR(all.at("curves")[3].at("points")[1].at(4).get<double>(), run.epochs.back().training_loss, 1e-5);
  const auto& whole = all.at("curves")[4];
  EXPECT_EQ(whole.at("name"), "whole run");
  ASSERT_EQ(whole.at("points").size(), 4U);
  EXPECT_TRUE(whole.at("points")[3].at(1).is_null()) << "epochs are those of a layer";
  EXPECT_NEAR(whole.at("points")[3].at(2).get<double>(), run.summary.at("final").at("test").get<double>(), 1e-5);
  EXPECT_LE(std::ranges::count(interactive_script(), '\n'), 190);
  EXPECT_THAT(std::string(interactive_script()), HasSubstr("home.clientWidth")) << "letters keep their size on small screens";
}

TEST(Interactive, GivesRunsOfOneNameOneColourAndStaysLight) {
  RunData run;
  run.metric = "accuracy";
  for (int i = 1; i <= 1000; ++i)
    run.epochs.push_back({"a", 0, 1.0 * i, 1000.0 * i, 0.0, 1.0 / i, 1.0 - 1.0 / i, 1.0 / i, 1.0 - 2.0 / i, 2.0 / i});
  std::vector<RunData> runs(200, run);
  for (std::size_t i = 0; i < runs.size(); ++i) runs[i].name = i < 100 ? "one" : "other";
  const std::string html = interactive_html(runs);
  EXPECT_LT(html.size(), 1'000'000U);
  const nlohmann::json curves = curves_in(html).at("curves");
  ASSERT_EQ(curves.size(), 400U);
  EXPECT_EQ(curves[0].at("colour"), curves[199].at("colour"));
  EXPECT_NE(curves[0].at("colour"), curves[200].at("colour"));
  EXPECT_EQ(curves[0].at("points").back().at(1), 1000.0);
}

TEST(Interactive, ThinsLongCurvesAndKeepsTheirEnds) {
  RunData run;
  run.metric = "accuracy";
  for (int i = 1; i <= 5000; ++i)
    run.epochs.push_back({.layer = "a",
                          .layer_index = 0,
                          .epoch = 1.0 * i,
                          .forward_evals = 10.0 * i,
                          .wall_s = 0.0,
                          .training_loss = 1.0,
                          .train = std::nan(""),
                          .train_loss = std::nan(""),
                          .test = 0.5,
                          .test_loss = 0.25});
  const std::string html = interactive_html({run});
  EXPECT_LT(html.size(), 60000U);
  const nlohmann::json points = curves_in(html).at("curves")[0].at("points");
  ASSERT_EQ(points.size(), 400U);
  EXPECT_EQ(points.front().at(1), 1.0);
  EXPECT_EQ(points.back().at(1), 5000.0);
  EXPECT_TRUE(curves_in(html).at("curves")[1].at("points")[0].at(2).is_null());
  run.epochs.clear();
  EXPECT_EQ(interactive_html({run}), "");
}

TEST(Report, SaysForEachClassHowOftenItIsRightAndWhatItIsTakenFor) {
  const test::TemporaryFolder folder;
  const fs::path path = dense_run(folder);
  const RunData run = read_run(path);
  const Index classes = isize(run.summary.at("classes").size());
  const Matrix<double> counts = confusion_counts(run, classes);
  ASSERT_EQ(counts.rows(), classes);
  const auto labels = run.integers("test_labels");
  EXPECT_EQ(counts.sum(), static_cast<double>(labels.size()));
  for (Index k = 0; k < classes; ++k)
    EXPECT_NEAR(counts(k, k) / counts.row(k).sum(), run.summary.at("classes")[usize(k)].at("recall").get<double>(), 1e-12);
  EXPECT_EQ(confusion_counts(run, 1).size(), 0) << "other classes than the run's";
  const std::string html = read_file(write_report({path}).file);
  EXPECT_THAT(html, HasSubstr("precision"));
  const Index k = 0;
  const double taken = counts.col(k).sum();
  EXPECT_THAT(html, HasSubstr("<td>" + (taken > 0.0 ? fmt::format("{:.4f}", counts(k, k) / taken) : std::string("-")) + "</td>"));
  EXPECT_EQ(html.find("Worst confusions") != std::string::npos, counts.sum() > counts.trace());
}

// As if the sets had not been evaluated while layers were trained.
void forget_evaluations(RunData& run) {
  for (EpochPoint& p : run.epochs) p.test = p.train = p.test_loss = p.train_loss = std::nan("");
}

TEST(Report, ShowsTheLossOfTheStepsWhereNothingElseWasMeasured) {
  const test::TemporaryFolder folder;
  RunData run = read_run(dense_run(folder));
  forget_evaluations(run);
  const FigureGroup group = learning_figures(run);
  ASSERT_EQ(group.figures.size(), 3U);
  EXPECT_EQ(group.figures[1].name, "step_loss_over_evaluations");
  EXPECT_EQ(group.figures[2].name, "step_loss_over_epochs");
}

TEST(Report, DrawsLayersAndTheRunThatGoesOn) {
  const test::TemporaryFolder folder;
  RunData run = read_run(dense_run(folder));
  const FigureGroup group = learning_figures(run);
  ASSERT_EQ(group.figures.size(), 5U);
  EXPECT_THAT(group.figures[1].data, HasSubstr("$run <<"));
  EXPECT_THAT(group.figures[2].data, Not(HasSubstr("$run <<"))) << "epochs are those of a layer";
  for (auto& layer : run.summary.at("layers")) layer["test"]["value"] = layer["train"]["value"] = 0.97;
  run.summary["vote"] = {{"rule", "mean"}, {"test", 0.98}, {"train", 0.99}};
  EXPECT_THAT(learning_figures(run).figures[0].plot, testing::ContainsRegex("set xrange \\[0\\.9")) << "values at 0.97 do not begin at 0";
}

TEST(Report, SaysWhenALayerOnlyLearnsTheTrainSetByHeart) {
  const test::TemporaryFolder folder;
  RunData run = read_run(dense_run(folder));
  const auto body = [&] {
    ReportResult result;
    return report_body(run, folder.path() / "figures", {.program = "no-such-gnuplot"}, result);
  };
  double loss = 0.2;
  for (EpochPoint& p : run.epochs) {
    p.train = 1.0;
    p.test_loss = loss += 0.1;
  }
  EXPECT_THAT(body(), HasSubstr("the test loss has risen since epoch 1, from 0.3 to 0.4"));
  for (EpochPoint& p : run.epochs) p.train = 0.99;
  EXPECT_THAT(body(), Not(HasSubstr("the test loss has risen")));
  for (EpochPoint& p : run.epochs) {
    p.train = 1.0;
    p.test_loss = loss -= 0.1;
  }
  EXPECT_THAT(body(), Not(HasSubstr("the test loss has risen")));
}

TEST(Page, NamesFiguresThatWouldMakeItTooHeavy) {
  const test::TemporaryFolder folder;
  FigureGroup group{"Light", {}};
  for (const char* name : {"a", "b", "c"}) {
    group.figures.push_back({.name = name, .title = "The <title>", .caption = "", .data = "", .plot = ""});
    std::ofstream(folder.path() / (std::string(name) + ".svg")) << "<svg>" << std::string(1000, ' ') << "</svg>\n";
  }
  EXPECT_THAT(figures_html(group, folder.path(), "m"), AllOf(HasSubstr("id=\"m-c\""), Not(HasSubstr("more figures"))));
  const std::string some = figures_html(group, folder.path(), "m", 2500);
  EXPECT_LT(some.size(), 3000U);
  EXPECT_THAT(some,
              AllOf(HasSubstr("id=\"m-b\""), Not(HasSubstr("id=\"m-c\"")), HasSubstr("1 more figures lie in " + folder.path().string())));
  EXPECT_THAT(some, HasSubstr("<svg role=\"img\" aria-label=\"The &lt;title&gt;\">"));
}

TEST(Page, LeavesOutWhatGnuplotDrawsForNothing) {
  if (!have_gnuplot()) GTEST_SKIP() << "gnuplot is not installed";
  const test::TemporaryFolder folder;
  const Figure figure{.name = "map",
                      .title = "",
                      .caption = "",
                      .data = "$cells << EOD\n0 1\n2 3\nEOD\n",
                      .plot = amount_palette() + "set cbrange [0:3]\nplot $cells matrix with image pixels, x with points pt 9\n"};
  ASSERT_TRUE(draw({figure}, folder.path()).failures.empty());
  const std::string whole = read_file(folder.path() / "map.svg"), svg = inline_svg(folder.path() / "map.svg", "p");
  EXPECT_LT(svg.size() + 12000, whole.size());
  EXPECT_THAT(svg,
              AllOf(HasSubstr("<linearGradient id=\"p-scale\""), HasSubstr("fill=\"url(#p-scale)\""), HasSubstr("rgb( 68,   1,  84)")));
  std::size_t cells = 0;
  for (auto at = svg.find("<polygon"); at != std::string::npos; at = svg.find("<polygon", at + 1)) ++cells;
  EXPECT_EQ(cells, 4U) << "of the matrix";
  EXPECT_THAT(svg, AllOf(HasSubstr("'p-gpPt7'"), HasSubstr("'p-gpPt8'"), Not(HasSubstr("gpPt13")), Not(HasSubstr("<filter"))))
      << "what the mark is made of stays";
}

TEST(Report, OfSeveralRunsSetsThemSideBySide) {
  const test::TemporaryFolder one, two, out;
  const fs::path a = dense_run(one), b = photonic_run(two);
  const ReportResult result = write_report({a, b}, {.out = out.path(), .gnuplot = {}});
  const std::string html = read_file(result.file);
  expect_well_formed(html);
  expect_self_contained(html);
  EXPECT_THAT(html, HasSubstr("2 runs side by side"));
}

TEST(Report, OfAnUnfinishedRunShowsItsCurves) {
  const test::TemporaryFolder folder;
  const fs::path run = dense_run(folder);
  fs::remove(run / "summary.json");
  fs::remove(run / "evaluation.npz");
  const ReportResult result = write_report({run});
  ASSERT_FALSE(result.notices.empty());
  EXPECT_THAT(result.notices.back(), HasSubstr("--resume"));
}

TEST(Report, RefusesAFolderThatIsNoRun) {
  const test::TemporaryFolder folder;
  EXPECT_THROW((void)write_report({folder.path()}), DataError);
  EXPECT_THROW((void)write_report({}), UsageError);
}

TEST(Report, IsDrawnWhenTheRunSaysThatItIsFinished) {
  const test::TemporaryFolder folder;
  RunRequest request;
  request.sources.overrides = {{"dataset.name", "npz"},
                               {"dataset.dir", small_data(folder).string()},
                               {"training.epochs", "1"},
                               {"training.batch_size", "10"},
                               {"model.layers", "[6]"}};
  request.out = folder.path() / "run";
  RunEvents events;
  std::vector<bool> told;
  events.finished = [&](const fs::path& run, bool earlier) {
    EXPECT_TRUE(fs::exists(run / "summary.json")) << "it is finished";
    told.push_back(earlier);
    if (!earlier) report_run(run, [](const std::string&) {});
  };
  (void)run_training(request, events);
  EXPECT_TRUE(fs::exists(request.out / "report.html"));
  request.resume = request.out;
  (void)run_training(request, events);
  EXPECT_EQ(told, (std::vector<bool>{false, true}));
}

TEST(EvaluationData, KeepsTheWorstSamplesFirst) {
  const test::TemporaryFolder folder;
  const RunData run = read_run(dense_run(folder));
  const auto worst = run.integers("worst_indices");
  const auto labels = run.integers("test_labels");
  ASSERT_EQ(worst.size(), 24U);
  const Matrix<double> scores = run.test_scores(1);
  double before = -1e9;
  for (const std::int32_t i : worst) {
    Eigen::RowVectorXd row = scores.row(i);
    const double own = row(labels[static_cast<std::size_t>(i)]);
    row(labels[static_cast<std::size_t>(i)]) = -1e9;
    EXPECT_GE(own - row.maxCoeff(), before);
    before = own - row.maxCoeff();
  }
  EXPECT_EQ(run.arrays.at("worst_images").shape, (std::vector<Index>{24, 6, 6}));
  EXPECT_EQ(run.arrays.at("features").shape, (std::vector<Index>{30, 6}));
  EXPECT_EQ(run.arrays.at("prototypes").shape, (std::vector<Index>{3, 6}));
}

TEST(EvaluationData, KeepsKernelsAndWhatConvolutionsPassOn) {
  const test::TemporaryFolder folder;
  const fs::path path = convolutional_run(folder);
  const RunData run = read_run(path);
  const TrainedNetwork trained = TrainedNetwork::load(path);
  const Network<float>& network = trained.network();
  const auto kernels = run.arrays.at("kernels").to<float>();
  EXPECT_EQ(run.arrays.at("kernels").shape, (std::vector<Index>{20, 1, 3, 3}));
  EXPECT_TRUE(std::ranges::equal(kernels, network.theta(0, 1).first(180)));
  EXPECT_EQ(run.about.at("kernels"), (nlohmann::json{{"layer", "conv0"}, {"count", 20}, {"inputs", 1}}));
  EXPECT_EQ(run.integers("maps_samples"), (std::vector<std::int32_t>{0, 1, 2})) << "one of each class";
  EXPECT_EQ(run.arrays.at("maps_images").shape, (std::vector<Index>{3, 6, 6}));
  EXPECT_EQ(run.arrays.at("maps.0").shape, (std::vector<Index>{3, 16, 3, 3}));
  EXPECT_EQ(run.arrays.at("maps.1").shape, (std::vector<Index>{3, 3, 3, 3}));
  EXPECT_FALSE(run.has("maps.2")) << "a dense layer passes on no maps";
  const Splits splits = load_splits(trained.config(), {});
  Matrix<float> x = encode_samples(trained.encoder(), splits.test, 0, 3);
  LayerOutput<float> out;
  for (Index layer = 0; layer < 2; ++layer) {
    network.pass_on(layer, layer + 1, x, out);
    const Matrix<double> kept = run.matrix(fmt::format("maps.{}", layer));
    EXPECT_LT((kept - x.leftCols(kept.cols()).cast<double>()).cwiseAbs().maxCoeff(), 1e-5) << layer;
  }
  const test::TemporaryFolder other;
  EXPECT_FALSE(read_run(dense_run(other)).about.contains("maps"));
}

TEST(EvaluationData, MeshesKeepTheEnergy) {
  const test::TemporaryFolder folder;
  const RunData run = read_run(photonic_run(folder));
  const Matrix<double> energy = run.matrix("energy");
  for (Index i = 0; i < energy.rows(); ++i) EXPECT_NEAR(energy(i, 1) / energy(i, 0), 1.0, 1e-5);
  const Matrix<double> light = run.matrix("light_after.0");
  for (Index row = 1; row < light.rows(); ++row) EXPECT_NEAR(light.row(row).sum() / light.row(0).sum(), 1.0, 1e-5);
}

TEST(Light, OfASampleAgreesWithWhatTheRunKept) {
  const test::TemporaryFolder folder;
  const fs::path run = photonic_run(folder);
  const LightRequest request{.run = run, .cache_dir = {}, .sample = 0};
  const LightData light = light_of(request);
  ASSERT_EQ(light.summary.at("meshes").size(), 2U);
  const auto kept = read_run(run).matrix("light_after.1");
  const NpyArray& fields = light.arrays.at("fields_after.1");
  const auto values = fields.to<double>();
  const Eigen::Map<const Matrix<double>> field(values.data(), fields.shape[0], fields.shape[1]);
  const Index n = field.cols() / 2;
  EXPECT_LT((field.leftCols(n).cwiseAbs2() + field.rightCols(n).cwiseAbs2() - kept).cwiseAbs().maxCoeff(), 1e-6);
  for (const auto& mesh : light.summary.at("meshes"))
    EXPECT_NEAR(mesh.at("energy_out").get<double>(), mesh.at("energy_in").get<double>(), 1e-5 * mesh.at("energy_in").get<double>());
  (void)write_light(light, request, folder.path() / "light");
  // What predict says, on the page too.
  EXPECT_EQ(light.arrays.at("image").shape, (std::vector<Index>{6, 6}));
  const TrainedNetwork trained = TrainedNetwork::load(run);
  const Splits splits = load_splits(trained.config(), {});
  const Opinions opinions = trained.infer(splits.test.slice(0, 1), "test");
  EXPECT_EQ(light.summary.at("label"), splits.test.labels()[0]);
  EXPECT_EQ(light.summary.at("prediction"), opinions.decision[0]);
  const auto similarity = light.summary.at("similarities").at(usize(opinions.decision[0])).get<double>();
  EXPECT_NEAR(similarity, joint_scores(trained, opinions)(0, opinions.decision[0]), 1e-6);
  const std::string html = read_file(folder.path() / "light" / "light.html");
  expect_well_formed(html);
  EXPECT_THAT(html,
              AllOf(HasSubstr("aria-label=\"the sample\" style=\"background-image:url(data:image/png;base64,"), HasSubstr("is 0<br><b"),
                    HasSubstr(fmt::format("taken for {}</b><br>similarity {:.3f}", opinions.decision[0], similarity))));
  for (const char* file : {"light.npz", "light.json", "light.html"}) EXPECT_TRUE(fs::exists(folder.path() / "light" / file)) << file;
}

TEST(Light, NeedsAPhotonicRunAndASample) {
  const test::TemporaryFolder dense, photonic;
  EXPECT_THROW((void)light_of({.run = dense_run(dense), .cache_dir = {}, .sample = 0}), ConfigError);
  EXPECT_THROW((void)light_of({.run = photonic_run(photonic), .cache_dir = {}, .sample = 30}), DataError);
}

}  // namespace
}  // namespace ffzero
