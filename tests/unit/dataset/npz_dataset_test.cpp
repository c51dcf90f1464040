// A user's arrays: what they become, and every way in which they are refused.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/npz_dataset.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

NpyArray reals(const std::vector<double>& values, std::vector<Index> shape) { return NpyArray::of<double>(values, std::move(shape)); }
NpyArray integers(const std::vector<std::int64_t>& values) { return NpyArray::of<std::int64_t>(values, {isize(values.size())}); }
NpyArray bytes(const std::vector<std::uint8_t>& values, std::vector<Index> shape) {
  return NpyArray::of<std::uint8_t>(values, std::move(shape));
}

// Two features, three training samples, two test samples, two classes.
NpzArchive good() {
  return {{"x_train", reals({1, 2, 3, 4, 5, 6}, {3, 2})},
          {"y_train", integers({0, 1, 0})},
          {"x_test", reals({7, 8, 9, 10}, {2, 2})},
          {"y_test", integers({1, 1})}};
}

NpzArchive with(const std::string& name, const NpyArray& array) {
  NpzArchive a = good();
  a[name] = array;
  return a;
}

std::string refusal(const NpzArchive& a, std::optional<Task> task = {}) {
  return test::message_of<DataError>([&] { (void)npz_dataset(a, task, "my.npz"); });
}

TEST(NpzDataset, TakesIntegersAsClasses) {
  const Splits s = npz_dataset(good(), {}, "my.npz");
  EXPECT_EQ(s.train.task(), Task::classification);
  EXPECT_EQ(s.train.classes(), 2);
  EXPECT_EQ(s.train.shape(), (Shape{1, 1, 2}));
  EXPECT_EQ(test::copy(s.train.values(2)), (std::vector<float>{5, 6}));
  EXPECT_EQ(test::copy(s.train.labels()), (std::vector<std::int32_t>{0, 1, 0}));
  EXPECT_EQ(test::copy(s.test.values(0)), (std::vector<float>{7, 8}));
  EXPECT_TRUE(s.validation.empty());
}

TEST(NpzDataset, TakesRealsAsTargetsScaledByTheTrainingRange) {
  NpzArchive a = with("y_train", reals({10, 20.5, 31}, {3, 1}));
  a["y_test"] = reals({41.5, 10}, {2});
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_EQ(s.train.task(), Task::regression);
  EXPECT_EQ(test::copy(s.train.targets()), (std::vector<float>{-1, 0, 1}));
  EXPECT_EQ(test::copy(s.test.targets()), (std::vector<float>{2, -1})) << "test targets are not clipped";
  EXPECT_EQ(s.test.target_scale().original(2.0), 41.5);
}

TEST(NpzDataset, KeepsBytesAsImages) {
  NpzArchive a = with("x_train", bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {3, 2, 2}));
  a["x_test"] = bytes({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2});
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_TRUE(s.train.is_bytes());
  EXPECT_EQ(s.train.shape(), (Shape{1, 2, 2}));
  EXPECT_EQ(test::copy(s.train.bytes(1)), (std::vector<std::uint8_t>{5, 6, 7, 8}));
}

TEST(NpzDataset, ReadsShapesWithAndWithoutChannels) {
  NpzArchive a = with("x_train", reals(std::vector<double>(3 * 24, 0.5), {3, 2, 3, 4}));
  a["x_test"] = reals(std::vector<double>(2 * 24, 0.5), {2, 2, 3, 4});
  EXPECT_EQ(npz_dataset(a, {}, "my.npz").train.shape(), (Shape{2, 3, 4}));
  a = with("x_train", reals({1, 2, 3}, {3}));
  a["x_test"] = reals({1, 2}, {2});
  EXPECT_EQ(npz_dataset(a, {}, "my.npz").train.shape(), (Shape{1, 1, 1}));
}

TEST(NpzDataset, SplitsComplexVectorsIntoPlanes) {
  NpyArray x = reals({1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6}, {12});
  x.type = NpyArray::Type::c128;
  x.shape = {3, 2};
  NpzArchive a = with("x_train", x);
  x.shape = {2, 2};
  x.bytes.resize(2 * 2 * 16);
  a["x_test"] = x;
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_EQ(s.train.shape(), (Shape{2, 1, 2}));
  EXPECT_EQ(test::copy(s.train.values(1)), (std::vector<float>{3, 4, -3, -4}));
}

TEST(NpzDataset, FollowsTheTaskThatIsAskedFor) {
  NpzArchive a = with("y_train", reals({0, 1, 1}, {3}));
  a["y_test"] = reals({1, 0}, {2});
  EXPECT_EQ(test::copy(npz_dataset(a, Task::classification, "my.npz").train.labels()), (std::vector<std::int32_t>{0, 1, 1}));
  EXPECT_EQ(test::copy(npz_dataset(a, Task::regression, "my.npz").train.targets()), (std::vector<float>{-1, 1, 1}));
  EXPECT_EQ(test::copy(npz_dataset(good(), Task::regression, "my.npz").train.targets()), (std::vector<float>{-1, 1, -1}));
  EXPECT_EQ(
      refusal(a),
      "my.npz: y_train: must be integers (classes) or real numbers (targets); got real numbers that are all whole; set dataset.task to "
      "\"classification\" or \"regression\"");
}

TEST(NpzDataset, NamesTheArrayThatIsMissing) {
  NpzArchive a = good();
  a.erase("y_test");
  EXPECT_EQ(
      refusal(a),
      "my.npz: must hold an array 'y_test'; got only x_test, x_train, y_train; save x_train, y_train, x_test and y_test with numpy.savez");
}

TEST(NpzDataset, NamesTheSampleThatIsNotFinite) {
  const std::string remedy = "; remove or replace that sample";
  EXPECT_EQ(refusal(with("x_train", reals({1, 2, 3, std::nan(""), 5, 6}, {3, 2}))),
            "my.npz: x_train: must be finite numbers (in float32); got x_train[1, 1] = nan" + remedy);
  EXPECT_EQ(refusal(with("x_test", reals({1, 2, -std::numeric_limits<double>::infinity(), 4}, {2, 2}))),
            "my.npz: x_test: must be finite numbers (in float32); got x_test[1, 0] = -inf" + remedy);
  NpyArray complex = reals({1, 2, 3, 4, std::nan(""), 6}, {6});
  complex.type = NpyArray::Type::c128;
  complex.shape = {3, 1};
  NpzArchive a = with("x_train", complex);
  complex.shape = {2, 1};
  complex.bytes.resize(32);
  a["x_test"] = complex;
  EXPECT_EQ(refusal(a), "my.npz: x_train: must be finite numbers (in float32); got x_train[2, 0] = nan" + remedy);
  EXPECT_EQ(refusal(with("y_train", reals({1, std::nan(""), 5}, {3})), Task::regression),
            "my.npz: y_train: must be finite numbers (in float32); got y_train[1] = nan" + remedy);
  EXPECT_EQ(refusal(with("y_train", reals({1, 2.5e300, 5}, {3})), Task::regression),
            "my.npz: y_train: must be finite numbers (in float32); got y_train[1] = 2.5e+300" + remedy);
}

TEST(NpzDataset, RefusesLabelsThatAreNoClasses) {
  const std::string head = "my.npz: y_train: labels must be whole numbers 0 .. K - 1 with K at most 65536; got ";
  EXPECT_EQ(refusal(with("y_train", integers({0, -1, 1}))), head + "y_train[1] = -1; number the classes from 0");
  EXPECT_EQ(refusal(with("y_train", integers({0, 1, 1'000'000'000'000}))), head + "y_train[2] = 1000000000000; number the classes from 0");
  EXPECT_EQ(refusal(with("y_train", reals({0, 1, 0.5}, {3})), Task::classification),
            head + "y_train[2] = 0.5; set dataset.task = \"regression\" for real targets");
  EXPECT_EQ(refusal(with("y_train", reals({0, 1, std::nan("")}, {3})), Task::classification),
            head + "y_train[2] = nan; set dataset.task = \"regression\" for real targets");
}

TEST(NpzDataset, RefusesArraysThatDoNotBelongTogether) {
  EXPECT_EQ(refusal(with("y_train", integers({0, 1}))),
            "my.npz: y_train: must have as many entries as x_train has samples (3); got 2; save matching arrays");
  EXPECT_EQ(refusal(with("y_train", reals({1, 0, 0, 1, 1, 0}, {3, 2}))),
            "my.npz: y_train: must hold one integer label or one real target a sample; got 3 x 2; pass labels as integers 0 .. K - 1 "
            "(numpy.argmax turns "
            "one-hot rows into them)");
  EXPECT_EQ(refusal(with("x_test", reals({1, 2, 3, 4, 5, 6}, {2, 3}))),
            "my.npz: x_test: must hold samples like those of x_train (3 x 2); got 2 x 3; save both with the same shape and type");
  EXPECT_EQ(refusal(with("x_test", bytes({1, 2, 3, 4}, {2, 2}))),
            "my.npz: x_test: must hold samples like those of x_train (3 x 2); got 2 x 2 bytes; save both with the same shape and type");
  const std::string shapes = "must hold N samples: N x features, N x height x width or N x channels x height x width; got ";
  EXPECT_EQ(refusal(with("x_train", reals({}, {0, 2}))), "my.npz: x_train: " + shapes + "0 x 2; reshape it");
  EXPECT_EQ(refusal(with("x_train", reals({1}, {}))), "my.npz: x_train: " + shapes + "a single number; reshape it");
  NpzArchive a = with("y_train", reals({2.5, 2.5, 2.5}, {3}));
  a["y_test"] = reals({2.5, 1}, {2});
  EXPECT_EQ(refusal(a),
            "my.npz: y_train: targets must differ from one another; got the value 2.5 throughout; check which column was saved");
}

NpyArray texts(const std::vector<std::string>& values) {
  NpyArray array{NpyArray::Type::text, {isize(values.size())}, {}, 8};
  array.bytes.resize(values.size() * 8 * 4);
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t k = 0; k < values[i].size(); ++k) array.bytes[4 * (8 * i + k)] = static_cast<std::byte>(values[i][k]);
  return array;
}

TEST(NpzDataset, TakesTextsAsClassesInAlphabeticalOrder) {
  NpzArchive a = with("y_train", texts({"wolf", "bear", "wolf"}));
  a["y_test"] = texts({"ant", "wolf"});
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_EQ(s.train.info().class_texts, (std::vector<std::string>{"ant", "bear", "wolf"}));
  EXPECT_EQ(test::copy(s.train.labels()), (std::vector<std::int32_t>{2, 1, 2}));
  EXPECT_EQ(test::copy(s.test.labels()), (std::vector<std::int32_t>{0, 2}));
  const std::vector<std::int32_t> chosen{2, 1};
  EXPECT_EQ(s.train.with_classes(chosen).info().class_texts, (std::vector<std::string>{"wolf", "bear"}));
  EXPECT_EQ(refusal(a, Task::regression),
            "my.npz: y_train: targets must be numbers; got texts; set dataset.task to \"classification\" or \"auto\"");
  EXPECT_EQ(refusal(with("y_train", texts({"a", "b", "c"}))),
            "my.npz: y_test: must hold labels like those of y_train; got numbers; save both with the same type");
  a["y_test"] = texts({"", "wolf"});
  EXPECT_EQ(refusal(a), "my.npz: y_test: labels must not be empty; got y_test[0]; name the class, or remove that sample");
  EXPECT_EQ(refusal(with("x_train", texts({"a", "b", "c"}))), "my.npz: x_train: must hold numbers; got texts; write them as numbers");
}

TEST(NpzDataset, RegressesManyWholeNumbers) {
  std::vector<double> targets;
  for (int i = 0; i < 25; ++i) targets.push_back(7.0 * i - 20.0);
  NpzArchive a = good();
  a["x_train"] = reals(std::vector<double>(25, 1.0), {25});
  a["x_test"] = reals({1}, {1});
  a["y_train"] = reals(targets, {25});
  a["y_test"] = reals({5}, {1});
  EXPECT_EQ(npz_dataset(a, {}, "my.npz").train.task(), Task::regression);
  for (double& t : targets) t = std::floor(t / 14.0);
  a["y_train"] = reals(targets, {25});
  EXPECT_NE(refusal(a).find("set dataset.task"), std::string::npos) << "13 different ones may be classes";
}

TEST(MayBeClasses, AsksForFewOrDenseNumbers) {
  std::vector<double> dense, wide;
  for (int i = 0; i < 300; ++i) {
    dense.push_back(i % 30);
    wide.push_back(3.0 * (i % 30));
  }
  EXPECT_TRUE(may_be_classes(dense));
  EXPECT_FALSE(may_be_classes(wide));
  EXPECT_FALSE(may_be_classes(std::span(dense).first(200))) << "fewer than ten of each";
  EXPECT_TRUE(may_be_classes(std::vector<double>{-1, 1}));
  EXPECT_FALSE(may_be_classes({}));
  EXPECT_EQ(distinct_values(dense), 30);
}

TEST(NpzDataset, TakesSeveralTargetsEachWithItsScale) {
  NpzArchive a = with("y_train", reals({0.5, 100, 1, 200, 1.5, 300}, {3, 2}));
  a["y_test"] = reals({1, 250, 2.5, 50}, {2, 2});
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_EQ(s.train.outputs(), 2);
  EXPECT_EQ(s.train.size(), 3);
  EXPECT_EQ(test::copy(s.train.targets()), (std::vector<float>{-1, -1, 0, 0, 1, 1}));
  EXPECT_EQ(test::copy(s.test.slice(1, 1).targets()), (std::vector<float>{3, -1.5F}));
  EXPECT_EQ(s.test.info().scale_of(1).original(0.5), 250);
  a["y_test"] = reals({1, 2}, {2});
  EXPECT_EQ(refusal(a), "my.npz: y_test: must have as many columns as y_train, 2; got 1; save matching arrays");
  a = with("y_train", reals({0.5, 7, 1, 7, 1.5, 7}, {3, 2}));
  a["y_test"] = reals({1, 250, 2.5, 50}, {2, 2});
  EXPECT_EQ(refusal(a),
            "my.npz: y_train: targets of column 1 must differ from one another; got the value 7 throughout; check which "
            "column was saved");
}

TEST(NpzDataset, TakesWeightsByName) {
  NpzArchive a = with("w_train", reals({1, 0, 2.5}, {3}));
  const Splits s = npz_dataset(a, {}, "my.npz", "w_train");
  EXPECT_EQ(test::copy(s.train.weights()), (std::vector<float>{1, 0, 2.5F}));
  EXPECT_TRUE(s.test.weights().empty());
  EXPECT_EQ(test::copy(s.train.slice(1, 2).weights()), (std::vector<float>{0, 2.5F}));
  EXPECT_TRUE(npz_dataset(a, {}, "my.npz").train.weights().empty()) << "only on request";
  const auto wrong = [](const NpyArray& w) {
    return test::message_of<DataError>([&] { (void)npz_dataset(with("w_train", w), {}, "my.npz", "w_train"); });
  };
  EXPECT_EQ(wrong(reals({1, 2}, {2})),
            "my.npz: w_train: must hold a weight for each of the 3 training samples; got 2; save matching arrays");
  EXPECT_EQ(wrong(reals({1, -2, 1}, {3})), "my.npz: w_train: weights must not be negative; got w_train[1] = -2; correct it");
  EXPECT_EQ(wrong(reals({0, 0, 0}, {3})), "my.npz: w_train: weights must not all be 0; got zeros; save another array");
}

}  // namespace
}  // namespace ffzero
