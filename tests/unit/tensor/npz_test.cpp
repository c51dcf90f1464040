// npz archives: against NumPy's own files, against damage, and against themselves.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/npz.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "support/expect_error.hpp"
#include "support/project_folder.hpp"
#include "support/property.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero {
namespace {

using Type = NpyArray::Type;

std::filesystem::path fixture(const std::string& name) { return test::project_folder() / "tests/unit/tensor/fixtures" / name; }

NpzArchive parse(const std::string& bytes) { return parse_npz(std::as_bytes(std::span(bytes)), "some.npz"); }

NpyArray floats(std::vector<float> values) {
  const Index n = isize(values.size());
  return NpyArray::of<float>(values, {n});
}

void append(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFFU);
}

struct Raw {
  std::string name = "x.npy";
  std::string content;
  unsigned method = 0;
  unsigned flags = 0;
};

// A ZIP archive of one stored member, written independently of the library.
std::string zip(const Raw& member) {
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(member.content.data()), static_cast<uInt>(member.content.size()));
  const auto common = [&](std::string& out) {
    append(out, 20, 2), append(out, member.flags, 2), append(out, member.method, 2), append(out, 0, 4), append(out, crc, 4);
    append(out, member.content.size(), 4), append(out, member.content.size(), 4), append(out, member.name.size(), 2), append(out, 0, 2);
  };
  std::string out = "PK\3\4";
  common(out);
  out += member.name + member.content;
  const std::size_t directory = out.size();
  out += "PK\1\2";
  append(out, 20, 2);
  common(out);
  out.append(14, '\0');
  out += member.name;
  const std::size_t end = out.size();
  out += "PK\5\6";
  append(out, 0, 4), append(out, 1, 2), append(out, 1, 2), append(out, end - directory, 4), append(out, directory, 4), append(out, 0, 2);
  return out;
}

// A .npy file with this header text and these data.
std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  append(out, header.size(), version == 1 ? 2 : 4);
  return out + header + data;
}

std::string refusal(const Raw& member) {
  return test::message_of<DataError>([&] { (void)parse(zip(member)); });
}
std::string refusal_of_header(const std::string& header, const std::string& data = std::string(8, '\0')) {
  return refusal({.content = npy(header, data)});
}

class NumPyArchive : public testing::TestWithParam<const char*> {};

TEST_P(NumPyArchive, HoldsWhatNumPyWrote) {
  const NpzArchive a = read_npz(fixture(GetParam()));
  EXPECT_EQ(a.size(), 13U);
  EXPECT_EQ(a.at("u8").to<std::uint8_t>(), (std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(a.at("u8").shape, (std::vector<Index>{2, 3}));
  EXPECT_EQ(a.at("i32").to<std::int32_t>(), (std::vector<std::int32_t>{-1, 2}));
  EXPECT_EQ(a.at("i64").to<std::int64_t>(), (std::vector<std::int64_t>{7}));
  EXPECT_TRUE(a.at("i64").shape.empty());
  EXPECT_EQ(a.at("f32").to<float>(), std::vector<float>(4, 1.0F));
  std::vector<double> ascending(24);
  std::iota(ascending.begin(), ascending.end(), 0.0);
  EXPECT_EQ(a.at("f64").to<double>(), ascending) << "Fortran order must be converted";
  EXPECT_EQ(a.at("f64").shape, (std::vector<Index>{2, 3, 4}));
  EXPECT_EQ(a.at("c64").to_complex_pairs(), (std::vector<double>{1, 2}));
  EXPECT_EQ(a.at("c128").to_complex_pairs(), (std::vector<double>{1, 2}));
  EXPECT_EQ(a.at("b").to<std::int32_t>(), (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(a.at("i1").to<std::int32_t>(), (std::vector<std::int32_t>{-5}));
  EXPECT_EQ(a.at("i2").to<std::int32_t>(), (std::vector<std::int32_t>{-3}));
  EXPECT_EQ(a.at("u2").to<std::int32_t>(), (std::vector<std::int32_t>{65535}));
  EXPECT_EQ(a.at("u4").to<std::int64_t>(), (std::vector<std::int64_t>{4'000'000'000}));
  EXPECT_EQ(a.at("empty").shape, (std::vector<Index>{0, 3}));
}

INSTANTIATE_TEST_SUITE_P(BothWays, NumPyArchive, testing::Values("numpy_stored.npz", "numpy_deflated.npz"),
                         [](const auto& suite) { return std::string(suite.param).substr(6, 6); });

TEST(Npz, WritesTheHeaderThatTheFormatDescribes) {
  const std::string bytes = npz_bytes({{"a", NpyArray::of<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3})}});
  const std::size_t member = bytes.find("\x93NUMPY");
  ASSERT_NE(member, std::string::npos);
  EXPECT_EQ(bytes.substr(30, 5), "a.npy");
  EXPECT_EQ(bytes.substr(member + 6, 2), std::string("\1\0", 2));
  EXPECT_EQ(bytes.substr(member + 10, 59), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
  const std::size_t length = static_cast<unsigned char>(bytes[member + 8]);
  EXPECT_EQ((10 + length) % 64, 0U);
  EXPECT_EQ(bytes[member + 10 + length - 1], '\n');
}

TEST(Npz, WritesTheSameBytesForTheSameArrays) {
  const NpzArchive a{{"w", floats({1, 2, 3})}, {"b", floats({})}};
  EXPECT_EQ(npz_bytes(a, true), npz_bytes(a, true));
  EXPECT_EQ(npz_bytes(a), npz_bytes(a));
}

TEST(Npz, DeflatesOnlyWhatGetsSmaller) {
  const std::vector<float> same(1000, 1.0F);
  const NpzArchive a{{"x", NpyArray::of<float>(same, {1000})}};
  EXPECT_LT(npz_bytes(a, true).size(), 500U);
  EXPECT_GT(npz_bytes(a, false).size(), 4000U);
  EXPECT_EQ(parse(npz_bytes(a, true)).at("x").to<float>(), same);
}

TEST(Npz, StoresLargeArraysThatHardlyShrink) {
  std::vector<float> noise(80000), same(80000, 1.0F);
  RandomStream(3, Stream::test).fill_normal(noise);
  const NpzArchive scores{{"x", NpyArray::of<float>(noise, {80000})}};
  EXPECT_EQ(npz_bytes(scores, true), npz_bytes(scores, false));
  const NpzArchive constant{{"x", NpyArray::of<float>(same, {80000})}};
  EXPECT_LT(npz_bytes(constant, true).size(), 2000U);
  EXPECT_EQ(parse(npz_bytes(constant, true)).at("x").to<float>(), same);
}

TEST(Npz, ComesBackFromAFile) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a.npz";
  const NpzArchive a{{"weights", floats({1, -2})}, {"gr\u00fc\u00dfe", floats({3})}};
  write_npz(path, a);
  EXPECT_EQ(test::read_file(path), npz_bytes(a));
  EXPECT_TRUE(read_npz(path) == a);
  EXPECT_TRUE(parse(npz_bytes({})).empty());
}

TEST(Npz, RoundTripsAnyArrays) {
  test::expect_property("read(write(a)) is a", [] {
    NpzArchive a;
    const int arrays = *rc::gen::inRange(0, 4);
    for (int i = 0; i < arrays; ++i) {
      const auto shape = *rc::gen::container<std::vector<Index>>(*rc::gen::inRange<std::size_t>(0, 5), rc::gen::inRange<Index>(0, 6));
      Index count = 1;
      for (const Index d : shape) count *= d;
      const auto type = *rc::gen::element(Type::u8, Type::i32, Type::i64, Type::f32, Type::f64, Type::c64, Type::c128, Type::boolean);
      constexpr std::size_t kWidth[] = {1, 4, 8, 4, 8, 8, 16, 1};
      NpyArray array{type, shape, std::vector<std::byte>(usize(count) * kWidth[static_cast<int>(type)])};
      std::vector<std::uint32_t> words(array.bytes.size());
      RandomStream(*rc::gen::arbitrary<std::uint64_t>(), Stream::test).fill_bits(words);
      const std::uint32_t values = type == Type::boolean ? 2 : 256;
      for (std::size_t b = 0; b < words.size(); ++b) array.bytes[b] = static_cast<std::byte>(words[b] % values);
      a["array" + std::to_string(i)] = array;
    }
    RC_ASSERT(parse(npz_bytes(a, *rc::gen::arbitrary<bool>())) == a);
  });
}

TEST(Npz, RefusesATruncatedArchiveAtEveryLength) {
  for (const char* name : {"numpy_stored.npz", "numpy_deflated.npz"}) {
    const std::string whole = test::read_file(fixture(name));
    for (std::size_t length = 0; length < whole.size(); ++length)
      EXPECT_THROW((void)parse(whole.substr(0, length)), DataError) << name << " cut to " << length;
  }
}

TEST(Npz, SurvivesDamageToAnyByteWithoutWrongNumbers) {
  for (const char* name : {"numpy_stored.npz", "numpy_deflated.npz"}) {
    const std::string whole = test::read_file(fixture(name));
    const NpzArchive intact = parse(whole);
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (const int mask : {0x01, 0x80, 0xFF}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ mask);
        try {
          for (const auto& [key, array] : parse(damaged)) {
            if (!intact.contains(key)) continue;
            EXPECT_TRUE(array == intact.at(key)) << name << ": byte " << at << " damages " << key;
          }
        } catch (const DataError&) {
        }
      }
  }
}

TEST(Npz, NamesPathMemberReasonAndRemedy) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  const std::string again = "; write the file again with numpy.savez";
  EXPECT_EQ(
      refusal_of_header("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"),
      "some.npz: member 'x.npy': numbers must be little-endian; got dtype '>f4'; convert with array.astype(array.dtype.newbyteorder('<'))");
  for (const char* descr : {"|O", "<U0", "<U", "<U99999", "<Ux"})
    EXPECT_EQ(refusal_of_header("{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (1,), }"),
              "some.npz: member 'x.npy': elements must be numbers or texts of a fixed width; got dtype '" + std::string(descr) +
                  "'; convert with array.astype(str), or store integer labels and numeric arrays only");
  EXPECT_EQ(
      refusal_of_header("{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }"),
      "some.npz: member 'x.npy': element type is not read; got dtype '<f2'; convert with array.astype('float32') or array.astype('int64')");
  EXPECT_EQ(refusal_of_header(good, "12345"),
            "some.npz: member 'x.npy': data must be as long as the shape says; got 5 bytes for shape (2,) of '<f4'" + again);
  EXPECT_EQ(refusal({.content = npy(good, std::string(8, '\0'), 4)}),
            "some.npz: member 'x.npy': must have .npy format version 1, 2 or 3; got version 4" + again);
  EXPECT_EQ(refusal({.content = "hello, world"}),
            "some.npz: member 'x.npy': must begin with the magic bytes of a .npy file; got 12 bytes of something else" + again);
  EXPECT_EQ(refusal({.content = npy(good, std::string(8, '\0')), .flags = 1}),
            "some.npz: member 'x.npy': encrypted members are not read" + again);
  EXPECT_EQ(refusal({.content = npy(good, std::string(8, '\0')), .method = 12}),
            "some.npz: member 'x.npy': must be stored or deflated; got ZIP method 12" + again);
  EXPECT_EQ(test::message_of<DataError>([] { (void)parse("x,y\n1,2\n"); }),
            "some.npz: must be a .npz archive (a ZIP file); got 8 bytes without a ZIP directory; check that the file is complete and was "
            "written with "
            "numpy.savez");
  EXPECT_EQ(test::message_of<DataError>([] { (void)read_npz("no/such.npz"); }),
            "no/such.npz: must be a .npz file; got no such file; check the path");
}

TEST(Npz, RefusesMalformedHeaders) {
  for (const char* header :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", "{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2)}",
        "{'descr': '', 'fortran_order': False, 'shape': (2,)}"})
    EXPECT_NE(refusal_of_header(header), "") << header;
}

TEST(Npz, SurvivesDamageToAHeaderWhoseChecksumIsRight) {
  const std::string good = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }", std::string(8, '\0'));
  for (std::size_t at = 0; at < good.size() - 8; ++at)
    for (int value = 0; value < 256; ++value) {
      std::string damaged = good;
      damaged[at] = static_cast<char>(value);
      try {
        const NpyArray x = parse(zip({.content = damaged})).at("x");
        EXPECT_LE(x.bytes.size(), 16U) << at << ", " << value;
      } catch (const DataError&) {
      }
    }
}

TEST(Npz, ReadsHeadersOfAllThreeVersions) {
  for (const int version : {1, 2, 3}) {
    const auto a = parse(zip({.content = npy("{'shape':(2L,) ,\"fortran_order\": False,'descr' : '|u1'}\n", "\x05\x06", version)}));
    EXPECT_EQ(a.at("x").to<std::uint8_t>(), (std::vector<std::uint8_t>{5, 6})) << version;
  }
}

TEST(Npz, ReadsTexts) {
  const std::string wide(
      "n\0\0\0"
      "o\0\0\0"
      "\xE9\0\0\0"
      "\0\0\0\0",
      16);
  const NpzArchive a = parse(zip({.content = npy("{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", wide)}));
  EXPECT_EQ(a.at("x").to_texts(), (std::vector<std::string>{"no", "\xC3\xA9"}));
  EXPECT_EQ(a.at("x").size(), 2);
  EXPECT_EQ(parse(npz_bytes(a)), a);
  const NpzArchive narrow =
      parse(zip({.content = npy("{'descr': '|S3', 'fortran_order': False, 'shape': (2,), }", std::string("ab\0cde", 6))}));
  EXPECT_EQ(narrow.at("x").to_texts(), (std::vector<std::string>{"ab", "cde"}));
  EXPECT_EQ(test::message_of<DataError>([&] { (void)a.at("x").to<double>(); }), "npz array: must hold numbers; got text; store numbers");
  EXPECT_EQ(test::message_of<DataError>([] { (void)NpyArray::of<float>(std::vector<float>{1}, {1}).to_texts(); }),
            "npz array: must hold texts; got numbers");
  const std::string half("\0\xD8\0\0", 4);
  const NpzArchive bad = parse(zip({.content = npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", half)}));
  EXPECT_THROW((void)bad.at("x").to_texts(), DataError);
}

TEST(Npz, PassesOverMembersThatAreNoArrays) { EXPECT_TRUE(parse(zip({.name = "notes.txt", .content = "hello"})).empty()); }

TEST(NpyArray, RefusesNumbersThatTheTargetTypeCannotHold) {
  const auto message = [](const auto& action) { return test::message_of<DataError>(action); };
  const std::string head = "npz array: values must be whole numbers in range; got ";
  const std::string tail = "; convert the array before saving it";
  EXPECT_EQ(message([] { (void)floats({1, 2.5F}).to<std::int32_t>(); }), head + "2.500000 at index 1" + tail);
  EXPECT_EQ(message([] { (void)floats({3e9F}).to<std::int32_t>(); }), head + "3000000000.000000 at index 0" + tail);
  EXPECT_EQ(message([] { (void)floats({std::nanf("")}).to<std::int64_t>(); }), head + "nan at index 0" + tail);
  EXPECT_EQ(message([] { (void)NpyArray::of<std::int64_t>(std::vector<std::int64_t>{300}, {1}).to<std::uint8_t>(); }),
            head + "300 at index 0" + tail);
  EXPECT_EQ(floats({-2147483648.0F}).to<std::int32_t>(), (std::vector<std::int32_t>{std::numeric_limits<std::int32_t>::min()}));
  const NpyArray complex{Type::c64, {1}, std::vector<std::byte>(8)};
  EXPECT_THROW((void)complex.to<float>(), DataError);
  EXPECT_THROW((void)NpyArray::of<float>(std::vector<float>{1, 2}, {3}), ShapeError);
}

}  // namespace
}  // namespace ffzero
