// Tables: the reader against the format, and what a table becomes.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "ffzero/dataset/csv_dataset.hpp"
#include "ffzero/dataset/csv_file.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Rows read(const std::string& text) {
  CsvReader reader(text, "a.csv");
  Rows rows{reader.names()};
  std::vector<CsvField> record;
  while (reader.next(record)) {
    rows.emplace_back();
    for (const CsvField& field : record) rows.back().push_back(field.text);
  }
  return rows;
}

std::string refusal(const std::string& text) {
  return test::message_of<DataError>([&] { read(text); });
}

TEST(CsvReader, ReadsPlainAndQuotedFields) {
  EXPECT_EQ(read("a,b\n1,2\n3,4\n"), (Rows{{"a", "b"}, {"1", "2"}, {"3", "4"}}));
  EXPECT_EQ(read("a,\"b, c\"\n\"say \"\"hi\"\"\",\"two\nlines\"\n"), (Rows{{"a", "b, c"}, {"say \"hi\"", "two\nlines"}}));
  EXPECT_EQ(read("a,b\n,\"\""), (Rows{{"a", "b"}, {"", ""}})) << "empty fields, no line end at the end of the file";
  EXPECT_EQ(read(" a ,b\t\n 1 , \" 2 \" \n"), (Rows{{"a", "b"}, {"1", " 2 "}})) << "blanks belong to quoted values only";
}

TEST(CsvReader, ReadsLineEndsAndByteOrderMarks) {
  EXPECT_EQ(read("a,b\r\n1,2\r\n"), (Rows{{"a", "b"}, {"1", "2"}}));
  EXPECT_EQ(read("\xEF\xBB\xBF"
                 "a,b\n1,2\n\n\r\n"),
            (Rows{{"a", "b"}, {"1", "2"}}))
      << "blank lines at the end";
  EXPECT_EQ(read("a,b\r\n\"x\r\ny\",2\r"), (Rows{{"a", "b"}, {"x\r\ny", "2"}}));
}

TEST(CsvReader, RefusesByLine) {
  EXPECT_EQ(refusal("a,b\n1,2\n3\n"),
            "a.csv: line 3: must have 2 values, one a column; got 1; a value with a comma needs quotes around it");
  EXPECT_EQ(refusal("a,b\n\"1\n2\",3\n4,5,6\n"),
            "a.csv: line 4: must have 2 values, one a column; got 3; a value with a comma needs quotes around it");
  EXPECT_EQ(refusal("a,b\n\n1,2\n"),
            "a.csv: line 2: must have 2 values, one a column; got a blank line; a value with a comma needs quotes around it");
  EXPECT_EQ(refusal("a,b\n1,\"2\n3,4\n"),
            "a.csv: line 2: quotes must be closed; got a quote that is left open; double the quotes inside a quoted value");
  EXPECT_EQ(refusal("a,b\n1,\"2\"x\n"),
            "a.csv: line 2: a quoted value must end at its closing quote; got \"x\" behind it; double the quotes inside a quoted value");
  EXPECT_EQ(refusal("a,b\n1,2\"3\n"),
            "a.csv: line 2: quotes must stand around a whole value; got \"2\"3\"; double the quotes and put the value in quotes");
  EXPECT_EQ(refusal("a,b\n1\r2,3\n"),
            "a.csv: line 2: lines must end with LF or CR LF; got a carriage return alone; save the file with line ends of Unix or Windows");
  EXPECT_EQ(refusal(std::string("a,b\n1,\0\n", 8)), "a.csv: line 2: must be text; got a NUL byte; save the file as CSV in UTF-8");
}

TEST(CsvReader, RefusesWhatIsNoHeader) {
  EXPECT_EQ(refusal(""), "a.csv: must begin with a line that names the columns; got an empty file");
  EXPECT_EQ(refusal("1,2\n3,4\n"), "a.csv: line 1: must name the columns; got numbers; put a line with names on top");
  EXPECT_EQ(refusal("a;b\n1;2\n"),
            "a.csv: line 1: columns must be separated by commas; got semicolons; export the table with commas and decimal points");
  EXPECT_EQ(refusal("a,b,a\n"), "a.csv: line 1: columns must have different names; got \"a\" twice; rename one");
  EXPECT_EQ(refusal("a,,b\n"), "a.csv: line 1: every column must have a name; got column 2 without; name it");
  EXPECT_EQ(refusal("\xFF\xFE"
                    "a"),
            "a.csv: must be text in UTF-8; got UTF-16; save it as CSV in UTF-8");
}

TEST(ParseNumber, ReadsDecimalNumbersAndNothingElse) {
  double v = 0.0;
  for (const auto& [text, value] : {std::pair("1", 1.0), {"-2.5e3", -2500.0}, {"+.5", 0.5}, {"1e-999", 0.0}}) {
    EXPECT_TRUE(parse_number(text, v)) << text;
    EXPECT_EQ(v, value) << text;
  }
  EXPECT_TRUE(parse_number("1e999", v));
  EXPECT_FALSE(std::isfinite(v));
  for (const char* text : {"", "x", "1x", "0x10", "1,5", "inf", "nan", "--1", "+-1", "1 2"}) EXPECT_FALSE(parse_number(text, v)) << text;
}

TEST(Utf8, IsToldFromOtherBytes) {
  for (const char* text : {"", "plain", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) EXPECT_TRUE(is_utf8(text));
  for (const char* text : {"\xE9", "\xC0\xAF", "\xED\xA0\x80", "\xE2\x82", "\xF5\x80\x80\x80", "\x80"}) EXPECT_FALSE(is_utf8(text));
}

Splits table(const std::string& text, const CsvOptions& options = {}, std::optional<Task> task = {}) {
  CsvReader reader(text, "a.csv");
  return csv_dataset(reader, options, task);
}

template <class E = DataError>
std::string table_refusal(const std::string& text, const CsvOptions& options = {}, std::optional<Task> task = {}) {
  return test::message_of<E>([&] { table(text, options, task); });
}

// Row i has the features i and 2 i.
std::string numbered(int rows, const std::function<std::string(int)>& label) {
  std::string text = "x,twice,y\n";
  for (int i = 0; i < rows; ++i) text += std::to_string(i) + "," + std::to_string(2 * i) + "," + label(i) + "\n";
  return text;
}

TEST(CsvDataset, TakesTextsAsClassesAndSplitsEachAlike) {
  const Splits s = table(numbered(100, [](int i) { return i < 80 ? "\"b, the most\"" : "a"; }));
  EXPECT_EQ(s.train.info().class_texts, (std::vector<std::string>{"a", "b, the most"}));
  EXPECT_EQ(s.train.info().feature_names, (std::vector<std::string>{"x", "twice"}));
  EXPECT_EQ(s.train.size(), 80);
  EXPECT_EQ(std::count(s.test.labels().begin(), s.test.labels().end(), 0), 4);
  EXPECT_EQ(std::count(s.test.labels().begin(), s.test.labels().end(), 1), 16);
  std::set<float> seen;
  for (const Dataset* set : {&s.train, &s.test})
    for (Index i = 0; i < set->size(); ++i) {
      EXPECT_EQ(set->values(i)[1], 2.0F * set->values(i)[0]);
      EXPECT_EQ(set->labels()[usize(i)], set->values(i)[0] < 80.0F ? 1 : 0);
      seen.insert(set->values(i)[0]);
    }
  EXPECT_EQ(seen.size(), 100U) << "every row once";
  EXPECT_FALSE(std::is_sorted(s.train.labels().begin(), s.train.labels().end())) << "shuffled, so that its end can validate";
}

TEST(CsvDataset, SplitFollowsItsOwnSeedAndShare) {
  const std::string text = numbered(50, [](int i) { return i % 2 == 0 ? "a" : "b"; });
  const auto first = [&](const CsvOptions& o) { return table(text, o).test.values(0)[0]; };
  EXPECT_EQ(first({}), first({}));
  EXPECT_NE(table(text, {.split_seed = 1}).test.values(0)[0] + 100 * table(text, {.split_seed = 1}).test.values(1)[0],
            first({}) + 100 * table(text).test.values(1)[0]);
  EXPECT_EQ(table(text, {.test = 0.5}).test.size(), 26) << "half of 25 is rounded up";
  EXPECT_EQ(table("x,y\n1,a\n2,b\n3,a\n", {.test = 0.01}).test.size(), 1) << "a share of very little is one sample";
}

TEST(CsvDataset, KeepsWholeLabelsAsNumbers) {
  const Splits s = table(numbered(60, [](int i) { return i % 3 == 0 ? "-1" : i % 3 == 1 ? "1" : "10"; }));
  EXPECT_EQ(s.train.task(), Task::classification);
  EXPECT_EQ(s.train.info().class_names, (std::vector<std::int32_t>{-1, 1, 10})) << "in the order of numbers";
  EXPECT_TRUE(s.train.info().class_texts.empty());
}

TEST(CsvDataset, DecidesBetweenClassesAndAmounts) {
  const auto task = [](int rows, const std::function<std::string(int)>& label) { return table(numbered(rows, label)).train.task(); };
  EXPECT_EQ(task(60, [](int i) { return std::to_string(i) + ".5"; }), Task::regression);
  EXPECT_EQ(task(60, [](int i) { return std::to_string(7 * i); }), Task::regression) << "many whole numbers";
  EXPECT_EQ(task(60, [](int i) { return std::to_string(i % 20); }), Task::classification);
  const std::string either =
      "a.csv: column \"y\": must show whether it holds classes or amounts; got whole numbers that may be either; set "
      "dataset.task to \"classification\" or \"regression\"";
  EXPECT_EQ(table_refusal(numbered(60, [](int i) { return std::to_string(i % 3) + ".0"; })), either);
  const auto dense = numbered(300, [](int i) { return std::to_string(i % 26); });
  EXPECT_EQ(table_refusal(dense), either);
  EXPECT_EQ(table(dense, {}, Task::classification).train.classes(), 26);
  EXPECT_EQ(table(dense, {}, Task::regression).train.task(), Task::regression);
}

TEST(CsvDataset, ScalesTargetsByTheTrainRange) {
  const Splits s = table(numbered(40, [](int i) { return std::to_string(1000 + 10 * i) + ".5"; }));
  const auto [low, high] = std::minmax_element(s.train.targets().begin(), s.train.targets().end());
  EXPECT_EQ(*low, -1.0F);
  EXPECT_EQ(*high, 1.0F);
  for (Index i = 0; i < s.test.size(); ++i)
    EXPECT_NEAR(s.test.target_scale().original(static_cast<double>(s.test.targets()[usize(i)])),
                1000.5 + 10.0 * static_cast<double>(s.test.values(i)[0]), 1e-3);
}

TEST(CsvDataset, TakesSeveralTargets) {
  std::string text = "u,x,\"v\"\n";
  for (int i = 0; i < 20; ++i) text += std::to_string(i) + ",1," + std::to_string(-0.5 * i) + "\n";
  const Splits s = table(text, {.label = "u, v"});
  EXPECT_EQ(s.train.outputs(), 2);
  EXPECT_EQ(s.train.info().output_names, (std::vector<std::string>{"u", "v"}));
  EXPECT_EQ(s.train.shape(), (Shape{1, 1, 1}));
  for (Index i = 0; i < s.train.size(); ++i)
    EXPECT_NEAR(s.train.targets()[usize(2 * i)], -s.train.targets()[usize(2 * i + 1)], 1e-6) << "each is scaled by its own range";
  EXPECT_EQ(table_refusal<ConfigError>(text, {.label = "u, v"}, Task::classification),
            "dataset.label: classification has one column of labels; got \"u, v\"; name one column");
}

TEST(CsvDataset, TakesColumnsByName) {
  const std::string text = "y,id,x,w\na,7,1,0.5\nb,8,2,2\na,9,3,1\nb,10,4,0\n";
  const Splits s = table(text, {.label = "y", .weights = "w", .ignore = "id"});
  EXPECT_EQ(s.train.info().feature_names, (std::vector<std::string>{"x"}));
  ASSERT_EQ(isize(s.train.weights().size()), s.train.size());
  const std::vector<float> weight{0.5F, 2.0F, 1.0F, 0.0F};
  for (Index i = 0; i < s.train.size(); ++i)
    EXPECT_EQ(s.train.weights()[usize(i)], weight[static_cast<std::size_t>(s.train.values(i)[0]) - 1]);
  EXPECT_EQ(table_refusal(text, {.label = "class"}),
            "a.csv: must have the column \"class\"; got only y, id, x, w; set dataset.label to the name of a column");
  EXPECT_EQ(table_refusal<ConfigError>(text, {.label = "y", .weights = "y"}),
            "dataset.weights: must be another column than the label; got \"y\"; set dataset.label");
  EXPECT_EQ(table_refusal<ConfigError>(text, {.label = "y", .ignore = "y"}),
            "dataset.ignore: must not hold the label, the weights or a column twice; got \"y\"; remove it");
  EXPECT_EQ(table_refusal(text, {.label = "y", .ignore = "id,x,w"}),
            "a.csv: must have a column of features besides the label; got 4 columns; add a column, or set dataset.label");
}

TEST(CsvDataset, RefusesValuesByLineAndColumn) {
  EXPECT_EQ(table_refusal("x,y\n1,a\n,b\n"),
            "a.csv: line 3, column \"x\": must be a number; got nothing; fill in the value or remove the row");
  EXPECT_EQ(table_refusal("x,y\n1,a\nNA,b\n"),
            "a.csv: line 3, column \"x\": must be a number; got NA; fill in the value or remove the row");
  EXPECT_EQ(
      table_refusal("x,y\nred,a\n1,b\n"),
      "a.csv: line 2, column \"x\": must be a number; got \"red\"; write texts as numbers, or leave the column out with dataset.ignore");
  EXPECT_EQ(table_refusal("x,y\n1e39,a\n1,b\n"),
            "a.csv: line 2, column \"x\": must be finite in float32; got 1e39; choose another unit, or remove the row");
  EXPECT_EQ(table_refusal("x,y\n1,a\n2,\n"),
            "a.csv: line 3, column \"y\": must be a label or a target; got nothing; fill in the value or remove the row");
  EXPECT_EQ(table_refusal("x,y\n1,5\n2,oops\n3,6\n4,7\n"),
            "a.csv: column \"y\": must hold numbers or texts; got numbers, and a text in line 3; correct it, or set dataset.task = "
            "\"classification\" if all are names of classes");
  EXPECT_EQ(
      table_refusal("x,y\n1,5\n2,oops\n", {}, Task::regression),
      "a.csv: line 3, column \"y\": must be a number; got \"oops\"; write texts as numbers, or leave the column out with dataset.ignore");
  EXPECT_EQ(table_refusal("x,w,y\n1,-1,a\n2,1,b\n", {.weights = "w"}),
            "a.csv: line 2, column \"w\": weights must not be negative; got -1; correct it");
  EXPECT_EQ(table_refusal("x,y\n1,a\n"),
            "a.csv: must hold at least two rows, to train and to test; got 1; add rows below the line of names");
  EXPECT_EQ(table_refusal("x,y\n1,\xE9\n2,b\n"),
            "a.csv: line 2, column \"y\": must be text in UTF-8; got other bytes; save the file as CSV in UTF-8");
}

TEST(CsvSamples, FindsTheColumnsOfTheTrainingByName) {
  const DatasetInfo info = table("a,b,y\n1,2,no\n3,4,yes\n5,6,no\n").train.info();
  const auto samples = [&](const std::string& text, bool labelled) {
    CsvReader reader(text, "b.csv");
    return csv_samples(reader, info, "y", labelled);
  };
  const Dataset plain = samples("b,extra,a\n2,x,1\n", false);
  EXPECT_EQ(std::vector<float>(plain.values(0).begin(), plain.values(0).end()), (std::vector<float>{1, 2}));
  const Dataset labelled = samples("y,b,a\nyes,2,1\nno,2,1\n", true);
  EXPECT_EQ(std::vector<std::int32_t>(labelled.labels().begin(), labelled.labels().end()), (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(test::message_of<DataError>([&] { samples("a,y\n1,no\n", false); }), "b.csv: must have the column \"b\"; got only a, y");
  EXPECT_EQ(test::message_of<DataError>([&] { samples("a,b,y\n1,2,maybe\n", true); }),
            "b.csv: line 2, column \"y\": must be a class of the training; got \"maybe\"; remove the row or train anew");
}

TEST(CsvText, IsReadFromAFile) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(read_csv_text(folder.write("a.csv", "x,y\n")), "x,y\n");
  EXPECT_THROW((void)read_csv_text(folder.path() / "none.csv"), DataError);
  EXPECT_THROW((void)read_csv_text(folder.path()), DataError);
}

}  // namespace
}  // namespace ffzero
