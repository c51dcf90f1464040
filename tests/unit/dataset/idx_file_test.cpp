// The IDX reader: plain and gzipped, whole and damaged.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/idx_file.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "support/expect_error.hpp"
#include "unit/dataset/idx_bytes.hpp"
#include "unit/dataset/source_files.hpp"

namespace ffzero {
namespace {

IdxImages parse_images(const std::string& bytes) { return parse_idx_images(std::as_bytes(std::span(bytes)), "images"); }
std::vector<std::uint8_t> parse_labels(const std::string& bytes) { return parse_idx_labels(std::as_bytes(std::span(bytes)), "labels"); }
std::string refusal_of_images(const std::string& bytes) {
  return test::message_of<DataError>([&] { (void)parse_images(bytes); });
}

TEST(IdxFile, ReadsPlainAndGzippedFilesByContent) {
  const test::TemporaryFolder folder;
  const std::string images = test::idx_images(4, 2, 3), labels = test::idx_labels({3, 1, 4, 1});
  for (const bool packed : {false, true}) {
    // The names are chosen to mislead.
    const auto a = read_idx_images(folder.write(packed ? "images" : "images.gz", packed ? test::gzipped(images) : images));
    EXPECT_EQ(a.count, 4);
    EXPECT_EQ(a.height, 2);
    EXPECT_EQ(a.width, 3);
    std::vector<std::uint8_t> ascending(24);
    std::iota(ascending.begin(), ascending.end(), std::uint8_t{0});
    EXPECT_EQ(a.pixels, ascending);
    const auto b = read_idx_labels(folder.write(packed ? "labels" : "labels.gz", packed ? test::gzipped(labels) : labels));
    EXPECT_EQ(b, (std::vector<std::uint8_t>{3, 1, 4, 1}));
  }
}

TEST(IdxFile, ReadsFilesLargerThanItsBuffers) {
  const std::string images = test::idx_images(500, 28, 28);
  const auto read = parse_images(test::gzipped(images));
  EXPECT_TRUE(std::equal(read.pixels.begin(), read.pixels.end(), images.begin() + 16, images.end(),
                         [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }));
}

TEST(IdxFile, SaysWhatIsWrong) {
  const std::string again = "; copy or download the file again";
  const std::string good = test::idx_images(2, 3, 4), packed = test::gzipped(good);
  EXPECT_EQ(refusal_of_images(test::idx_labels({1})),
            "images: must be an IDX file with magic number 2051 (images); got magic number 2049 (labels); check that image and label files "
            "are not mixed up");
  EXPECT_EQ(test::message_of<DataError>([&] { (void)parse_labels(good); }),
            "labels: must be an IDX file with magic number 2049 (labels); got magic number 2051 (images); check that image and label files "
            "are not mixed up");
  EXPECT_EQ(refusal_of_images("<!DOCTYPE html>"),
            "images: must be an IDX file with magic number 2051 (images); got magic number 1008813135" + again);
  EXPECT_EQ(refusal_of_images(good.substr(0, 9)), "images: must have an IDX header of 16 bytes; got 9 bytes" + again);
  EXPECT_EQ(refusal_of_images(""), "images: must have an IDX header of 16 bytes; got 0 bytes" + again);
  EXPECT_EQ(refusal_of_images(good.substr(0, 30)), "images: must hold 2 x 3 x 4 bytes, as its header says; got 14 of 24 bytes" + again);
  EXPECT_EQ(refusal_of_images(good + "x"), "images: must hold 2 x 3 x 4 bytes, as its header says; got a longer file" + again);
  EXPECT_EQ(refusal_of_images(test::gzipped(good + "x")),
            "images: must hold 2 x 3 x 4 bytes, as its header says; got a longer file" + again);
  EXPECT_EQ(refusal_of_images(test::gzipped(good.substr(0, 30))),
            "images: must hold 2 x 3 x 4 bytes, as its header says; got 14 of 24 bytes" + again);
  EXPECT_EQ(refusal_of_images(packed.substr(0, packed.size() - 9)), "images: must be a complete gzip file; got a truncated one" + again);
  EXPECT_EQ(refusal_of_images(packed + "x"), "images: must end with its gzip data; got more bytes" + again);
  std::string flipped = packed;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  EXPECT_EQ(refusal_of_images(flipped), "images: must hold undamaged gzip data; got incorrect data check" + again);
  EXPECT_EQ(refusal_of_images(test::idx_images(0, 3, 4)),
            "images: must hold at least one item of at least one byte; got sizes 0 x 3 x 4" + again);
  EXPECT_EQ(refusal_of_images(test::big_endian(0x803) + std::string(12, '\xFF')),
            "images: must hold 4294967295 x 4294967295 x 4294967295 bytes, as its header says; got a shorter file" + again);
}

TEST(IdxFile, SaysWhatIsWrongWithThePath) {
  const test::TemporaryFolder folder;
  const auto missing = (folder.path() / "missing").string();
  EXPECT_EQ(test::message_of<DataError>([&] { (void)read_idx_images(missing); }),
            missing + ": must exist; got no such file; check the path");
  EXPECT_EQ(test::message_of<DataError>([&] { (void)read_idx_labels(folder.path()); }),
            folder.path().string() + ": must be a file; got a folder or device; check the path");
}

TEST(IdxFile, RefusesEveryTruncation) {
  const std::string plain = test::idx_images(3, 4, 5);
  for (const std::string& whole : {plain, test::gzipped(plain)})
    for (std::size_t length = 0; length < whole.size(); ++length)
      EXPECT_THROW((void)parse_images(whole.substr(0, length)), DataError) << length;
}

TEST(IdxFile, SurvivesDamageToAnyByte) {
  const std::string plain = test::idx_images(3, 4, 5), packed = test::gzipped(plain);
  const auto intact = parse_images(plain).pixels;
  for (const bool gzip : {false, true}) {
    const std::string& whole = gzip ? packed : plain;
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (int mask = 1; mask < 256; ++mask) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ mask);
        try {
          const auto read = parse_images(damaged);
          EXPECT_TRUE(gzip ? read.pixels == intact : at >= 16) << (gzip ? "gzip" : "plain") << " byte " << at << " must be noticed";
        } catch (const DataError&) {
        }
      }
  }
}

}  // namespace
}  // namespace ffzero
