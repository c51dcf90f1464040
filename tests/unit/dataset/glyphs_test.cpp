// The built-in digits: pinned bytes, balance, independence; and the IDX files that they are exported to.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/glyphs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "ffzero/dataset/glyph_shapes.hpp"
#include "ffzero/dataset/idx_file.hpp"
#include "ffzero/dataset/idx_writer.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "unit/dataset/source_files.hpp"

namespace ffzero {
namespace {

using ::testing::HasSubstr;

std::string images_of(const Dataset& dataset) {
  std::string out;
  for (Index i = 0; i < dataset.size(); ++i) out.append(reinterpret_cast<const char*>(dataset.bytes(i).data()), dataset.bytes(i).size());
  return out;
}

TEST(Glyphs, AreTheSameBytesEverywhere) {
  const Splits splits = make_glyphs(0, 100, 0);
  EXPECT_EQ(test::sha256_of(images_of(splits.train)), "c7dd37493a03b4b8ee56b187d67d83a56c622d2941a44e97e92897bce4fb0ac3");
  std::string labels;
  for (int i = 0; i < 12000; ++i) {
    labels += static_cast<char>(i < 10000 ? glyph_label(0, GlyphSplit::train, i) : glyph_label(0, GlyphSplit::test, i - 10000));
  }
  EXPECT_EQ(test::sha256_of(labels), "3f45a145aa1e82e70547567cf00e33893ca2fb73251188e9ec54b99b0a21246c");
}

TEST(Glyphs, HoldEachDigitOnceInEveryTen) {
  for (const GlyphSplit split : {GlyphSplit::train, GlyphSplit::test}) {
    for (Index block = 0; block < 200; ++block) {
      std::array<int, 10> seen{};
      for (Index i = 0; i < 10; ++i) ++seen.at(usize(glyph_label(3, split, 10 * block + i)));
      for (const int count : seen) ASSERT_EQ(count, 1);
    }
  }
  int ascending = 0;
  for (Index i = 0; i + 1 < 1000; ++i) {
    ascending += glyph_label(3, GlyphSplit::train, i) < glyph_label(3, GlyphSplit::train, i + 1) ? 1 : 0;
  }
  EXPECT_NEAR(ascending, 495, 60) << "the order is not random";
}

TEST(Glyphs, SmallerSetsAreTheBeginningOfLargerOnes) {
  const Splits small = make_glyphs(5, 30, 20);
  const Splits large = make_glyphs(5, 60, 25);
  EXPECT_EQ(images_of(small.train), images_of(large.train).substr(0, 30 * kGlyphPixels));
  EXPECT_EQ(images_of(small.test), images_of(large.test).substr(0, 20 * kGlyphPixels));
  EXPECT_TRUE(std::equal(small.train.labels().begin(), small.train.labels().end(), large.train.labels().begin()));
}

TEST(Glyphs, DifferBetweenSeedsSplitsAndImages) {
  const Splits a = make_glyphs(1, 10, 10);
  const Splits b = make_glyphs(2, 10, 10);
  EXPECT_NE(images_of(a.train), images_of(b.train));
  EXPECT_NE(images_of(a.train), images_of(a.test));
  EXPECT_FALSE(std::ranges::equal(a.train.bytes(0), a.train.bytes(1)));
}

TEST(Glyphs, SayWhatTheyAre) {
  const Splits splits = make_glyphs(0, 7, 3);
  EXPECT_EQ(splits.train.name(), "glyphs");
  EXPECT_EQ(splits.train.shape(), (Shape{1, 28, 28}));
  EXPECT_EQ(splits.train.classes(), 10);
  EXPECT_EQ(splits.train.size(), 7);
  EXPECT_EQ(splits.test.size(), 3);
  EXPECT_TRUE(splits.validation.empty());
  EXPECT_THROW((void)make_glyphs(0, -1, 3), ConfigError);
}

TEST(Glyphs, KeepTheirInkAwayFromTheBorder) {
  const Splits splits = make_glyphs(11, 500, 0);
  double border = 0.0;
  double centre = 0.0;
  for (Index i = 0; i < 500; ++i) {
    const auto image = splits.train.bytes(i);
    for (Index p = 0; p < kGlyphSide; ++p) border += image[usize(p)] + image[usize(p * kGlyphSide)];
    for (Index p = 0; p < kGlyphSide; ++p) centre += image[usize(14 * kGlyphSide + p)] + image[usize(p * kGlyphSide + 14)];
  }
  EXPECT_LT(border, 0.25 * centre);
}

TEST(Glyphs, AreRecognisedByTheirNearestNeighbour) {
  const Splits splits = make_glyphs(0, 500, 100);
  int right = 0;
  for (Index i = 0; i < splits.test.size(); ++i) {
    const auto image = splits.test.bytes(i);
    int best = 1 << 30;
    std::int32_t label = -1;
    for (Index j = 0; j < splits.train.size(); ++j) {
      const auto other = splits.train.bytes(j);
      int distance = 0;
      for (std::size_t p = 0; p < image.size(); p += 3) distance += (image[p] - other[p]) * (image[p] - other[p]);
      if (distance < best) {
        best = distance;
        label = splits.train.labels()[usize(j)];
      }
    }
    right += label == splits.test.labels()[usize(i)] ? 1 : 0;
  }
  EXPECT_GT(right, 60);
}

TEST(GlyphShapes, StayInTheirBoxAndWithinTheirLimit) {
  for (int digit = 0; digit < 10; ++digit) {
    EXPECT_GE(glyph_shapes(digit).size(), 3U);
    for (const GlyphShape shape : glyph_shapes(digit)) {
      EXPECT_LE(isize(shape.size()), kMaxGlyphPoints);
      for (const GlyphPoint& p : shape) EXPECT_TRUE(p.x < 0 || (p.x <= 100 && p.y >= 0 && p.y <= 100));
    }
  }
}

TEST(IdxWriter, WritesWhatTheReaderReads) {
  const test::TemporaryFolder folder;
  const Splits splits = make_glyphs(4, 23, 11);
  export_idx(splits, folder.path() / "out");
  const IdxImages images = read_idx_images(folder.path() / "out" / "train-images-idx3-ubyte");
  EXPECT_EQ(images.count, 23);
  EXPECT_EQ(images.height, 28);
  EXPECT_EQ(images.width, 28);
  EXPECT_EQ(std::string(images.pixels.begin(), images.pixels.end()), images_of(splits.train));
  const auto labels = read_idx_labels(folder.path() / "out" / "t10k-labels-idx1-ubyte");
  EXPECT_TRUE(std::equal(labels.begin(), labels.end(), splits.test.labels().begin(), splits.test.labels().end()));
}

TEST(IdxWriter, RefusesWhatIdxCannotHold) {
  const test::TemporaryFolder folder;
  DatasetInfo info;
  info.name = "points";
  info.classes = 2;
  info.shape = {1, 1, 2};
  const Dataset floats(info, std::vector<float>{0, 1}, std::vector<std::int32_t>{1});
  EXPECT_THAT(test::message_of<ConfigError>([&] { export_idx(floats, folder.path(), "train"); }), HasSubstr("points with samples of 2"));
  const Splits splits = make_glyphs(0, 10, 10);
  EXPECT_THROW(export_idx(Splits{splits.train, splits.test, splits.test}, folder.path()), ConfigError);
  EXPECT_THROW(export_idx(splits.train, folder.path() / "none", "train"), OutputError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace ffzero
