// data_crops*.json: cropped, peak-normalised MNIST amplitudes of the photonic reference. Needs the MNIST files.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "ffzero/dataset/load.hpp"
#include "ffzero/encode/encoder.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

struct Totals {
  Index samples = 0, all_dark = 0;
  double sum = 0.0;
};

Totals totals_of(const Dataset& set, const Encoder& encoder) {
  Totals totals;
  std::vector<float> field(usize(encoder.output_shape().size()));
  const std::size_t ports = field.size() / 2;
  for (Index i = 0; i < set.size(); ++i) {
    encoder.encode(set.bytes(i), field);
    totals.sum = std::accumulate(field.begin(), field.begin() + isize(ports), totals.sum,
                                 [](double s, float x) { return s + static_cast<double>(x); });
    totals.all_dark += std::all_of(field.begin(), field.end(), [](float x) { return x == 0.0F; }) ? 1 : 0;
    if (std::any_of(field.begin() + isize(ports), field.end(), [](float x) { return x != 0.0F; })) ADD_FAILURE() << "the phase must be 0";
  }
  totals.samples = set.size();
  return totals;
}

void check(const nlohmann::json& golden, const std::filesystem::path& dir) {
  DatasetOptions options;
  options.name = "mnist";
  options.dir = dir;
  options.classes = golden.at("n_classes").get<Index>();
  const Splits mnist = load_dataset(options);
  const Encoder encoder({.crop = golden.at("crop_size").get<Index>(), .optical_field = OpticalField::amplitude}, mnist.train.shape());

  const auto labels = test::labels_of(golden.at("labels"));
  const auto index = test::flat<Index>(golden.at("sample_index_after_class_filter"));
  std::vector<float> field(usize(encoder.output_shape().size()));
  for (std::size_t s = 0; s < index.size(); ++s) {
    EXPECT_EQ(mnist.train.labels()[usize(index[s])], labels[s]);
    encoder.encode(mnist.train.bytes(index[s]), field);
    const auto x = test::flat<double>(golden.at("x").at(s));
    ASSERT_EQ(2 * x.size(), field.size());
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(static_cast<double>(field[i]), x[i], 1e-7) << "sample " << s << ", port " << i;
  }

  const Totals train = totals_of(mnist.train, encoder), test = totals_of(mnist.test, encoder);
  EXPECT_EQ(train.samples, golden.at("n_train").get<Index>());
  EXPECT_EQ(test.samples, golden.at("n_test").get<Index>());
  EXPECT_EQ(train.all_dark, golden.at("all_dark_train").get<Index>());
  EXPECT_EQ(test.all_dark, golden.at("all_dark_test").get<Index>());
  EXPECT_NEAR(train.sum / golden.at("train_sum").get<double>(), 1.0, 1e-8);
  EXPECT_NEAR(test.sum / golden.at("test_sum").get<double>(), 1.0, 1e-8);
}

TEST(GoldenDataCrops, EncodesMnistLikeTheReference) {
  const char* dir = std::getenv("FFZERO_DATA_DIR");
  if (dir == nullptr || *dir == '\0') GTEST_SKIP() << "set FFZERO_DATA_DIR to a folder that holds mnist/ with its four IDX files";
  const auto files = test::golden_files("photonic", "data_crops");
  EXPECT_FALSE(files.empty()) << test::golden_dir();
  for (const auto& path : files) {
    const auto file = test::read_json(path);
    for (const auto& golden : file.at("cases")) check(golden, dir);
  }
}

}  // namespace
}  // namespace ffzero
