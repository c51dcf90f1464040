// preprocessing*.json: image scaling, down-sampling, synthetic functions and regression targets of the reference.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <vector>

#include "ffzero/dataset/dataset.hpp"
#include "ffzero/dataset/functions.hpp"
#include "ffzero/encode/encoder.hpp"
#include "ffzero/encode/pooling.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

// The reference's "_f32" values are float32 results; everything else is double.
constexpr double kFloatTolerance = 1e-6, kDoubleTolerance = 1e-14;

template <class A, class B>
void expect_all_near(const A& a, const B& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(static_cast<double>(a[i]), static_cast<double>(b[i]), tolerance) << what << ", entry " << i;
}

Shape image_shape(const nlohmann::json& tensor) {
  const auto shape = tensor.at("shape").get<std::vector<Index>>();
  return {1, shape[shape.size() - 2], shape[shape.size() - 1]};
}

std::vector<nlohmann::json> files() {
  std::vector<nlohmann::json> found;
  for (const auto& path : test::golden_files("mlp-cnn", "preprocessing")) found.push_back(test::read_json(path));
  return found;
}

TEST(GoldenPreprocessing, HasAtLeastOneFile) { EXPECT_FALSE(files().empty()) << test::golden_dir(); }

TEST(GoldenPreprocessing, ScalesImagesLikeTheReference) {
  for (const auto& file : files())
    for (const auto& image : file.at("images")) {
      const auto pixels = test::flat<std::uint8_t>(image.at("pixels"));
      const Encoder encoder({}, image_shape(image.at("pixels")));
      std::vector<float> encoded(pixels.size());
      encoder.encode(std::span<const std::uint8_t>(pixels), encoded);
      expect_all_near(encoded, test::flat<float>(image.at("normalized_f32")), 0.0, "normalized_f32");
    }
}

TEST(GoldenPreprocessing, PoolsImagesLikeTheReference) {
  for (const auto& file : files())
    for (const auto& sample : file.at("downsample")) {
      const Index n = sample.at("input_dim").get<Index>();
      const Shape shape = image_shape(sample.at("x"));
      const auto x = test::flat<double>(sample.at("x"));
      const auto expected = test::flat<double>(sample.at("y"));
      std::vector<double> pooled(usize(n * n));
      adaptive_average_pool<double>(x, shape.height, shape.width, n, pooled);
      expect_all_near(pooled, expected, kDoubleTolerance, "downsample to " + std::to_string(n));

      const std::vector<float> narrow(x.begin(), x.end());
      std::vector<float> encoded(usize(n * n));
      Encoder({.downsample = n}, shape).encode(std::span<const float>(narrow), encoded);
      expect_all_near(encoded, expected, kFloatTolerance, "encoder, downsample to " + std::to_string(n));
    }
}

template <std::size_t D>
void check_function(const nlohmann::json& golden, double (*function)(std::span<const double, D>) noexcept) {
  const auto x = test::flat<double>(golden.at("x"));
  std::vector<double> f;
  for (std::size_t i = 0; i < x.size(); i += D) f.push_back(function(std::span<const double, D>(x.data() + i, D)));
  expect_all_near(f, test::flat<double>(golden.at("f")), kDoubleTolerance, "f");

  // The twelve points are a part of the set whose range the reference scaled with.
  const TargetScale scale = scale_to_unit_range(std::vector<double>{golden.at("y_max").get<double>(), golden.at("y_min").get<double>()});
  const auto normalized = test::flat<double>(golden.at("normalized"));
  const auto in_float = test::flat<double>(golden.at("normalized_f32_from_reference"));
  for (std::size_t i = 0; i < f.size(); ++i) {
    EXPECT_NEAR(scale.target(f[i]), normalized[i], kDoubleTolerance);
    EXPECT_NEAR(scale.target(f[i]), in_float[i], kFloatTolerance);
    EXPECT_NEAR(scale.original(normalized[i]), f[i], kDoubleTolerance);
  }
}

TEST(GoldenPreprocessing, ComputesTheFunctionsAndTheirTargets) {
  for (const auto& file : files()) {
    check_function<2>(file.at("functions").at("function1"), function1);
    check_function<5>(file.at("functions").at("function2"), function2);
  }
}

TEST(GoldenPreprocessing, TurnsDigitsIntoRegressionTargets) {
  for (const auto& file : files()) {
    DatasetInfo info;
    info.name = "mnist";
    info.classes = 10;
    info.shape = {1, 1, 1};
    const Dataset digits =
        Dataset(info, std::vector<std::uint8_t>(10), std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}).with_labels_as_targets();
    for (const auto& [label, target] : file.at("mnist_regression_target_f32").items()) {
      const auto k = std::stoul(label);
      EXPECT_EQ(digits.targets()[k], target.get<float>());
      EXPECT_NEAR(digits.target_scale().original(static_cast<double>(digits.targets()[k])), static_cast<double>(k), kFloatTolerance);
    }
  }
}

}  // namespace
}  // namespace ffzero
