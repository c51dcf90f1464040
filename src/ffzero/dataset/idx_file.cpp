// IDX: a magic number, big-endian sizes, bytes. Nothing is allocated before its size is known to fit the file.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/idx_file.hpp"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <system_error>

#include "ffzero/base/error.hpp"
#include "ffzero/base/huge_pages.hpp"

namespace ffzero {

namespace {

constexpr const char* kAgain = "copy or download the file again";
constexpr std::uint32_t kImages = 0x00000803, kLabels = 0x00000801;

// The bytes as they are stored: a file or a piece of memory, read once from front to back.
class Stored {
 public:
  explicit Stored(const std::filesystem::path& path) : place_(path.string()) {
    std::error_code code;
    const auto status = std::filesystem::status(path, code);
    if (!std::filesystem::exists(status)) throw DataError(place_, "must exist", "no such file", "check the path");
    if (!std::filesystem::is_regular_file(status)) throw DataError(place_, "must be a file", "a folder or device", "check the path");
    file_.open(path, std::ios::binary | std::ios::ate);
    if (!file_) throw DataError(place_, "must be readable", std::strerror(errno), "check its permissions");
    size_ = static_cast<std::uint64_t>(file_.tellg());
    file_.seekg(0);
  }
  Stored(std::span<const std::byte> bytes, std::string place) : place_(std::move(place)), memory_(bytes), size_(bytes.size()) {}

  [[nodiscard]] const std::string& place() const { return place_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // As many bytes as there are, up to out.size().
  std::size_t read(std::span<std::byte> out) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - at_));
    if (count == 0) return 0;
    if (file_.is_open()) {
      if (!file_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(count)))
        throw DataError(place_, "must be readable to its end", std::strerror(errno), kAgain);
    } else {
      std::memcpy(out.data(), memory_.data() + at_, count);
    }
    at_ += count;
    return count;
  }
  void seek(std::uint64_t at) {
    at_ = at;
    if (file_.is_open()) file_.seekg(static_cast<std::streamoff>(at));
  }
  // All bytes. Those of a file are read into `space`; what is read next stays the same.
  std::span<const std::byte> all(std::vector<std::byte>& space) {
    if (!file_.is_open()) return memory_;
    const std::uint64_t at = at_;
    space.resize(static_cast<std::size_t>(size_));
    seek(0);
    read(space);
    seek(at);
    return space;
  }

 private:
  std::string place_;
  std::ifstream file_;
  std::span<const std::byte> memory_;
  std::uint64_t size_ = 0;
  std::uint64_t at_ = 0;
};

// The bytes that are meant: unpacked if they are gzipped.
class Content {
 public:
  explicit Content(Stored& stored) : stored_(stored) {
    std::array<std::byte, 2> head{};
    const std::size_t got = stored_.read(head);
    stored_.seek(0);
    gzipped_ = got == 2 && head[0] == std::byte{0x1F} && head[1] == std::byte{0x8B};
    if (gzipped_ && inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }
  ~Content() {
    if (gzipped_) inflateEnd(&stream_);
  }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  [[nodiscard]] const std::string& place() const { return stored_.place(); }
  [[nodiscard]] bool gzipped() const { return gzipped_; }
  // No content is longer than this: the file itself, or what the best deflate block can make of it.
  [[nodiscard]] std::uint64_t longest() const { return gzipped_ ? stored_.size() * 1032 + 1024 : stored_.size(); }

  std::size_t read(std::span<std::byte> out) {
    if (!gzipped_) return stored_.read(out);
    std::size_t done = 0;
    while (done < out.size() && !finished_) done += inflate_some(out.subspan(done));
    return done;
  }

  // The whole content of a gzip file at once, which takes half of the time. False if it is not exactly `out.size()` bytes long, or damaged:
  // read() says what is wrong.
  bool read_all(std::span<std::byte> out) {
    std::vector<std::byte> space;
    const std::span<const std::byte> packed = stored_.all(space);
    const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor(libdeflate_alloc_decompressor(),
                                                                                                         libdeflate_free_decompressor);
    if (!decompressor) throw std::bad_alloc();
    std::size_t used = 0;  // more bytes behind the gzip data are an error
    return libdeflate_gzip_decompress_ex(decompressor.get(), packed.data(), packed.size(), out.data(), out.size(), &used, nullptr) ==
               LIBDEFLATE_SUCCESS &&
           used == packed.size();
  }

 private:
  std::size_t inflate_some(std::span<std::byte> out) {
    if (stream_.avail_in == 0) {
      stream_.avail_in = static_cast<uInt>(stored_.read(chunk_));
      stream_.next_in = reinterpret_cast<Bytef*>(chunk_.data());
      if (stream_.avail_in == 0) throw DataError(place(), "must be a complete gzip file", "a truncated one", kAgain);
    }
    const auto room = static_cast<uInt>(std::min<std::size_t>(out.size(), 1U << 30));
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = room;
    const int state = inflate(&stream_, Z_NO_FLUSH);
    if (state == Z_STREAM_END) {
      finished_ = true;
      if (stream_.avail_in != 0 || stored_.read(chunk_) != 0) throw DataError(place(), "must end with its gzip data", "more bytes", kAgain);
    } else if (state != Z_OK && state != Z_BUF_ERROR) {
      const std::string reason = stream_.msg != nullptr ? stream_.msg : "unknown error";
      throw DataError(place(), "must hold undamaged gzip data", reason, kAgain);
    }
    return room - stream_.avail_out;
  }

  Stored& stored_;
  z_stream stream_{};
  bool gzipped_ = false;
  bool finished_ = false;
  std::array<std::byte, 1U << 16> chunk_{};
};

std::string kind_of(std::uint32_t magic) {
  const std::string number = "magic number " + std::to_string(magic);
  if (magic == kImages) return number + " (images)";
  if (magic == kLabels) return number + " (labels)";
  return number;
}

constexpr std::size_t header_bytes(std::size_t dimensions) { return 4 + 4 * dimensions; }

// Header of `1 + sizes` numbers; sizes.size() is the number of dimensions that the caller wants.
void read_header(Content& in, std::uint32_t wanted, std::span<std::uint64_t> sizes) {
  std::array<std::byte, 16> raw{};
  const std::size_t length = header_bytes(sizes.size());
  const std::size_t got = in.read(std::span(raw).first(length));
  const auto number = [&raw](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint32_t>(raw[at + i]);
    return value;
  };
  if (got >= 4 && number(0) != wanted)
    throw DataError(in.place(), "must be an IDX file with " + kind_of(wanted), kind_of(number(0)),
                    number(0) == kImages || number(0) == kLabels ? "check that image and label files are not mixed up" : kAgain);
  if (got < length)
    throw DataError(in.place(), "must have an IDX header of " + std::to_string(length) + " bytes", std::to_string(got) + " bytes", kAgain);
  for (std::size_t d = 0; d < sizes.size(); ++d) sizes[d] = number(4 + 4 * d);
}

std::string sizes_text(std::span<const std::uint64_t> sizes) {
  std::string text = std::to_string(sizes[0]);
  for (const std::uint64_t s : sizes.subspan(1)) text.append(" x ").append(std::to_string(s));
  return text;
}

std::vector<std::uint8_t> read_body(Content& in, std::span<const std::uint64_t> sizes) {
  const std::string promise = "must hold " + sizes_text(sizes) + " bytes, as its header says";
  std::uint64_t total = 1;
  for (const std::uint64_t s : sizes) {
    if (s == 0) throw DataError(in.place(), "must hold at least one item of at least one byte", "sizes " + sizes_text(sizes), kAgain);
    if (s > in.longest() / total) throw DataError(in.place(), promise, "a shorter file", kAgain);
    total *= s;
  }
  const std::size_t header = in.gzipped() ? header_bytes(sizes.size()) : 0;  // comes along when all is unpacked at once
  std::vector<std::uint8_t> body;
  body.reserve(static_cast<std::size_t>(total) + header);
  prefer_huge_pages(body.data(), body.capacity());
  body.resize(static_cast<std::size_t>(total) + header);
  const bool complete = in.gzipped() && in.read_all(std::as_writable_bytes(std::span(body)));
  body.erase(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(header));
  if (complete) return body;
  const std::size_t got = in.read(std::as_writable_bytes(std::span(body)));
  if (got < body.size()) throw DataError(in.place(), promise, std::to_string(got) + " of " + std::to_string(total) + " bytes", kAgain);
  // Asking for one byte more is also what makes zlib compare the checksum.
  std::array<std::byte, 1> more{};
  if (in.read(more) != 0) throw DataError(in.place(), promise, "a longer file", kAgain);
  return body;
}

IdxImages images_of(Stored stored) {
  Content in(stored);
  std::array<std::uint64_t, 3> sizes{};
  read_header(in, kImages, sizes);
  IdxImages images;
  images.pixels = read_body(in, sizes);
  images.count = static_cast<Index>(sizes[0]);
  images.height = static_cast<Index>(sizes[1]);
  images.width = static_cast<Index>(sizes[2]);
  return images;
}

std::vector<std::uint8_t> labels_of(Stored stored) {
  Content in(stored);
  std::array<std::uint64_t, 1> sizes{};
  read_header(in, kLabels, sizes);
  return read_body(in, sizes);
}

}  // namespace

IdxImages read_idx_images(const std::filesystem::path& path) { return images_of(Stored(path)); }
std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& path) { return labels_of(Stored(path)); }
IdxImages parse_idx_images(std::span<const std::byte> bytes, const std::string& place) { return images_of(Stored(bytes, place)); }
std::vector<std::uint8_t> parse_idx_labels(std::span<const std::byte> bytes, const std::string& place) {
  return labels_of(Stored(bytes, place));
}

}  // namespace ffzero
