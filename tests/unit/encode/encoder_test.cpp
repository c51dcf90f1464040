// The encoder against plain loops written from its description.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/encoder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/encode/pooling.hpp"
#include "support/expect_error.hpp"

namespace ffzero {
namespace {

constexpr Shape kDigit{1, 28, 28};

std::vector<std::uint8_t> noise_image(Index size, std::uint64_t seed) {
  std::vector<std::uint32_t> words(usize(size));
  RandomStream(seed, Stream::test).fill_bits(words);
  std::vector<std::uint8_t> image;
  for (const std::uint32_t w : words) image.push_back(static_cast<std::uint8_t>(w % 256));
  return image;
}

std::vector<float> encode(const Encoder& encoder, const std::vector<std::uint8_t>& image, const Displacement& move = {}) {
  std::vector<float> out(usize(encoder.output_shape().size()), 99.0F);
  encoder.encode(std::span<const std::uint8_t>(image), out, move);
  return out;
}

std::vector<float> encode(const Encoder& encoder, const std::vector<float>& image, const Displacement& move = {}) {
  std::vector<float> out(usize(encoder.output_shape().size()), 99.0F);
  encoder.encode(std::span<const float>(image), out, move);
  return out;
}

// (x - min) / (max - min + 1e-8) of the pixels / 255.
std::vector<float> min_max(const std::vector<std::uint8_t>& image) {
  std::vector<float> x;
  for (const std::uint8_t v : image) x.push_back(static_cast<float>(v) / 255.0F);
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const float least = *low, range = *high - *low + 1e-8F;
  for (float& v : x) v = (v - least) / range;
  return x;
}

// Rows and columns lo .. hi - 1 of a side x side image.
template <class T>
std::vector<T> window(const std::vector<T>& image, Index side, Index lo, Index hi) {
  std::vector<T> out;
  for (Index r = lo; r < hi; ++r)
    for (Index c = lo; c < hi; ++c) out.push_back(image[usize(r * side + c)]);
  return out;
}

TEST(Encoder, ScalesAnImageByItsOwnRange) {
  const Encoder encoder({}, kDigit);
  EXPECT_EQ(encoder.output_shape(), kDigit);
  auto full = noise_image(784, 1);
  full[0] = 0;
  full[1] = 255;
  EXPECT_EQ(encode(encoder, full), min_max(full));
  auto narrow = full;
  for (auto& v : narrow) v = static_cast<std::uint8_t>(40 + v / 3);
  EXPECT_EQ(encode(encoder, narrow), min_max(narrow));
  EXPECT_EQ(encode(encoder, std::vector<std::uint8_t>(784, 7)), std::vector<float>(784, 0.0F)) << "a constant image must not give NaN";
}

TEST(Encoder, RoundsEveryByteAsADivisionDoes) {
  std::vector<std::uint8_t> all(784);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint8_t>(i);
  const std::vector<float> out = encode(Encoder({}, kDigit), all);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(out[i], static_cast<float>(all[i]) / 255.0F) << static_cast<int>(all[i]);
}

TEST(Encoder, CropsTheCentreAndScalesWhatIsLeft) {
  const auto image = noise_image(784, 2);
  const std::map<Index, std::pair<Index, Index>> ranges{{5, {12, 17}}, {8, {10, 18}}, {27, {1, 28}}, {1, {14, 15}}, {28, {0, 28}}};
  for (const auto& [n, range] : ranges) {
    const Encoder encoder({.crop = n}, kDigit);
    EXPECT_EQ(encoder.output_shape(), (Shape{1, n, n}));
    EXPECT_EQ(encode(encoder, image), min_max(window(image, 28, range.first, range.second))) << n;
  }
}

TEST(Encoder, PoolsAfterScaling) {
  const auto image = noise_image(784, 3);
  const Encoder encoder({.crop = 20, .downsample = 7}, kDigit);
  const auto scaled = min_max(window(image, 28, 4, 24));
  std::vector<float> expected(49);
  adaptive_average_pool<float>(scaled, 20, 20, 7, expected);
  EXPECT_EQ(encode(encoder, image), expected);
}

TEST(Encoder, TreatsChannelsAsOneImageWhenScalingAndSeparatelyWhenPooling) {
  const Shape rgb{3, 6, 4};
  const auto image = noise_image(rgb.size(), 4);
  EXPECT_EQ(encode(Encoder({}, rgb), image), min_max(image));
  const auto scaled = min_max(image);
  const auto pooled = encode(Encoder({.downsample = 2}, rgb), image);
  ASSERT_EQ(pooled.size(), 12U);
  std::vector<float> blue(4);
  adaptive_average_pool<float>(std::span(scaled).subspan(48, 24), 6, 4, 2, blue);
  EXPECT_EQ(std::vector<float>(pooled.begin() + 8, pooled.end()), blue);
}

TEST(Encoder, LeavesFeatureVectorsAndComplexVectorsAlone) {
  const std::vector<float> x{-3.0F, 0.5F, 1e6F, 0.0F};
  EXPECT_EQ(encode(Encoder({}, {1, 1, 4}), x), x);
  for (const OpticalField field : {OpticalField::none, OpticalField::amplitude}) {
    const Encoder encoder({.optical_field = field}, {2, 1, 2});
    EXPECT_EQ(encoder.output_shape(), (Shape{2, 1, 2}));
    EXPECT_EQ(encode(encoder, x), x);
  }
}

TEST(Encoder, ShiftsWithZerosBeforeAllElse) {
  const Shape small{1, 4, 5};
  std::vector<std::uint8_t> image(20);
  std::iota(image.begin(), image.end(), std::uint8_t{1});
  const Encoder encoder({.shift = 3}, small);
  for (int dy = -3; dy <= 3; ++dy)
    for (int dx = -3; dx <= 3; ++dx) {
      std::vector<std::uint8_t> moved(20, 0);
      for (int r = 0; r < 4; ++r)
        for (int c = 0; c < 5; ++c)
          if (r - dy >= 0 && r - dy < 4 && c - dx >= 0 && c - dx < 5) moved[usize(r * 5 + c)] = image[usize((r - dy) * 5 + c - dx)];
      EXPECT_EQ(encode(encoder, image, {dy, dx}), min_max(moved)) << dy << ", " << dx;
      const std::vector<float> as_floats(image.begin(), image.end()), moved_floats(moved.begin(), moved.end());
      EXPECT_EQ(encode(encoder, as_floats, {dy, dx}), moved_floats) << dy << ", " << dx;
      const Encoder cropped({.crop = 2, .shift = 3}, small);
      EXPECT_EQ(encode(cropped, image, {dy, dx}), min_max({moved[6], moved[7], moved[11], moved[12]})) << dy << ", " << dx;
    }
}

TEST(Encoder, MirrorsBeforeItShifts) {
  const Shape small{2, 3, 4};
  std::vector<std::uint8_t> image(24);
  std::iota(image.begin(), image.end(), std::uint8_t{1});
  const Encoder encoder({.shift = 2, .flip = true}, small), cropped({.crop = 2, .shift = 2, .flip = true}, small);
  std::vector<std::uint8_t> mirrored;
  for (Index row = 0; row < 6; ++row)
    for (Index c = 3; c >= 0; --c) mirrored.push_back(image[usize(row * 4 + c)]);
  const std::vector<float> as_floats(image.begin(), image.end()), mirrored_floats(mirrored.begin(), mirrored.end());
  for (int dy = -2; dy <= 2; ++dy)
    for (int dx = -2; dx <= 2; ++dx) {
      EXPECT_EQ(encode(encoder, image, {dy, dx, true}), encode(encoder, mirrored, {dy, dx})) << dy << ", " << dx;
      EXPECT_EQ(encode(cropped, as_floats, {dy, dx, true}), encode(cropped, mirrored_floats, {dy, dx})) << dy << ", " << dx;
    }
}

TEST(Encoder, MirrorsHalfOfTheImagesWhateverTheirDisplacement) {
  const RandomStream stream(3, Stream::augment);
  const Encoder shifted({.shift = 1}, kDigit), both({.shift = 1, .flip = true}, kDigit), flipped({.flip = true}, kDigit);
  std::map<std::pair<int, int>, int> mirrored;
  for (Index i = 0; i < 9000; ++i) {
    const Displacement plain = shifted.displacement(stream, i), d = both.displacement(stream, i);
    EXPECT_EQ((Displacement{d.dy, d.dx}), plain) << "flipping must not change where an image is moved";
    EXPECT_EQ(flipped.displacement(stream, i), (Displacement{0, 0, d.mirrored}));
    mirrored[{d.dy, d.dx}] += d.mirrored ? 1 : 0;
  }
  EXPECT_EQ(mirrored.size(), 9U);
  for (const auto& [where, count] : mirrored) EXPECT_NEAR(count, 500, 6 * std::sqrt(250.0)) << where.first << ", " << where.second;
}

TEST(Encoder, DrawsEveryDisplacementEquallyOftenAndReproducibly) {
  const Encoder encoder({.shift = 1}, kDigit);
  const RandomStream stream(3, Stream::augment);
  std::map<std::pair<int, int>, int> counts;
  for (Index i = 0; i < 9000; ++i) {
    const Displacement d = encoder.displacement(stream, i);
    EXPECT_EQ(d, encoder.displacement(stream, i));
    ++counts[{d.dy, d.dx}];
  }
  EXPECT_EQ(counts.size(), 9U);
  for (const auto& [where, count] : counts) EXPECT_NEAR(count, 1000, 6 * std::sqrt(1000.0)) << where.first << ", " << where.second;
  EXPECT_EQ(Encoder({}, kDigit).displacement(stream, 5), Displacement{});
}

TEST(Encoder, MakesAmplitudesWithTheLargestEqualToOne) {
  const auto image = noise_image(784, 5);
  const Encoder encoder({.crop = 5, .optical_field = OpticalField::amplitude}, kDigit);
  EXPECT_EQ(encoder.output_shape(), (Shape{2, 1, 25}));
  const auto field = encode(encoder, image);
  const auto cut = window(image, 28, 12, 17);
  const auto brightest = static_cast<float>(*std::max_element(cut.begin(), cut.end())) / 255.0F;
  for (std::size_t i = 0; i < 25; ++i) {
    EXPECT_EQ(field[i], static_cast<float>(cut[i]) / 255.0F / brightest);
    EXPECT_EQ(field[25 + i], 0.0F);
  }
  EXPECT_EQ(encode(encoder, std::vector<std::uint8_t>(784, 0)), std::vector<float>(50, 0.0F)) << "dark images stay dark";
  EXPECT_EQ(encode(Encoder({.optical_field = OpticalField::amplitude}, {1, 1, 3}), std::vector<float>{1, -4, 2}),
            (std::vector<float>{0.25F, -1.0F, 0.5F, 0, 0, 0}));
}

// The textbook sum in double, window and shift by the textbook too.
std::vector<std::complex<double>> spectrum(const std::vector<std::uint8_t>& image, Index side, Index n) {
  std::vector<std::complex<double>> f;
  double power = 0.0;
  for (Index u = side / 2 - n / 2; u < side / 2 - n / 2 + n; ++u)
    for (Index v = side / 2 - n / 2; v < side / 2 - n / 2 + n; ++v) {
      std::complex<double> sum = 0.0;
      const Index row = u - side / 2, column = v - side / 2;  // the zero frequency in the middle
      for (Index r = 0; r < side; ++r)
        for (Index c = 0; c < side; ++c)
          sum += static_cast<double>(image[usize(r * side + c)]) *
                 std::polar(1.0, -2.0 * std::numbers::pi * static_cast<double>(row * r + column * c) / static_cast<double>(side));
      f.push_back(sum);
      power += std::norm(sum);
    }
  for (auto& z : f) z /= std::sqrt(power);
  return f;
}

TEST(Encoder, MakesTheCentralFrequenciesWithUnitPower) {
  for (const auto& [side, n] : {std::pair<Index, Index>{28, 8}, {28, 28}, {28, 5}, {9, 4}, {9, 9}}) {
    const auto image = noise_image(side * side, 6);
    const Encoder encoder({.crop = n, .optical_field = OpticalField::fourier}, {1, side, side});
    EXPECT_EQ(encoder.output_shape(), (Shape{2, 1, n * n}));
    const auto field = encode(encoder, image);
    const auto expected = spectrum(image, side, n);
    double power = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(field[i]), expected[i].real(), 2e-6) << side << ", " << n << ", " << i;
      EXPECT_NEAR(static_cast<double>(field[expected.size() + i]), expected[i].imag(), 2e-6) << side << ", " << n << ", " << i;
      power += std::pow(static_cast<double>(field[i]), 2) + std::pow(static_cast<double>(field[expected.size() + i]), 2);
    }
    EXPECT_NEAR(power, 1.0, 1e-6);
  }
}

TEST(Encoder, GivesNoLightWhereAnImageHasNoFrequencies) {
  const Encoder whole({.optical_field = OpticalField::fourier}, {1, 4, 4});
  EXPECT_EQ(encode(whole, std::vector<std::uint8_t>(16, 0)), std::vector<float>(32, 0.0F));
  // A checkerboard with signs has its only frequency at the corner, outside the window.
  const Encoder narrow({.crop = 1, .optical_field = OpticalField::fourier}, {1, 4, 4});
  std::vector<float> board(16);
  for (std::size_t i = 0; i < 16; ++i) board[i] = (i / 4 + i) % 2 == 0 ? 0.3F : -0.3F;
  EXPECT_EQ(encode(narrow, board), std::vector<float>(2, 0.0F));
}

TEST(Encoder, RefusesOptionsThatCannotBeMet) {
  const auto refusal = [](const EncoderOptions& options, const Shape& raw) {
    return test::message_of<ConfigError>([&] { Encoder(options, raw); });
  };
  constexpr auto kFourier = OpticalField::fourier;
  EXPECT_EQ(refusal({.crop = 29}, kDigit), "dataset.crop: must not exceed the size of the images, 28 x 28; got 29; lower it");
  EXPECT_EQ(refusal({.crop = -1}, kDigit), "dataset.crop: must not be negative; got -1; use 0 to switch it off");
  EXPECT_EQ(refusal({.crop = 5}, {1, 1, 9}), "dataset.crop: applies to images; got samples of shape 9; remove it");
  EXPECT_EQ(refusal({.crop = 10, .downsample = 11}, kDigit),
            "dataset.downsample: must not exceed the size of the (cropped) images, 10 x 10; got 11; lower it");
  EXPECT_EQ(refusal({.downsample = 2}, {2, 1, 9}), "dataset.downsample: applies to images; got samples of shape 2x1x9; remove it");
  EXPECT_EQ(refusal({.shift = 1}, {1, 1, 9}), "dataset.shift: applies to images; got samples of shape 9; remove it");
  EXPECT_EQ(refusal({.flip = true}, {1, 1, 9}), "dataset.flip: applies to images; got samples of shape 9; remove it");
  EXPECT_EQ(refusal({.shift = 28}, kDigit), "dataset.shift: must not exceed the size of the images less one, 27 x 27; got 28; lower it");
  EXPECT_EQ(refusal({.optical_field = kFourier}, {2, 1, 9}),
            "dataset.optical_field: fourier needs images of one channel; got samples of shape 2x1x9; use \"amplitude\"");
  EXPECT_EQ(refusal({.optical_field = kFourier}, {3, 8, 8}),
            "dataset.optical_field: fourier needs images of one channel; got samples of shape 3x8x8; use \"amplitude\"");
  EXPECT_EQ(refusal({.downsample = 4, .optical_field = kFourier}, kDigit),
            "dataset.downsample: has no effect with dataset.optical_field = \"fourier\"; got 4; set dataset.crop, the number of "
            "frequencies in each direction");
  EXPECT_EQ(test::message_of<ConfigError>([] { (void)optical_field_from("phase"); }),
            "dataset.optical_field: must be none, amplitude or fourier; got \"phase\"");
  EXPECT_EQ(optical_field_from("fourier"), kFourier);
}

TEST(Encoder, RefusesSpansAndDisplacementsThatDoNotFit) {
  const Encoder encoder({.shift = 1}, kDigit);
  std::vector<std::uint8_t> image(784);
  std::vector<float> out(784);
  EXPECT_THROW(encoder.encode(std::span<const std::uint8_t>(image).first(783), out), ShapeError);
  EXPECT_THROW(encoder.encode(std::span<const std::uint8_t>(image), std::span(out).first(783)), ShapeError);
  EXPECT_THROW(encoder.encode(std::span<const std::uint8_t>(image), out, {2, 0}), ShapeError);
  EXPECT_THROW(encoder.encode(std::span<const std::uint8_t>(image), out, {0, -2}), ShapeError);
  EXPECT_THROW(encoder.encode(std::span<const std::uint8_t>(image), out, {0, 0, true}), ShapeError);
  EXPECT_THROW(adaptive_average_pool<float>(out, 28, 28, 29, std::span(out)), ShapeError);
}

}  // namespace
}  // namespace ffzero
