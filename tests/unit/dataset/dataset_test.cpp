// One split: slices, relabelling, targets; and the synthetic functions.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/dataset.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ffzero/dataset/functions.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

DatasetInfo info_of(Task task, Index classes, Shape shape) {
  DatasetInfo info;
  info.name = "test";
  info.task = task;
  info.classes = classes;
  info.shape = shape;
  return info;
}

Dataset four_bytes() {
  return {info_of(Task::classification, 3, {1, 1, 2}), std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 7},
          std::vector<std::int32_t>{2, 0, 1, 2}};
}

TEST(Dataset, GivesSamplesAndLabels) {
  const Dataset set = four_bytes();
  EXPECT_EQ(set.size(), 4);
  EXPECT_TRUE(set.is_bytes());
  EXPECT_EQ(test::copy(set.bytes(2)), (std::vector<std::uint8_t>{4, 5}));
  EXPECT_EQ(test::copy(set.labels()), (std::vector<std::int32_t>{2, 0, 1, 2}));
  EXPECT_TRUE(set.targets().empty());
  const Dataset floats(info_of(Task::regression, 0, {2, 1, 1}), std::vector<float>{1, 2, 3, 4}, std::vector<float>{-1, 1});
  EXPECT_FALSE(floats.is_bytes());
  EXPECT_EQ(test::copy(floats.values(1)), (std::vector<float>{3, 4}));
  EXPECT_EQ(test::copy(floats.targets()), (std::vector<float>{-1, 1}));
  EXPECT_TRUE(Dataset().empty());
}

TEST(Dataset, SharesItsSamplesWithSlices) {
  const Dataset set = four_bytes();
  const Dataset part = set.slice(1, 3).slice(1, 2);
  EXPECT_EQ(part.bytes(0).data(), set.bytes(2).data());
  EXPECT_EQ(test::copy(part.labels()), (std::vector<std::int32_t>{1, 2}));
  EXPECT_TRUE(set.slice(4, 0).empty());
  EXPECT_THROW((void)set.slice(3, 2), ShapeError);
  EXPECT_THROW((void)set.slice(-1, 2), ShapeError);
}

TEST(Dataset, RelabelsTheChosenClassesInTheOrderOfTheList) {
  const Dataset chosen = four_bytes().slice(1, 3).with_classes(std::vector<std::int32_t>{2, 0});
  EXPECT_EQ(chosen.classes(), 2);
  EXPECT_EQ(test::copy(chosen.labels()), (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(test::copy(chosen.bytes(0)), (std::vector<std::uint8_t>{2, 3}));
  EXPECT_EQ(test::copy(chosen.bytes(1)), (std::vector<std::uint8_t>{6, 7}));
  EXPECT_EQ(chosen.info().class_names, (std::vector<std::int32_t>{2, 0}));
  const Dataset again = chosen.with_classes(std::vector<std::int32_t>{1, 0});
  EXPECT_EQ(again.info().class_names, (std::vector<std::int32_t>{0, 2})) << "names are those of the file";
  const Dataset all = four_bytes();
  EXPECT_EQ(all.with_classes(std::vector<std::int32_t>{0, 1, 2}).bytes(0).data(), all.bytes(0).data()) << "no copy where none is needed";
  EXPECT_THROW((void)all.with_classes(std::vector<std::int32_t>{3}), ShapeError);
}

TEST(Dataset, MakesTargetsOfLabels) {
  const Dataset set = four_bytes().slice(0, 3).with_labels_as_targets();
  EXPECT_EQ(set.task(), Task::regression);
  EXPECT_EQ(test::copy(set.targets()), (std::vector<float>{1, -1, 0}));
  EXPECT_TRUE(set.labels().empty());
  EXPECT_EQ(set.target_scale().original(1.0), 2.0);
  EXPECT_THROW((void)set.with_labels_as_targets(), ShapeError);
  EXPECT_THROW((void)set.with_classes(std::vector<std::int32_t>{0, 1}), ShapeError);
}

TEST(Dataset, RefusesWhatDoesNotFitTogether) {
  const DatasetInfo info = info_of(Task::classification, 2, {1, 1, 2});
  const std::vector<std::uint8_t> bytes(4);
  EXPECT_THROW(Dataset(info, bytes, std::vector<std::int32_t>{0}), ShapeError);
  EXPECT_THROW(Dataset(info, bytes, std::vector<std::int32_t>{0, 2}), ShapeError);
  EXPECT_THROW(Dataset(info, bytes, std::vector<std::int32_t>{0, -1}), ShapeError);
  EXPECT_THROW(Dataset(info, bytes, std::vector<float>{0, 1}), ShapeError);
  EXPECT_THROW(Dataset(info_of(Task::regression, 0, {1, 1, 2}), bytes, std::vector<std::int32_t>{0, 1}), ShapeError);
}

TEST(TargetScale, RefusesAConstant) {
  EXPECT_EQ(test::message_of<DataError>([] {
              (void)scale_to_unit_range(std::vector<double>{2, 2});
            }),
            "targets: must differ from one another; got the value 2 throughout; a constant needs no network; check the column that "
            "was saved");
}

class SyntheticFunction : public testing::TestWithParam<int> {
 protected:
  [[nodiscard]] Splits make(std::uint64_t seed) const { return GetParam() == 1 ? make_function1(seed) : make_function2(seed); }
  [[nodiscard]] double value(std::span<const float> x) const {
    const std::vector<double> wide(x.begin(), x.end());
    return GetParam() == 1 ? function1(std::span<const double, 2>(wide)) : function2(std::span<const double, 5>(wide));
  }
};

TEST_P(SyntheticFunction, HasPointsInTheCubeAndNoiseOnTheTrainTargetsOnly) {
  const Splits s = make(7);
  ASSERT_EQ(s.train.size(), 10000);
  ASSERT_EQ(s.test.size(), 2000);
  EXPECT_TRUE(s.validation.empty());
  EXPECT_EQ(s.train.task(), Task::regression);
  EXPECT_EQ(s.train.shape(), (Shape{1, 1, GetParam() == 1 ? 2 : 5}));

  const auto [low, high] = std::minmax_element(s.train.targets().begin(), s.train.targets().end());
  EXPECT_EQ(*low, -1.0F);
  EXPECT_EQ(*high, 1.0F);
  const TargetScale scale = s.train.target_scale();
  EXPECT_EQ(s.test.target_scale().offset, scale.offset);
  for (Index i = 0; i < s.test.size(); ++i)
    ASSERT_NEAR(scale.original(static_cast<double>(s.test.targets()[usize(i)])), value(s.test.values(i)), 1e-6);

  double mean = 0.0, squares = 0.0, noise = 0.0, noise_mean = 0.0, coordinate = 0.0;
  for (Index i = 0; i < s.train.size(); ++i) {
    for (const float x : s.train.values(i)) ASSERT_LT(std::abs(x), 1.0F);
    coordinate += static_cast<double>(s.train.values(i)[0]) / 1e4;
    const double y = value(s.train.values(i)), error = scale.original(static_cast<double>(s.train.targets()[usize(i)])) - y;
    mean += y / 1e4;
    squares += y * y / 1e4;
    noise += error * error / 1e4;
    noise_mean += error / 1e4;
  }
  const double deviation = std::sqrt(squares - mean * mean);
  // 10,000 normal numbers: the standard deviation is known to 0.7 % (one sigma), so 4 % is beyond five sigma; the seed is fixed anyway.
  EXPECT_NEAR(std::sqrt(noise) / deviation, 0.05, 0.002);
  EXPECT_NEAR(noise_mean / deviation, 0.0, 0.0025);
  EXPECT_NEAR(coordinate, 0.0, 0.03);
}

TEST_P(SyntheticFunction, DependsOnTheSeedAlone) {
  const Splits a = make(1), b = make(1), c = make(2);
  EXPECT_EQ(test::copy(a.train.targets()), test::copy(b.train.targets()));
  EXPECT_EQ(test::copy(a.test.values(1999)), test::copy(b.test.values(1999)));
  EXPECT_NE(test::copy(a.train.values(0)), test::copy(c.train.values(0)));
}

INSTANTIATE_TEST_SUITE_P(Both, SyntheticFunction, testing::Values(1, 2));

}  // namespace
}  // namespace ffzero
