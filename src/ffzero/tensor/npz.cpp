// ZIP archives of .npy members, read and written without trusting a single length field.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/npz.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"

namespace ffzero {

static_assert(std::endian::native == std::endian::little, "the npz code copies little-endian numbers");

namespace {

using Type = NpyArray::Type;
using Bytes = std::span<const std::byte>;

constexpr const char* kRewrite = "write the file again with numpy.savez";
constexpr std::uint64_t kLimit = 0xFFFFFFFF;

// ---- element types ----------------------------------------------------------------------------------------------------------

struct TypeName {
  Type type;
  const char* descr;
  std::size_t bytes;
};
constexpr std::size_t kCodePoint = 4;  // bytes of a character in a text array
constexpr std::size_t kWidestText = std::size_t{1} << 16;
constexpr std::array<TypeName, 8> kTypes{{{Type::u8, "|u1", 1},
                                          {Type::i32, "<i4", 4},
                                          {Type::i64, "<i8", 8},
                                          {Type::f32, "<f4", 4},
                                          {Type::f64, "<f8", 8},
                                          {Type::c64, "<c8", 8},
                                          {Type::c128, "<c16", 16},
                                          {Type::boolean, "|b1", 1}}};

const TypeName& name_of(Type type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [type](const TypeName& t) { return t.type == type; });
}

std::size_t element_bytes(const NpyArray& a) { return a.type == Type::text ? kCodePoint * usize(a.width) : name_of(a.type).bytes; }

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Calls f with a pointer-free reader of element i, in the type in which it is stored. Complex: only the real part's type.
template <class F>
void with_elements(const NpyArray& a, F&& f) {
  const std::byte* data = a.bytes.data();
  const auto reader = [data]<class T>(T) { return [data](std::size_t i) { return load<T>(data + i * sizeof(T)); }; };
  switch (a.type) {
    case Type::u8:
      f(reader(std::uint8_t{}));
      break;
    case Type::boolean:
      f([data](std::size_t i) { return static_cast<std::uint8_t>(data[i] != std::byte{0}); });
      break;
    case Type::i32:
      f(reader(std::int32_t{}));
      break;
    case Type::i64:
      f(reader(std::int64_t{}));
      break;
    case Type::f32:
    case Type::c64:
      f(reader(float{}));
      break;
    case Type::f64:
    case Type::c128:
      f(reader(double{}));
      break;
    case Type::text:
      throw DataError("npz array", "must hold numbers", "text", "store numbers");
  }
}

template <class To, class From>
bool holds(From value) {
  if constexpr (std::is_floating_point_v<To>) {
    return true;
  } else if constexpr (std::is_floating_point_v<From>) {
    // Both bounds are powers of two or exact, so the comparison is exact; NaN fails it.
    const From low = static_cast<From>(std::numeric_limits<To>::min());
    const From above = std::ldexp(From{1}, std::numeric_limits<To>::digits);
    return value >= low && value < above && std::trunc(value) == value;
  } else {
    return std::in_range<To>(value);
  }
}

template <class T>
constexpr Type type_of() {
  if constexpr (std::is_same_v<T, float>)
    return Type::f32;
  else if constexpr (std::is_same_v<T, double>)
    return Type::f64;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return Type::i32;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return Type::i64;
  else
    return Type::u8;
}

// ---- .npy headers -----------------------------------------------------------------------------------------------------------

// Where we are reading, for messages: "data.npz: member 'x_train.npy'".
struct Place {
  std::string archive;
  std::string member;
  [[nodiscard]] std::string text() const { return archive + ": member '" + member + "'"; }
  [[noreturn]] void fail(std::string_view requirement, std::string_view value = {}, std::string_view remedy = kRewrite) const {
    throw DataError(text(), requirement, value, remedy);
  }
};

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  std::vector<Index> shape;
};

// Text of a file in a message: one line, printable, short.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) out += c >= ' ' && c < 127 ? c : '?';
  return text.size() > 40 ? out + "..." : out;
}
std::string in_quotes(std::string_view text) { return std::string("'").append(printable(text)).append("'"); }

// A reader of the one Python dictionary literal that the format allows.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const Place& place) : text_(text), place_(place) {}

  NpyHeader parse() {
    NpyHeader header;
    unsigned seen = 0;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr")
        header.descr = descr(), seen |= 1U;
      else if (key == "fortran_order")
        header.fortran_order = boolean(), seen |= 2U;
      else if (key == "shape")
        header.shape = tuple(), seen |= 4U;
      else
        bad();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (seen != 7U) bad();
    return header;
  }

 private:
  [[noreturn]] void bad() const {
    place_.fail("the .npy header must be a dictionary with descr, fortran_order and shape", in_quotes(text_));
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad();
  }
  bool accept(std::string_view word) {
    skip_blanks();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  std::string string() {
    skip_blanks();
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) bad();
    const std::size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) bad();
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  std::string descr() {
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '[')
      place_.fail("structured arrays are not read", in_quotes(text_), "save one plain array per field");
    return string();
  }
  bool boolean() {
    if (accept("True")) return true;
    if (accept("False")) return false;
    bad();
  }
  Index number() {
    skip_blanks();
    const std::size_t begin = at_;
    Index value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (value > std::numeric_limits<Index>::max() / 10 - 1) bad();
      value = value * 10 + (text_[at_] - '0');
    }
    if (at_ == begin) bad();
    accept('L');  // Python 2 wrote long integers like this.
    return value;
  }
  std::vector<Index> tuple() {
    std::vector<Index> shape;
    expect('(');
    while (!accept(')')) {
      shape.push_back(number());
      if (shape.size() > 32) bad();
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const Place& place_;
  std::size_t at_ = 0;
};

// What is stored, and what it becomes in memory.
struct Stored {
  std::size_t bytes;
  Type becomes;
  std::size_t width = 0;  // characters of a text
};

// "<U7" and "|S7" are texts of 7 characters.
std::optional<Stored> stored_text(const std::string& descr) {
  if (descr.size() < 3 || descr.size() > 8 || (!descr.starts_with("<U") && !descr.starts_with("|S"))) return {};
  std::size_t width = 0;
  for (const char c : descr.substr(2)) {
    if (c < '0' || c > '9') return {};
    width = 10 * width + static_cast<std::size_t>(c - '0');
  }
  if (width == 0 || width > kWidestText) return {};
  return Stored{descr[1] == 'U' ? kCodePoint * width : width, Type::text, width};
}

Stored stored_type(const std::string& descr, const Place& place) {
  for (const TypeName& t : kTypes)
    if (descr == t.descr || (t.bytes == 1 && descr.size() == 3 && descr.substr(1) == t.descr + 1)) return {t.bytes, t.type};
  if (const auto text = stored_text(descr)) return *text;
  if (descr == "|i1" || descr == "<i1") return {1, Type::i32};
  if (descr == "<i2" || descr == "<u2") return {2, Type::i32};
  if (descr == "<u4") return {4, Type::i64};
  if (!descr.empty() && descr.front() == '>')
    place.fail("numbers must be little-endian", "dtype " + in_quotes(descr), "convert with array.astype(array.dtype.newbyteorder('<'))");
  if (descr.size() > 1 && (descr[1] == 'U' || descr[1] == 'S' || descr[1] == 'O'))
    place.fail("elements must be numbers or texts of a fixed width", "dtype " + in_quotes(descr),
               "convert with array.astype(str), or store integer labels and numeric arrays only");
  place.fail("element type is not read", "dtype " + in_quotes(descr), "convert with array.astype('float32') or array.astype('int64')");
}

void widen(NpyArray& a, const std::string& descr) {
  const std::string kind = descr.substr(1);
  const auto convert = [&a]<class From, class To>(From, To) {
    const std::size_t count = a.bytes.size() / sizeof(From);
    std::vector<std::byte> wide(count * sizeof(To));
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = static_cast<To>(load<From>(a.bytes.data() + i * sizeof(From)));
      std::memcpy(wide.data() + i * sizeof(To), &value, sizeof value);
    }
    a.bytes = std::move(wide);
  };
  if (kind == "i1") convert(std::int8_t{}, std::int32_t{});
  if (kind == "i2") convert(std::int16_t{}, std::int32_t{});
  if (kind == "u2") convert(std::uint16_t{}, std::int32_t{});
  if (kind == "u4") convert(std::uint32_t{}, std::int64_t{});
  if (kind.front() == 'S') convert(std::uint8_t{}, std::uint32_t{});
}

// Number of elements, or nothing where the product does not fit.
bool element_count(const std::vector<Index>& shape, Index& count) {
  count = 1;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    count = 0;
    return true;
  }
  for (const Index d : shape) {
    if (d < 0 || count > std::numeric_limits<Index>::max() / 16 / d) return false;
    count *= d;
  }
  return true;
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (const Index d : shape) text += std::to_string(d) + ", ";
  if (!shape.empty()) text.erase(text.size() - (shape.size() == 1 ? 1 : 2));
  return text.append(")");
}

// Column-major elements of `size` bytes into row-major order.
void to_row_major(NpyArray& a, std::size_t size) {
  std::vector<std::byte> out(a.bytes.size());
  const std::size_t count = a.bytes.size() / size;
  std::vector<std::size_t> stride(a.shape.size(), 1), index(a.shape.size(), 0);
  for (std::size_t d = 1; d < a.shape.size(); ++d) stride[d] = stride[d - 1] * usize(a.shape[d - 1]);
  std::size_t from = 0;
  for (std::size_t to = 0; to < count; ++to) {
    std::memcpy(out.data() + to * size, a.bytes.data() + from * size, size);
    for (std::size_t d = a.shape.size(); d-- > 0;) {
      from += stride[d];
      if (++index[d] < usize(a.shape[d])) break;
      from -= stride[d] * index[d];
      index[d] = 0;
    }
  }
  a.bytes = std::move(out);
}

// A whole .npy file; the buffer becomes the array's.
NpyArray parse_npy(std::vector<std::byte> file, const Place& place) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  if (file.size() < 10 || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    place.fail("must begin with the magic bytes of a .npy file", std::to_string(file.size()) + " bytes of something else");
  const auto major = static_cast<unsigned>(file[6]);
  if (major < 1 || major > 3) place.fail("must have .npy format version 1, 2 or 3", "version " + std::to_string(major));
  const std::size_t fixed = major == 1 ? 10 : 12;
  if (file.size() < fixed) place.fail("is shorter than its header", std::to_string(file.size()) + " bytes");
  const std::size_t length = major == 1 ? load<std::uint16_t>(file.data() + 8) : load<std::uint32_t>(file.data() + 8);
  if (length > file.size() - fixed) place.fail("is shorter than its header", std::to_string(file.size()) + " bytes");

  const std::string text(reinterpret_cast<const char*>(file.data() + fixed), length);
  const NpyHeader header = HeaderParser(text, place).parse();
  const Stored stored = stored_type(header.descr, place);
  Index count = 0;
  const std::size_t payload = file.size() - fixed - length;
  if (!element_count(header.shape, count) || payload % stored.bytes != 0 || usize(count) != payload / stored.bytes)
    place.fail("data must be as long as the shape says",
               std::to_string(payload) + " bytes for shape " + shape_text(header.shape) + " of " + in_quotes(header.descr));
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(fixed + length));
  NpyArray array{stored.becomes, header.shape, std::move(file), isize(stored.width)};
  if (header.fortran_order && array.shape.size() > 1) to_row_major(array, stored.bytes);
  widen(array, header.descr);
  return array;
}

// ---- reading ZIP ------------------------------------------------------------------------------------------------------------

// Random access to an archive, so that a file is never held in memory beside its arrays.
struct Source {
  std::string place;
  std::uint64_t size = 0;
  std::function<void(std::uint64_t offset, std::span<std::byte> out)> read;  // caller has checked offset + size

  [[noreturn]] void fail(std::string_view requirement, std::string_view value = {}, std::string_view remedy = kRewrite) const {
    throw DataError(place, requirement, value, remedy);
  }
  [[nodiscard]] std::vector<std::byte> take(std::uint64_t offset, std::uint64_t count, std::string_view what) const {
    if (offset > size || count > size - offset)
      fail("is truncated or corrupt: " + std::string(what) + " must lie inside the file",
           "offset " + std::to_string(offset) + " + " + std::to_string(count) + " of " + std::to_string(size) + " bytes",
           "copy or write the file again");
    std::vector<std::byte> out(static_cast<std::size_t>(count));
    if (count > 0) read(offset, out);
    return out;
  }
};

struct Member {
  std::string name;
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0, unpacked = 0, offset = 0;
};

constexpr std::uint32_t kLocalMagic = 0x04034B50, kCentralMagic = 0x02014B50, kEndMagic = 0x06054B50;
constexpr std::size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22;

std::uint16_t u16(Bytes b, std::size_t at) { return load<std::uint16_t>(b.data() + at); }
std::uint32_t u32(Bytes b, std::size_t at) { return load<std::uint32_t>(b.data() + at); }

// The directory of members, found from the end of the file.
std::vector<std::byte> central_directory(const Source& in, std::size_t& members) {
  const std::uint64_t tail_size = std::min<std::uint64_t>(in.size, kEndSize + 0xFFFF);
  const auto tail = in.take(in.size - tail_size, tail_size, "the end");
  for (std::size_t at = tail.size() < kEndSize ? 0 : tail.size() - kEndSize + 1; at-- > 0;) {
    if (u32(tail, at) != kEndMagic || at + kEndSize + u16(tail, at + 20) != tail.size()) continue;
    members = u16(tail, at + 10);
    const std::uint32_t size = u32(tail, at + 12), offset = u32(tail, at + 16);
    if (members == 0xFFFF || size == kLimit || offset == kLimit)
      in.fail("zip64 archives are not read", {}, "split the data: at most 4 GiB a file");
    if (u16(tail, at + 4) != 0 || u16(tail, at + 8) != members) in.fail("must be an archive in one piece");
    return in.take(offset, size, "the directory");
  }
  in.fail("must be a .npz archive (a ZIP file)", std::to_string(in.size) + " bytes without a ZIP directory",
          "check that the file is complete and was written with numpy.savez");
}

std::vector<Member> list_members(const Source& in) {
  std::size_t count = 0;
  const auto directory = central_directory(in, count);
  std::vector<Member> members;
  std::size_t at = 0;
  std::uint64_t packed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (directory.size() - at < kCentralSize || u32(directory, at) != kCentralMagic) in.fail("has a corrupt directory");
    const std::size_t name = u16(directory, at + 28), rest = std::size_t{u16(directory, at + 30)} + u16(directory, at + 32);
    if (directory.size() - at - kCentralSize < name + rest) in.fail("has a corrupt directory");
    Member m;
    m.name.assign(reinterpret_cast<const char*>(directory.data() + at + kCentralSize), name);
    m.flags = u16(directory, at + 8);
    m.method = u16(directory, at + 10);
    m.crc = u32(directory, at + 16);
    m.packed = u32(directory, at + 20);
    m.unpacked = u32(directory, at + 24);
    m.offset = u32(directory, at + 42);
    packed += m.packed;
    members.push_back(std::move(m));
    at += kCentralSize + name + rest;
  }
  // Members that share bytes are how a small file claims a huge content.
  if (packed > in.size) in.fail("is corrupt: its members overlap");
  return members;
}

// Closes a zlib stream however the scope is left.
template <int (*End)(z_streamp)>
struct Stream : z_stream {
  Stream() : z_stream{} {}
  ~Stream() { End(this); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

// Continues the checksum `crc`. zlib starts anew when it is given no memory, which an empty array has.
std::uint32_t crc_of(Bytes data, std::uint32_t crc) {
  return data.empty() ? crc : static_cast<std::uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

std::vector<std::byte> inflate_member(const Source& in, const Member& m, std::uint64_t offset, const Place& place) {
  constexpr std::uint64_t kChunk = 1U << 16, kHighestRatio = 1032;
  if (m.unpacked / kHighestRatio > m.packed)
    place.fail("is corrupt: no deflated data grows that much", std::to_string(m.unpacked) + " bytes");
  std::vector<std::byte> out(static_cast<std::size_t>(m.unpacked));
  std::byte none{};
  Stream<inflateEnd> z;
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  z.next_out = reinterpret_cast<Bytef*>(out.empty() ? &none : out.data());
  z.avail_out = static_cast<uInt>(out.size());
  int state = Z_OK;
  for (std::uint64_t done = 0; done < m.packed && state == Z_OK;) {
    auto chunk = in.take(offset + done, std::min(kChunk, m.packed - done), "a member");
    done += chunk.size();
    z.next_in = reinterpret_cast<Bytef*>(chunk.data());
    z.avail_in = static_cast<uInt>(chunk.size());
    state = inflate(&z, Z_NO_FLUSH);
  }
  if (state != Z_STREAM_END || z.avail_out != 0)
    place.fail("deflated data are corrupt or truncated", z.msg != nullptr ? z.msg : "wrong length", "copy or write the file again");
  return out;
}

std::vector<std::byte> read_member(const Source& in, const Member& m, const Place& place) {
  if ((m.flags & 1U) != 0) place.fail("encrypted members are not read");
  if (m.packed == kLimit || m.unpacked == kLimit || m.offset == kLimit)
    place.fail("zip64 members are not read", {}, "at most 4 GiB a file");
  if (m.method != 0 && m.method != 8) place.fail("must be stored or deflated", "ZIP method " + std::to_string(m.method));
  const auto local = in.take(m.offset, kLocalSize, "a member's header");
  if (u32(local, 0) != kLocalMagic) place.fail("has a corrupt header");
  const std::uint64_t offset = m.offset + kLocalSize + u16(local, 26) + u16(local, 28);
  if (m.method == 0 && m.packed != m.unpacked) place.fail("has a corrupt directory entry: stored sizes must agree");
  auto content = m.method == 0 ? in.take(offset, m.packed, "a member") : inflate_member(in, m, offset, place);
  if (crc_of(content, 0) != m.crc) place.fail("is corrupt: its checksum must agree with its content", {}, "copy or write the file again");
  return content;
}

NpzArchive read_archive(const Source& in) {
  constexpr std::string_view kSuffix = ".npy";
  NpzArchive arrays;
  for (const Member& m : list_members(in)) {
    if (!m.name.ends_with(kSuffix)) continue;
    const Place place{in.place, printable(m.name)};
    const std::string name = m.name.substr(0, m.name.size() - kSuffix.size());
    if (arrays.contains(name)) place.fail("names must differ: two members have this one");
    arrays.emplace(name, parse_npy(read_member(in, m, place), place));
  }
  return arrays;
}

// ---- writing ZIP ------------------------------------------------------------------------------------------------------------

void put16(std::string& out, std::uint64_t v) {
  for (int shift = 0; shift < 16; shift += 8) out += static_cast<char>((v >> shift) & 0xFFU);
}
void put32(std::string& out, std::uint64_t v) {
  put16(out, v & 0xFFFFU);
  put16(out, v >> 16);
}

std::string npy_header(const NpyArray& a) {
  const std::string descr = a.type == Type::text ? "<U" + std::to_string(a.width) : name_of(a.type).descr;
  std::string text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape_text(a.shape) + ", }";
  text.append(63 - (10 + text.size()) % 64, ' ').push_back('\n');  // data begin at a multiple of 64
  std::string out = "\x93NUMPY";
  out += '\1';
  out += '\0';
  put16(out, text.size());
  return out + text;
}

std::string deflated(const std::string& head, std::span<const std::byte> bytes) {
  Stream<deflateEnd> z;
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(deflateBound(&z, static_cast<uLong>(head.size() + bytes.size())), '\0');
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const auto feed = [&z](const void* data, std::size_t size, int flush) {
    z.next_in = static_cast<Bytef*>(const_cast<void*>(data));  // zlib's interface predates const
    z.avail_in = static_cast<uInt>(size);
    deflate(&z, flush);
  };
  feed(head.data(), head.size(), Z_NO_FLUSH);
  feed(bytes.data(), bytes.size(), Z_FINISH);
  out.resize(z.total_out);
  return out;
}

// Measured numbers, such as scores, shrink by less than a tenth and take nearly all of the time: the first bytes of a large array tell.
bool shrinks(std::span<const std::byte> bytes) {
  constexpr std::size_t kProbe = 65536;
  return bytes.size() < 4 * kProbe || deflated({}, bytes.first(kProbe)).size() < kProbe * 7 / 8;
}

// The fields that the local header and the directory entry share.
void put_common(std::string& out, const Member& m) {
  put16(out, 20);  // version of ZIP needed
  put16(out, m.flags);
  put16(out, m.method);
  put16(out, 0);     // 00:00
  put16(out, 0x21);  // 1980-01-01: the same arrays make the same file
  put32(out, m.crc);
  put32(out, m.packed);
  put32(out, m.unpacked);
  put16(out, m.name.size());
  put16(out, 0);  // no extra field
}

void put_directory_entry(std::string& out, const Member& m) {
  put32(out, kCentralMagic);
  put16(out, 20);
  put_common(out, m);
  put16(out, 0);  // no comment
  put16(out, 0);  // disk 0
  put16(out, 0);
  put32(out, 0);
  put32(out, m.offset);
  out += m.name;
}

Member put_member(std::string& out, const std::string& name, const NpyArray& a, bool compress) {
  const std::string head = npy_header(a);
  Member m;
  m.name = name + ".npy";
  const bool ascii = std::all_of(name.begin(), name.end(), [](char c) { return c >= 0; });
  m.flags = ascii ? 0 : 0x800;
  m.offset = out.size();
  m.unpacked = head.size() + a.bytes.size();
  m.crc = crc_of(a.bytes, crc_of(std::as_bytes(std::span(head)), 0));
  const bool tried = compress && shrinks(a.bytes);
  const std::string packed = tried ? deflated(head, a.bytes) : std::string();
  m.method = tried && packed.size() < m.unpacked ? 8 : 0;
  m.packed = m.method == 8 ? packed.size() : m.unpacked;
  put32(out, kLocalMagic);
  put_common(out, m);
  out += m.name;
  if (m.method == 8)
    out += packed;
  else
    out.append(head).append(reinterpret_cast<const char*>(a.bytes.data()), a.bytes.size());
  return m;
}

void require_fits(const NpzArchive& arrays, const std::string& place) {
  std::uint64_t total = 0;
  for (const auto& [name, a] : arrays) total += a.bytes.size() + 2 * name.size() + 1024;
  if (total >= kLimit)
    throw OutputError(place, "an .npz archive holds at most 4 GiB", std::to_string(total) + " bytes", "use a smaller model or data set");
  if (arrays.size() >= 0xFFFF) throw OutputError(place, "an .npz archive holds at most 65534 arrays", std::to_string(arrays.size()));
  for (const auto& [name, a] : arrays) {
    Index count = 0;
    if (!element_count(a.shape, count) || (a.type == Type::text && a.width < 1) || usize(count) * element_bytes(a) != a.bytes.size())
      throw ShapeError("npz array '" + name + "'", "bytes must agree with shape and type", shape_text(a.shape));
  }
}

std::string archive_bytes(const NpzArchive& arrays, bool compress, const std::string& place) {
  require_fits(arrays, place);
  std::string out, directory;
  std::size_t total = kEndSize;
  for (const auto& [name, a] : arrays) total += a.bytes.size() + 2 * name.size() + 1024;
  if (!compress) out.reserve(total);
  for (const auto& [name, a] : arrays) put_directory_entry(directory, put_member(out, name, a, compress));
  const std::uint64_t offset = out.size();
  out += directory;
  put32(out, kEndMagic);
  put32(out, 0);  // disks
  put16(out, arrays.size());
  put16(out, arrays.size());
  put32(out, directory.size());
  put32(out, offset);
  put16(out, 0);
  return out;
}

}  // namespace

// ---- public -----------------------------------------------------------------------------------------------------------------

Index NpyArray::size() const noexcept { return isize(bytes.size() / std::max<std::size_t>(1, element_bytes(*this))); }

std::vector<std::string> NpyArray::to_texts() const {
  if (type != Type::text) throw DataError("npz array", "must hold texts", "numbers");
  std::vector<std::string> out(usize(size()));
  for (std::size_t i = 0; i < out.size(); ++i)
    for (std::size_t k = 0; k < usize(width); ++k) {
      const auto c = load<std::uint32_t>(bytes.data() + kCodePoint * (i * usize(width) + k));
      if (c == 0) break;
      if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        throw DataError("npz array", "texts must be Unicode", std::to_string(c) + " at index " + std::to_string(i),
                        "convert the array before saving it");
      const auto tail = [&](unsigned shift) { out[i] += static_cast<char>(0x80U | (c >> shift & 0x3FU)); };
      if (c < 0x80) {
        out[i] += static_cast<char>(c);
      } else if (c < 0x800) {
        out[i] += static_cast<char>(0xC0U | c >> 6U);
        tail(0);
      } else if (c < 0x10000) {
        out[i] += static_cast<char>(0xE0U | c >> 12U);
        tail(6);
        tail(0);
      } else {
        out[i] += static_cast<char>(0xF0U | c >> 18U);
        tail(12);
        tail(6);
        tail(0);
      }
    }
  return out;
}

template <class T>
std::vector<T> NpyArray::to() const {
  if (is_complex()) throw DataError("npz array", "must hold real numbers", "complex ones", "use their real and imaginary parts");
  std::vector<T> out(usize(size()));
  with_elements(*this, [&out](const auto& element) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto value = element(i);
      if (!holds<T>(value))
        throw DataError("npz array", "values must be whole numbers in range", std::to_string(value) + " at index " + std::to_string(i),
                        "convert the array before saving it");
      out[i] = static_cast<T>(value);
    }
  });
  return out;
}

std::vector<double> NpyArray::to_complex_pairs() const {
  std::vector<double> out(usize(2 * size()));
  const std::size_t parts = is_complex() ? 1 : 2;
  with_elements(*this, [&](const auto& element) {
    for (std::size_t i = 0; i < out.size(); i += parts) out[i] = static_cast<double>(element(i / parts));
  });
  return out;
}

template <class T>
NpyArray NpyArray::of(std::span<const T> values, std::vector<Index> shape) {
  Index count = 0;
  if (!element_count(shape, count) || usize(count) != values.size())
    throw ShapeError("npz array", "shape must have as many elements as there are values",
                     shape_text(shape) + " for " + std::to_string(values.size()));
  const auto raw = std::as_bytes(values);
  return {type_of<T>(), std::move(shape), {raw.begin(), raw.end()}, 0};
}

NpzArchive parse_npz(std::span<const std::byte> bytes, const std::string& place) {
  return read_archive({place, bytes.size(), [bytes](std::uint64_t offset, std::span<std::byte> out) {
                         std::memcpy(out.data(), bytes.data() + offset, out.size());
                       }});
}

NpzArchive read_npz(const std::filesystem::path& path) {
  const std::string place = path.string();
  std::error_code code;
  if (!std::filesystem::is_regular_file(path, code))
    throw DataError(place, "must be a .npz file", std::filesystem::exists(path, code) ? "a folder or device" : "no such file",
                    "check the path");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw DataError(place, "must be readable", std::strerror(errno), "check its permissions");
  const auto size = static_cast<std::uint64_t>(file.tellg());
  return read_archive({place, size, [&file, &place](std::uint64_t offset, std::span<std::byte> out) {
                         file.seekg(static_cast<std::streamoff>(offset));
                         if (!file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size())))
                           throw DataError(place, "cannot be read to its end", std::strerror(errno), "copy the file again");
                       }});
}

std::string npz_bytes(const NpzArchive& arrays, bool compress) { return archive_bytes(arrays, compress, "npz archive"); }

void write_npz(const std::filesystem::path& path, const NpzArchive& arrays, bool compress) {
  write_file_atomically(path, archive_bytes(arrays, compress, path.string()));
}

template std::vector<float> NpyArray::to<float>() const;
template std::vector<double> NpyArray::to<double>() const;
template std::vector<std::int32_t> NpyArray::to<std::int32_t>() const;
template std::vector<std::int64_t> NpyArray::to<std::int64_t>() const;
template std::vector<std::uint8_t> NpyArray::to<std::uint8_t>() const;
template NpyArray NpyArray::of<float>(std::span<const float>, std::vector<Index>);
template NpyArray NpyArray::of<double>(std::span<const double>, std::vector<Index>);
template NpyArray NpyArray::of<std::int32_t>(std::span<const std::int32_t>, std::vector<Index>);
template NpyArray NpyArray::of<std::int64_t>(std::span<const std::int64_t>, std::vector<Index>);
template NpyArray NpyArray::of<std::uint8_t>(std::span<const std::uint8_t>, std::vector<Index>);

}  // namespace ffzero
