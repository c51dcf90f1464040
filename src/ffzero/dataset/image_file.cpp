// PGM and PPM are parsed here, PNG by libpng. Nothing is trusted before it is checked against the bytes that are there.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/image_file.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csetjmp>
#include <cstring>
#include <fstream>
#include <system_error>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{1} << 30;

[[noreturn]] void fail(const std::string& place, std::string_view requirement, const std::string& value = {}) {
  throw DataError(place, requirement, value, "give a PNG, PGM or PPM picture");
}

void require_size(const std::string& place, Index width, Index height) {
  if (width < 1 || height < 1 || width > kMaxImageSide || height > kMaxImageSide || width * height > kMaxImagePixels) {
    fail(place, "a picture must have 1 to 16384 pixels along each side and at most 67108864 in all",
         std::to_string(width) + " x " + std::to_string(height));
  }
}

std::uint8_t grey_of(std::uint32_t red, std::uint32_t green, std::uint32_t blue) {
  return static_cast<std::uint8_t>((299 * red + 587 * green + 114 * blue + 500) / 1000);
}

// ---- PGM and PPM

class NetpbmReader {
 public:
  NetpbmReader(std::span<const std::uint8_t> bytes, const std::string& place) : bytes_(bytes), place_(place) {}

  GreyImage read() {
    const char kind = static_cast<char>(bytes_[1]);
    at_ = 2;
    const bool plain = kind == '2' || kind == '3';
    const Index samples = kind == '3' || kind == '6' ? 3 : 1;
    GreyImage image;
    image.width = number(kMaxNumber);
    image.height = number(kMaxNumber);
    require_size(place_, image.width, image.height);
    depth_ = number(65535);
    if (depth_ == 0) fail(place_, "the largest grey value must be 1 to 65535", "0");
    const Index pixels = image.width * image.height;
    if (!plain) begin_raster(pixels * samples);
    // A plain raster takes at least two bytes a sample, so a short file cannot claim a large picture's memory.
    if (plain && pixels * samples > isize(bytes_.size() - at_)) fail(place_, "must hold all its pixels", "a truncated file");
    image.pixels.reserve(usize(pixels));
    for (Index i = 0; i < pixels; ++i) image.pixels.push_back(pixel(plain, samples));
    return image;
  }

 private:
  static constexpr Index kMaxNumber = 1000000000;

  std::uint8_t pixel(bool plain, Index samples) {
    if (samples == 1) return sample(plain);
    const std::uint8_t red = sample(plain);
    const std::uint8_t green = sample(plain);
    return grey_of(red, green, sample(plain));
  }
  std::uint8_t sample(bool plain) {
    const Index value = plain ? number(depth_) : raw();
    return static_cast<std::uint8_t>((value * 255 + depth_ / 2) / depth_);
  }
  // After the header comes one white space, then bytes: one per sample, two (the higher first) above 255.
  void begin_raster(Index samples) {
    const Index needed = samples * (depth_ > 255 ? 2 : 1);
    if (at_ >= bytes_.size() || std::isspace(bytes_[at_]) == 0) fail(place_, "a white space must follow the header", "something else");
    ++at_;
    if (isize(bytes_.size() - at_) < needed) {
      fail(place_, "must hold " + std::to_string(needed) + " bytes of pixels", std::to_string(bytes_.size() - at_));
    }
  }
  Index raw() {
    Index value = bytes_[at_++];
    if (depth_ > 255) value = value * 256 + bytes_[at_++];
    if (value > depth_) fail(place_, "no pixel may exceed the largest grey value " + std::to_string(depth_), std::to_string(value));
    return value;
  }
  // The next decimal number; white space and comments (# to the end of the line) before it are skipped.
  Index number(Index largest) {
    while (at_ < bytes_.size() && (std::isspace(bytes_[at_]) != 0 || bytes_[at_] == '#')) {
      if (bytes_[at_] == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n') ++at_;
      } else {
        ++at_;
      }
    }
    if (at_ >= bytes_.size()) fail(place_, "must hold a whole header and all its pixels", "a truncated file");
    if (std::isdigit(bytes_[at_]) == 0) fail(place_, "must hold decimal numbers", "byte " + std::to_string(bytes_[at_]));
    Index value = 0;
    for (; at_ < bytes_.size() && std::isdigit(bytes_[at_]) != 0; ++at_) {
      value = value * 10 + (bytes_[at_] - '0');
      if (value > largest) fail(place_, "a number in it must not exceed " + std::to_string(largest), std::to_string(value));
    }
    return value;
  }

  std::span<const std::uint8_t> bytes_;
  const std::string& place_;
  std::size_t at_ = 0;
  Index depth_ = 0;
};

// ---- PNG. libpng reports errors by longjmp: no object with a destructor lives in a frame that it may leave.

struct PngInput {
  std::span<const std::uint8_t> bytes;
  std::size_t at = 0;
};

struct PngMessage {
  std::array<char, 160> text{};
};

extern "C" void png_failed(png_structp png, png_const_charp message) {
  auto* out = static_cast<PngMessage*>(png_get_error_ptr(png));
  std::strncpy(out->text.data(), message, out->text.size() - 1);
  png_longjmp(png, 1);
}
extern "C" void png_warned(png_structp, png_const_charp) {}

extern "C" void png_give(png_structp png, png_bytep out, std::size_t count) {
  auto* input = static_cast<PngInput*>(png_get_io_ptr(png));
  if (input->bytes.size() - input->at < count) png_error(png, "truncated file");
  std::memcpy(out, input->bytes.data() + input->at, count);
  input->at += count;
}

extern "C" void png_take(png_structp png, png_bytep bytes, std::size_t count) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(bytes), count);
}
extern "C" void png_flushed(png_structp) {}

// The two structures of libpng for reading or for writing.
class PngHandle {
 public:
  explicit PngHandle(bool reading) : reading_(reading) {
    png = reading ? png_create_read_struct(PNG_LIBPNG_VER_STRING, &message, &png_failed, &png_warned)
                  : png_create_write_struct(PNG_LIBPNG_VER_STRING, &message, &png_failed, &png_warned);
    if (png != nullptr) info = png_create_info_struct(png);
  }
  ~PngHandle() { reading_ ? png_destroy_read_struct(&png, &info, nullptr) : png_destroy_write_struct(&png, &info); }
  PngHandle(const PngHandle&) = delete;
  PngHandle& operator=(const PngHandle&) = delete;

  png_structp png = nullptr;
  png_infop info = nullptr;
  PngMessage message;

 private:
  bool reading_;
};

bool read_png_header(PngHandle& handle, PngInput& input) {
  if (setjmp(png_jmpbuf(handle.png)) != 0) return false;
  png_set_user_limits(handle.png, static_cast<png_uint_32>(kMaxImageSide), static_cast<png_uint_32>(kMaxImageSide));
  png_set_read_fn(handle.png, &input, &png_give);
  png_read_info(handle.png, handle.info);
  // Whatever it is, it becomes red, green, blue and opacity of 8 bits each.
  png_set_expand(handle.png);
  png_set_scale_16(handle.png);
  png_set_gray_to_rgb(handle.png);
  png_set_add_alpha(handle.png, 0xFF, PNG_FILLER_AFTER);
  png_set_interlace_handling(handle.png);
  png_read_update_info(handle.png, handle.info);
  return true;
}

bool read_png_rows(PngHandle& handle, png_bytepp rows) {
  if (setjmp(png_jmpbuf(handle.png)) != 0) return false;
  png_read_image(handle.png, rows);
  png_read_end(handle.png, nullptr);
  return true;
}

GreyImage parse_png(std::span<const std::uint8_t> bytes, const std::string& place) {
  PngHandle handle(true);
  if (handle.info == nullptr) throw std::bad_alloc();
  PngInput input{.bytes = bytes};
  const auto require = [&](bool good) {
    if (!good) fail(place, "must be a whole, undamaged PNG", handle.message.text.data());
  };
  require(read_png_header(handle, input));
  GreyImage image;
  image.width = png_get_image_width(handle.png, handle.info);
  image.height = png_get_image_height(handle.png, handle.info);
  require_size(place, image.width, image.height);
  // Eight pixels a byte, packed a thousandfold, is the most that deflate can do: a short file cannot claim a large picture's memory.
  if (image.width * image.height > 8 * 1040 * isize(bytes.size())) fail(place, "must hold all its pixels", "a truncated file");
  std::vector<std::uint8_t> colours(usize(image.width * image.height * 4));
  std::vector<png_bytep> rows;
  for (Index y = 0; y < image.height; ++y) rows.push_back(colours.data() + y * image.width * 4);
  require(read_png_rows(handle, rows.data()));
  image.pixels.resize(usize(image.width * image.height));
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    const std::uint8_t* c = colours.data() + 4 * i;
    image.pixels[i] = static_cast<std::uint8_t>((grey_of(c[0], c[1], c[2]) * c[3] + 127) / 255);
  }
  return image;
}

bool write_png_rows(PngHandle& handle, const GreyImage& image, std::string& out) {
  if (setjmp(png_jmpbuf(handle.png)) != 0) return false;
  png_set_write_fn(handle.png, &out, &png_take, &png_flushed);
  png_set_IHDR(handle.png, handle.info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8,
               PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(handle.png, handle.info);
  for (Index y = 0; y < image.height; ++y) png_write_row(handle.png, image.pixels.data() + y * image.width);
  png_write_end(handle.png, handle.info);
  return true;
}

std::vector<std::uint8_t> content_of(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(path, code)) fail(path.string(), "must be a picture", "no such file");
  const std::uintmax_t size = std::filesystem::file_size(path, code);
  if (code || size > kMaxFileBytes) fail(path.string(), "a picture's file must not exceed 1 GiB", std::to_string(size) + " bytes");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (!file) fail(path.string(), "must be readable", code ? code.message() : "a file that cannot be read");
  return bytes;
}

}  // namespace

GreyImage parse_image(std::span<const std::uint8_t> bytes, const std::string& place) {
  static constexpr std::array<std::uint8_t, 8> kPngMagic{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (bytes.size() >= kPngMagic.size() && std::equal(kPngMagic.begin(), kPngMagic.end(), bytes.begin())) return parse_png(bytes, place);
  if (bytes.size() >= 3 && bytes[0] == 'P' && std::strchr("2356", bytes[1]) != nullptr && bytes[1] != 0)
    return NetpbmReader(bytes, place).read();
  fail(place, "must be a PNG, PGM or PPM picture", bytes.empty() ? "an empty file" : "another kind of file");
}

GreyImage read_image(const std::filesystem::path& path) { return parse_image(content_of(path), path.string()); }

void write_png(const std::filesystem::path& path, const GreyImage& image) {
  if (image.width < 1 || image.height < 1 || isize(image.pixels.size()) != image.width * image.height) {
    throw ShapeError("write_png", "pixels must be height x width", std::to_string(image.pixels.size()));
  }
  PngHandle handle(false);
  if (handle.info == nullptr) throw std::bad_alloc();
  std::string out;
  if (!write_png_rows(handle, image, out))
    throw OutputError(path.string(), "must be a picture that PNG can hold", handle.message.text.data());
  write_file_atomically(path, out);
}

}  // namespace ffzero
