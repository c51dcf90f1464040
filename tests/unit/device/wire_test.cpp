// Words of an address, numbers, checksums, lines and answers.
// SPDX-License-Identifier: MIT
#include "ffzero/device/wire.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "ffzero/base/parameter_range.hpp"
#include "ffzero/device/address.hpp"
#include "ffzero/device/text.hpp"
#include "support/expect_error.hpp"

namespace ffzero {
namespace {

using Words = std::vector<std::string>;

TEST(DeviceAddress, SplitsWordsAsAPosixShell) {
  EXPECT_EQ(split_words("python3 'my bench.py'  --port 3", "x"), (Words{"python3", "my bench.py", "--port", "3"}));
  EXPECT_EQ(split_words(R"(a"b c"'d e'f)", "x"), (Words{"ab cd ef"}));
  EXPECT_EQ(split_words(R"("\"\\\$\x" \n '\n' "" #)", "x"), (Words{R"("\$\x)", "n", "\\n", "", "#"}));
  EXPECT_EQ(split_words("$HOME *", "x"), (Words{"$HOME", "*"}));
  EXPECT_EQ(test::message_of<UsageError>([] { (void)split_words("a 'b", "x"); }), "x: a quote is open at the end; got '; close it");
  EXPECT_NE(test::message_of<UsageError>([] { (void)split_words("a\\", "x"); }).find("backslash"), std::string::npos);
}

TEST(DeviceAddress, KnowsFourKinds) {
  EXPECT_EQ(parse_device_address("exec:a b").words, (Words{"a", "b"}));
  EXPECT_EQ(parse_device_address("tcp:[::1]:80").host, "::1");
  EXPECT_EQ(parse_device_address("tcp:lab:5555").port, "5555");
  EXPECT_EQ(parse_device_address("unix:/run/a b").path, "/run/a b");
  EXPECT_EQ(parse_device_address("serial:/dev/ttyACM0").baud, 115200);
  EXPECT_EQ(parse_device_address("serial:/dev/ttyACM0?baud=9600").baud, 9600);
}

TEST(DeviceAddress, RefusesInOneLine) {
  for (const char* bad : {"", "exec:", "exec:''", "tcp:host", "tcp::1", "tcp:h:65536", "tcp:h:-1", "tcp:a:b:3", "unix:", "serial:",
                          "serial:/dev/x?speed=3", "serial:/dev/x?baud=0", "http://x", "python3 bench.py", "exec:\x1b[31m'"}) {
    const std::string message = test::message_of<UsageError>([&] { (void)parse_device_address(bad); });
    EXPECT_NE(message.find("device address"), std::string::npos) << bad;
    EXPECT_EQ(message.find_first_of("\n\x1b"), std::string::npos) << bad;
  }
}

TEST(WireNumber, SurvivesTheWayInEveryBit) {
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(value)) continue;
    std::string text;
    append_number(text, value);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(*parse_number(text)), std::bit_cast<std::uint32_t>(value)) << text;
  }
}

TEST(WireNumber, ReadsWhatDevicesWrite) {
  EXPECT_EQ(parse_number("+1.5e-3"), 1.5e-3F);
  EXPECT_TRUE(std::isnan(*parse_number("NaN")));
  EXPECT_EQ(parse_number("-INF"), -HUGE_VALF);
  EXPECT_EQ(parse_number("1e-60"), 0.0F);
  EXPECT_EQ(parse_number("-1e60"), -HUGE_VALF);
  for (const char* bad : {"", "+", "1,5", "0x10", "1.5V", "--1", "+-1", "one"}) EXPECT_FALSE(parse_number(bad)) << bad;
}

TEST(WireChecksum, IsThatOfThePage) {
  EXPECT_EQ(crc16("123456789"), 0x29B1);
  EXPECT_EQ(crc32_of("123456789"), 0xCBF43926U);
  std::string line = "3 ok";
  end_line(line, 0, true);
  std::string_view text = std::string_view(line).substr(0, line.size() - 1);
  EXPECT_EQ(take_checksum(text), Checksum::right);
  EXPECT_EQ(text, "3 ok");
  line[2] = 'O';
  text = std::string_view(line).substr(0, line.size() - 1);
  EXPECT_EQ(take_checksum(text), Checksum::wrong);
}

TEST(WireValues, NeverPassLinemax) {
  const std::vector<float> values(300, -1.17549435e-38F);
  for (const std::size_t linemax : {64U, 100U, 255U, 4096U})
    for (const bool checksum : {false, true}) {
      std::string out;
      append_values(out, "2147483647 row", values, linemax, checksum);
      std::size_t count = 0, begin = 0;
      for (auto end = out.find('\n'); end != std::string::npos; begin = end + 1, end = out.find('\n', begin)) {
        EXPECT_LE(end + 1 - begin, linemax);
        std::string_view line = std::string_view(out).substr(begin, end - begin);
        EXPECT_EQ(take_checksum(line), checksum ? Checksum::right : Checksum::absent);
        for (auto token = next_token(line); !token.empty(); token = next_token(line)) count += parse_number(token) == values[0] ? 1 : 0;
      }
      EXPECT_EQ(count, values.size());
    }
}

std::vector<std::string> decoded(const std::string& bytes, std::size_t piece, bool checksums = false) {
  std::vector<std::string> found;
  AnswerDecoder decoder([&](std::string_view line) { found.push_back("stray " + std::string(line)); });
  decoder.expect_checksums(checksums);
  decoder.set_largest_payload(16);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    decoder.feed(std::string_view(bytes).substr(at, piece));
    WireAnswer answer;
    while (decoder.next(answer)) {
      const char* kinds[] = {"line", "data", "damaged", "lost"};
      found.push_back(std::string(kinds[static_cast<int>(answer.kind)]) + " " + std::to_string(answer.number) + std::string(answer.rest) +
                      (answer.kind == WireAnswer::Kind::data ? " " + std::string(answer.payload) : ""));
    }
  }
  return found;
}

TEST(AnswerDecoder, GivesTheSameForPiecesOfEverySize) {
  const std::string bytes =
      "booting\r\n\n 3 row 1 2\r\n3 data 8 f32le\nab\ncd\n\r!3 ok\nWARNING\n4 nonsense\n4 data 20 f32le\n4294967296 ok\n5 ok";
  const std::vector<std::string> expected{"stray booting", "line 3 1 2",       "data 3 ab\ncd\n\r!", "line 3",
                                          "stray WARNING", "stray 4 nonsense", "lost 4 20 f32le",    "stray 4294967296 ok"};
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 1000U}) EXPECT_EQ(decoded(bytes, piece), expected) << piece;
}

TEST(AnswerDecoder, TellsDamagedLinesFromStrayOnes) {
  std::string bytes;
  const auto add = [&](std::string_view text) {
    const std::size_t begin = bytes.size();
    bytes += text;
    end_line(bytes, begin, true);
  };
  add("3 row 1");
  bytes += "a stray print\n0 ok\n3 row 2\n";
  add("3 ok");
  bytes[bytes.size() - 2] = bytes[bytes.size() - 2] == '0' ? '1' : '0';
  EXPECT_EQ(decoded(bytes, 5, true), (std::vector<std::string>{"line 3 1", "stray a stray print", "stray 0 ok", "damaged 03 row 2",
                                                               "damaged 0" + bytes.substr(bytes.size() - 11, 10)}));
}

TEST(AnswerDecoder, ForgetsAnEndlessLine) {
  LineBuffer lines(100);
  for (int i = 0; i < 1000; ++i) {
    lines.feed(std::string(100, 'x'));
    EXPECT_FALSE(lines.line());
    EXPECT_LE(lines.rest().size(), 200U);
  }
  lines.feed("\nnext\n");
  EXPECT_EQ(lines.line(), "next");
  EXPECT_EQ(lines.take_dropped(), 1);
}

TEST(ForeignText, IsCleanedAndBounded) {
  EXPECT_EQ(clean_text("a\x1b[31mb\xc3\xa9\n"), "a?[31mb???");
  EXPECT_EQ(clean_text(std::string(300, 'a')).size(), 203U);
  ForeignLog log;
  for (int i = 0; i < 1000; ++i) log.add_stream("line " + std::to_string(i) + "\r\n");
  log.add_stream(std::string(100000, 'y'));
  EXPECT_EQ(log.lines().size(), ForeignLog::kLines);
  EXPECT_GT(log.count(), 1400);
  for (const auto& line : log.lines()) EXPECT_LE(line.size(), 203U);
}

TEST(ParameterRange, NormalisesWithoutSteppingOverItsLimits) {
  const ParameterRange volts{.first = 0, .count = 1, .min = 0.1, .max = 0.7, .step = 0.01};
  EXPECT_GE(to_device_units(volts, -1.0), 0.1);
  EXPECT_LE(to_device_units(volts, 1.0), 0.7);
  EXPECT_GT(to_device_units(volts, 1.01), 0.7);
  EXPECT_NEAR(to_normalised(volts, to_device_units(volts, 0.3)), 0.3, 1e-6);
  EXPECT_NEAR(normalised_step(volts), 0.02 / 0.6, 1e-12);
  const ParameterRange phase{.first = 0, .count = 1, .min = 0.0, .max = 6.0, .period = 6.0};
  EXPECT_NEAR(to_device_units(phase, 0.0), 3.0, 1e-6);
  EXPECT_NEAR(to_device_units(phase, 1.5), to_device_units(phase, -0.5), 1e-6);
  EXPECT_EQ(to_device_units(ParameterRange{}, 17.5), 17.5);
}

}  // namespace
}  // namespace ffzero
