// Pictures of every kind that is read, and what is refused.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/image_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <functional>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "unit/dataset/source_files.hpp"

namespace ffzero {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
GreyImage parse(const std::string& text) { return parse_image(bytes_of(text), "a.img"); }
std::string refusal(const std::string& text) {
  return test::message_of<DataError>([&] { (void)parse(text); });
}

// A PNG of any kind: `rows` as libpng wants them, one string a row.
std::string png_of(int width, std::vector<std::string> rows, int depth, int kind, int interlace = PNG_INTERLACE_NONE,
                   const std::function<void(png_structp, png_infop)>& extra = {}) {
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep b, std::size_t n) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(b), n);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(rows.size()), depth, kind, interlace,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (extra) extra(png, info);
  std::vector<png_bytep> pointers;
  for (std::string& row : rows) pointers.push_back(reinterpret_cast<png_bytep>(row.data()));
  png_write_info(png, info);
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

TEST(ImageFile, ReadsPlainAndRawGreyMaps) {
  const GreyImage plain = parse("P2\n# made by hand\n3 2\n15\n0 1 15\n 5 10 # in between\n 3");
  EXPECT_EQ(plain.width, 3);
  EXPECT_EQ(plain.height, 2);
  EXPECT_THAT(plain.pixels, ElementsAre(0, 17, 255, 85, 170, 51));
  EXPECT_THAT(parse(std::string("P5 2 2 255\n\x00\x01\x80\xff", 15)).pixels, ElementsAre(0, 1, 128, 255));
  EXPECT_THAT(parse(std::string("P5 2 1 65535\n\x80\x80\xff\xff", 17)).pixels, ElementsAre(128, 255));
}

TEST(ImageFile, TurnsColoursIntoGrey) {
  EXPECT_THAT(parse("P3 4 1 255 255 0 0  0 255 0  0 0 255  255 255 255").pixels, ElementsAre(76, 150, 29, 255));
  EXPECT_THAT(parse(std::string("P6 1 1 255\n\xff\x00\x00", 14)).pixels, ElementsAre(76));
}

TEST(ImageFile, ReadsEveryKindOfPng) {
  EXPECT_THAT(parse(png_of(2, {"\x10\x20"}, 8, PNG_COLOR_TYPE_GRAY)).pixels, ElementsAre(16, 32));
  EXPECT_THAT(parse(png_of(3, {"\xa0"}, 1, PNG_COLOR_TYPE_GRAY)).pixels, ElementsAre(255, 0, 255));
  EXPECT_THAT(parse(png_of(2, {std::string("\x64\x64\xff\xff", 4)}, 16, PNG_COLOR_TYPE_GRAY)).pixels, ElementsAre(100, 255));
  EXPECT_THAT(parse(png_of(2, {std::string("\xc8\xff\xc8\x80", 4)}, 8, PNG_COLOR_TYPE_GRAY_ALPHA)).pixels, ElementsAre(200, 100));
  EXPECT_THAT(parse(png_of(1, {std::string("\xff\x00\x00", 3)}, 8, PNG_COLOR_TYPE_RGB)).pixels, ElementsAre(76));
  EXPECT_THAT(parse(png_of(1, {std::string("\xff\xff\xff\x00", 4)}, 8, PNG_COLOR_TYPE_RGB_ALPHA)).pixels, ElementsAre(0));
}

TEST(ImageFile, ReadsPalettesWithTransparency) {
  const auto palette = [](png_structp png, png_infop info) {
    const png_color colours[] = {{255, 255, 255}, {255, 0, 0}, {9, 9, 9}};
    const png_byte opacity[] = {0, 255, 255};
    png_set_PLTE(png, info, colours, 3);
    png_set_tRNS(png, info, opacity, 3, nullptr);
  };
  EXPECT_THAT(parse(png_of(3, {std::string("\x00\x01\x02", 3)}, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, palette)).pixels,
              ElementsAre(0, 76, 9));
}

TEST(ImageFile, ReadsInterlacedPng) {
  std::vector<std::string> rows;
  for (char y = 0; y < 9; ++y) {
    rows.emplace_back();
    for (char x = 0; x < 11; ++x) rows.back() += static_cast<char>(11 * y + x);
  }
  const GreyImage image = parse(png_of(11, rows, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7));
  for (std::size_t i = 0; i < image.pixels.size(); ++i) EXPECT_EQ(image.pixels[i], i);
}

TEST(ImageFile, WritesWhatItReads) {
  const test::TemporaryFolder folder;
  GreyImage image{.height = 7, .width = 37, .pixels = {}};
  for (int i = 0; i < 7 * 37; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 31));
  write_png(folder.path() / "a.png", image);
  const GreyImage back = read_image(folder.path() / "a.png");
  EXPECT_EQ(back.height, 7);
  EXPECT_EQ(back.width, 37);
  EXPECT_EQ(back.pixels, image.pixels);
  EXPECT_THROW(write_png(folder.path() / "none" / "a.png", image), OutputError);
  EXPECT_THROW(write_png(folder.path() / "b.png", GreyImage{.height = 2, .width = 2, .pixels = {1}}), ShapeError);
}

TEST(ImageFile, RefusesWhatIsNoPicture) {
  EXPECT_THAT(refusal(""), HasSubstr("an empty file"));
  EXPECT_THAT(refusal("GIF89a"), HasSubstr("a.img: must be a PNG, PGM or PPM picture; got another kind of file"));
  EXPECT_THAT(refusal("P4 1 1 x"), HasSubstr("another kind of file"));
  const test::TemporaryFolder folder;
  EXPECT_THAT(test::message_of<DataError>([&] { (void)read_image(folder.path() / "none.png"); }), HasSubstr("no such file"));
  EXPECT_THAT(test::message_of<DataError>([&] { (void)read_image(folder.path()); }), HasSubstr("no such file"));
}

TEST(ImageFile, RefusesBrokenGreyMaps) {
  EXPECT_THAT(refusal("P2 3 2 15 0 1 2"), HasSubstr("truncated"));
  EXPECT_THAT(refusal("P2 2 1 15 0"), HasSubstr("truncated"));
  EXPECT_THAT(refusal("P2 2 1 15 0 16 "), HasSubstr("must not exceed 15"));
  EXPECT_THAT(refusal("P2 2 1 15 0 x "), HasSubstr("decimal numbers"));
  EXPECT_THAT(refusal("P2 -2 1 15 0 0"), HasSubstr("decimal numbers"));
  EXPECT_THAT(refusal("P5 2 2 255\nabc"), HasSubstr("must hold 4 bytes of pixels; got 3"));
  EXPECT_THAT(refusal("P5 2 2 255"), HasSubstr("white space"));
  EXPECT_THAT(refusal("P5 1 1 7\nx"), HasSubstr("exceed the largest grey value 7"));
  EXPECT_THAT(refusal("P5 1 1 0\nx"), HasSubstr("1 to 65535"));
  EXPECT_THAT(refusal("P5 1 1 70000\nx"), HasSubstr("must not exceed 65535"));
  EXPECT_THAT(refusal("P5 0 1 255\nx"), HasSubstr("0 x 1"));
  EXPECT_THAT(refusal("P5 16385 1 255\nx"), HasSubstr("16385 x 1"));
  EXPECT_THAT(refusal("P5 16384 16384 255\nx"), HasSubstr("16384 x 16384"));
  EXPECT_THAT(refusal("P2 99999999999999999999 1 255 0"), HasSubstr("must not exceed"));
}

TEST(ImageFile, RefusesEveryTruncatedPng) {
  const std::string png = png_of(5, {"abcde", "fghij"}, 8, PNG_COLOR_TYPE_GRAY);
  for (std::size_t length = 0; length < png.size(); ++length) {
    EXPECT_THROW((void)parse(png.substr(0, length)), DataError) << length;
  }
  EXPECT_THAT(refusal(png.substr(0, png.size() - 20)), HasSubstr("whole, undamaged PNG; got truncated file"));
}

TEST(ImageFile, NeverCrashesOnFlippedBytes) {
  const std::string png = png_of(5, {"abcde", "fghij"}, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7);
  const std::string pgm("P5 # x\n2 2 255\nabcd");
  for (const std::string& whole : {png, pgm}) {
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const int bit : {0x01, 0x10, 0x80, 0xFF}) {
        std::string broken = whole;
        broken[at] = static_cast<char>(broken[at] ^ bit);
        try {
          const GreyImage image = parse(broken);
          EXPECT_EQ(isize(image.pixels.size()), image.width * image.height);
        } catch (const DataError&) {
        }
      }
    }
  }
}

TEST(ImageFile, RefusesAHeaderThatClaimsMoreThanTheFileCanHold) {
  std::string png = png_of(1, {"x"}, 8, PNG_COLOR_TYPE_GRAY);
  png[18] = 0x20;  // width 8193, and the checksum of the header to match
  png[22] = 0x10;  // height 4097
  const auto checksum = crc32(crc32(0, nullptr, 0), reinterpret_cast<const Bytef*>(png.data()) + 12, 17);
  for (std::size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<char>(checksum >> (24 - 8 * i));
  EXPECT_THAT(refusal(png), HasSubstr("must hold all its pixels; got a truncated file"));
}

}  // namespace
}  // namespace ffzero
