// A user's arrays: what they become, and every way in which they are refused.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/npz_dataset.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/expect_error.hpp"

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

template <class T>
std::vector<T> copy(std::span<const T> s) {
  return {s.begin(), s.end()};
}

TEST(NpzDataset, TakesIntegersAsClasses) {
  const Splits s = npz_dataset(good(), {}, "my.npz");
  EXPECT_EQ(s.train.task(), Task::classification);
  EXPECT_EQ(s.train.classes(), 2);
  EXPECT_EQ(s.train.shape(), (Shape{1, 1, 2}));
  EXPECT_EQ(copy(s.train.values(2)), (std::vector<float>{5, 6}));
  EXPECT_EQ(copy(s.train.labels()), (std::vector<std::int32_t>{0, 1, 0}));
  EXPECT_EQ(copy(s.test.values(0)), (std::vector<float>{7, 8}));
  EXPECT_TRUE(s.validation.empty());
}

TEST(NpzDataset, TakesRealsAsTargetsScaledByTheTrainingRange) {
  NpzArchive a = with("y_train", reals({10, 20.5, 31}, {3, 1}));
  a["y_test"] = reals({41.5, 10}, {2});
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_EQ(s.train.task(), Task::regression);
  EXPECT_EQ(copy(s.train.targets()), (std::vector<float>{-1, 0, 1}));
  EXPECT_EQ(copy(s.test.targets()), (std::vector<float>{2, -1})) << "test targets are not clipped";
  EXPECT_EQ(s.test.target_scale().original(2.0), 41.5);
}

TEST(NpzDataset, KeepsBytesAsImages) {
  NpzArchive a = with("x_train", bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {3, 2, 2}));
  a["x_test"] = bytes({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2});
  const Splits s = npz_dataset(a, {}, "my.npz");
  EXPECT_TRUE(s.train.is_bytes());
  EXPECT_EQ(s.train.shape(), (Shape{1, 2, 2}));
  EXPECT_EQ(copy(s.train.bytes(1)), (std::vector<std::uint8_t>{5, 6, 7, 8}));
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
  EXPECT_EQ(copy(s.train.values(1)), (std::vector<float>{3, 4, -3, -4}));
}

TEST(NpzDataset, FollowsTheTaskThatIsAskedFor) {
  NpzArchive a = with("y_train", reals({0, 1, 1}, {3}));
  a["y_test"] = reals({1, 0}, {2});
  EXPECT_EQ(copy(npz_dataset(a, Task::classification, "my.npz").train.labels()), (std::vector<std::int32_t>{0, 1, 1}));
  EXPECT_EQ(copy(npz_dataset(a, Task::regression, "my.npz").train.targets()), (std::vector<float>{-1, 1, 1}));
  EXPECT_EQ(copy(npz_dataset(good(), Task::regression, "my.npz").train.targets()), (std::vector<float>{-1, 1, -1}));
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
}

TEST(NpzDataset, RefusesLabelsThatAreNoClasses) {
  const std::string head = "my.npz: y_train: labels must be whole numbers 0 .. K - 1 with K at most 65536; got ";
  EXPECT_EQ(refusal(with("y_train", integers({0, -1, 1}))), head + "y_train[1] = -1; number the classes from 0");
  EXPECT_EQ(refusal(with("y_train", integers({0, 1, 1'000'000'000'000}))), head + "y_train[2] = 1000000000000; number the classes from 0");
  EXPECT_EQ(refusal(with("y_train", reals({0, 1, 0.5}, {3})), Task::classification),
            head + "y_train[2] = 0.500000; set dataset.task = \"regression\" for real targets");
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
            "my.npz: y_train: targets must differ from one another; got the value 2.500000 throughout; check which column was saved");
}

}  // namespace
}  // namespace ffzero
