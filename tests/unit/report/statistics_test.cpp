// Quartiles, tables and angles.
// SPDX-License-Identifier: MIT
#include "ffzero/report/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "ffzero/report/page.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/run_figures.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/run/mesh_light.hpp"

namespace ffzero {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST(Quantile, InterpolatesBetweenOrderStatistics) {
  EXPECT_DOUBLE_EQ(quantile({3.0, 1.0, 2.0}, 0.5), 2.0);
  EXPECT_DOUBLE_EQ(quantile({4.0, 1.0, 2.0, 3.0}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({1.0, 2.0, 3.0, 4.0, 5.0}, 0.25), 2.0);
  EXPECT_DOUBLE_EQ(quantile({1.0, 2.0, 3.0, 4.0}, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(quantile({7.0}, 0.75), 7.0);
}

TEST(Quantile, LeavesOutWhatIsNoNumber) {
  EXPECT_DOUBLE_EQ(quantile({kNone, 2.0, kNone, 4.0}, 0.5), 3.0);
  EXPECT_TRUE(std::isnan(quantile({kNone}, 0.5)));
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(Quartiles, CountTheNumbers) {
  const Quartiles q = quartiles({1.0, kNone, 2.0, 3.0});
  EXPECT_EQ(q.count, 3);
  EXPECT_DOUBLE_EQ(q.low, 1.5);
  EXPECT_DOUBLE_EQ(q.median, 2.0);
  EXPECT_DOUBLE_EQ(q.high, 2.5);
}

EpochPoint point(int layer, double train, double test) {
  EpochPoint p{};
  p.layer_index = layer;
  p.train = train;
  p.test = test;
  p.train_loss = 1.0 - train;
  p.test_loss = 1.0 - test;
  return p;
}

TEST(ValuesWhenStopped, AreThoseOfTheBestLayerOnTheTrainSamples) {
  const std::vector<EpochPoint> epochs{point(0, 0.5, 0.4), point(0, 0.9, 0.7), point(1, 0.1, 0.9), point(1, 0.9, 0.6),
                                       point(1, 0.8, 0.8), point(2, 0.2, 0.1), point(2, 0.95, 0.5)};
  // A layer in training is not kept at its best epoch; equal layers: the later one.
  const std::vector<double> train{0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.95}, test{0.4, 0.7, 0.7, 0.6, 0.7, 0.7, 0.5};
  RunData run{};
  run.epochs = epochs;
  const auto values = values_when_stopped(run);
  ASSERT_EQ(values.size(), epochs.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i].train, train[i]) << i;
    EXPECT_EQ(values[i].test, test[i]) << i;
    EXPECT_EQ(values[i].test_loss, 1.0 - test[i]) << i;
    EXPECT_EQ(values[i].layer_index, epochs[i].layer_index) << i;
  }
}

TEST(ValuesWhenStopped, AreAsTheyAreWithoutTrainSamples) {
  const std::vector<EpochPoint> epochs{point(0, kNone, 0.8), point(1, kNone, 0.3)};
  RunData run{};
  EXPECT_TRUE(values_when_stopped(run).empty());
  run.epochs = epochs;
  EXPECT_EQ(values_when_stopped(run).back().test, 0.3);
  run.summary = {{"final", {{"train", 0.9}, {"test", 0.85}}}};
  EXPECT_EQ(values_when_stopped(run).back().test, 0.85);
  EXPECT_EQ(values_when_stopped(run).front().test, 0.8);
}

TEST(Wrapped, LiesInTheHalfOpenTurn) {
  constexpr double pi = std::numbers::pi;
  EXPECT_NEAR(wrapped(0.3), 0.3, 1e-15);
  EXPECT_NEAR(wrapped(2.0 * pi + 0.3), 0.3, 1e-14);
  EXPECT_NEAR(wrapped(-4.0 * pi - 0.3), -0.3, 1e-14);
  EXPECT_DOUBLE_EQ(wrapped(pi), pi);
  EXPECT_DOUBLE_EQ(wrapped(-pi), pi);
}

TEST(Table, AlignsMarkdownAndEscapesBars) {
  const Table table{{"a", "long name"}, {{"x|y", "1"}, {"π", "22"}}};
  EXPECT_EQ(table.markdown(), "| a    | long name |\n|------|-----------|\n| x\\|y | 1         |\n| π    | 22        |\n");
}

TEST(Table, QuotesCsvFieldsThatNeedIt) {
  const Table table{{"a", "b"}, {{"1,5", "say \"x\""}, {"plain", "two\nlines"}}};
  EXPECT_EQ(table.csv(), "a,b\n\"1,5\",\"say \"\"x\"\"\"\nplain,\"two\nlines\"\n");
}

TEST(Table, EscapesHtml) {
  const Table table{{"<b>"}, {{"a & \"b\""}}};
  const std::string html = table.html();
  EXPECT_NE(html.find("<th>&lt;b&gt;</th>"), std::string::npos);
  EXPECT_NE(html.find("<td>a &amp; &quot;b&quot;</td>"), std::string::npos);
}

TEST(Base64, PadsAsTheStandardSays) {
  const auto encoded = [](std::string_view text) { return base64({reinterpret_cast<const unsigned char*>(text.data()), text.size()}); };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
}

TEST(ProjectionToPlane, FindsTheTwoLargestDirections) {
  // Points on an ellipse in the plane of the axes 1 and 3, a little of axis 0.
  Matrix<double> points(60, 4);
  for (Index i = 0; i < points.rows(); ++i) {
    const double t = 2.0 * std::numbers::pi * static_cast<double>(i) / 60.0;
    points.row(i) << 0.01 * std::cos(5.0 * t), 3.0 * std::cos(t), 0.0, 1.0 * std::sin(t) + 7.0;
  }
  const Matrix<double> plane = projection_to_plane(points);
  for (Index i = 0; i < points.rows(); ++i) {
    EXPECT_NEAR(std::abs(plane(i, 0)), std::abs(points(i, 1)), 1e-6);
    EXPECT_NEAR(std::abs(plane(i, 1)), std::abs(points(i, 3) - 7.0), 1e-6);
  }
}

TEST(ProjectionToPlane, IsZeroForRowsThatAreAllAlike) {
  const Matrix<double> plane = projection_to_plane(Matrix<double>::Constant(5, 3, 2.0));
  EXPECT_LT(plane.cwiseAbs().maxCoeff(), 1e-12);
}

TEST(EvaluationUnit, KeepsNumbersShort) {
  EXPECT_EQ(evaluation_unit(100.0).divisor, 1.0);
  EXPECT_EQ(evaluation_unit(4e4).word, "thousand ");
  EXPECT_EQ(evaluation_unit(4e6).word, "million ");
  EXPECT_EQ(evaluation_unit(4e9).word, "billion ");
}

}  // namespace
}  // namespace ffzero
