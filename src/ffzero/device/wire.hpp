// Bytes to lines and answers, requests to bytes: the framing of the device protocol (docs/device-protocol.md), for both ends.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// Longest line that is read or promised, and what holds before the device has said its own.
constexpr std::size_t kLongestLine = 1 << 20;
constexpr std::size_t kFirstLinemax = 255;
constexpr std::size_t kSmallestLinemax = 64;  ///< room for number, verb, position and one value with its checksum
constexpr std::uint32_t kLargestRequest = 2147483647;

/// Takes bytes in pieces of any size and gives whole lines, or payloads of known length, in order.
class LineBuffer {
 public:
  /// longest: bytes of a line with its end; longer ones are dropped and counted.
  explicit LineBuffer(std::size_t longest) : longest_(longest) {}

  void feed(std::string_view bytes);
  void set_longest(std::size_t longest) noexcept { longest_ = longest; }
  /// The next whole line without its end ("\n" or "\r\n"); valid until the next call of feed.
  [[nodiscard]] std::optional<std::string_view> line();
  /// The next `count` bytes, whatever they are; nothing until they are all there.
  [[nodiscard]] std::optional<std::string_view> bytes(std::size_t count);
  /// What has come of a line that has not ended.
  [[nodiscard]] std::string_view rest() const noexcept { return std::string_view(buffer_).substr(begin_); }
  /// Lines dropped because they were too long, since the last call.
  [[nodiscard]] int take_dropped() noexcept;

 private:
  std::string buffer_;
  std::size_t begin_ = 0;    // of what has not been given yet
  std::size_t scanned_ = 0;  // no end of a line before this position
  std::size_t longest_;
  bool dropping_ = false;
  int dropped_ = 0;
};

enum class Checksum { absent, right, wrong };

/// Looks for " *hhhh" at the end of `line` and, if it is there, takes it off.
[[nodiscard]] Checksum take_checksum(std::string_view& line) noexcept;
/// Ends the line that begins at out[begin]: " *hhhh" if asked for, then "\n".
void end_line(std::string& out, std::size_t begin, bool checksum);

/// Values as little-endian binary32, and back. bytes: 4 a value
void append_floats(std::string& out, std::span<const float> values);
void read_floats(std::string_view bytes, std::span<float> values);
void append_word32(std::string& out, std::uint32_t word);
[[nodiscard]] std::uint32_t read_word32(std::string_view bytes) noexcept;

/// Appends a line "HEAD v v v ..." with as many of `values` as `linemax` allows, at least one, and returns how many. head: without a blank
/// at its end
Index append_values_line(std::string& out, std::string_view head, std::span<const float> values, std::size_t linemax, bool checksum);
/// All of `values` in lines that each begin with `head`.
void append_values(std::string& out, std::string_view head, std::span<const float> values, std::size_t linemax, bool checksum);

/// Words that may follow the number in a line of a device.
enum class AnswerWord { proto, id, shape, param, input, output, time, cap, ok, wait, row, data, error };

/// The word as it stands in the line.
[[nodiscard]] std::string_view word_text(AnswerWord word) noexcept;

/// One thing that a device said.
struct WireAnswer {
  enum class Kind {
    line,     ///< number, word, rest
    data,     ///< a payload with its number; word is `data`
    damaged,  ///< a line or a payload whose checksum is wrong: rest says which
    lost,     ///< a payload of impossible length: where the next line begins is unknown
  };
  Kind kind = Kind::line;
  std::uint32_t number = 0;
  AnswerWord word = AnswerWord::ok;
  std::string_view rest;     ///< valid until the next call of the decoder
  std::string_view payload;  ///< likewise
};

/// The host's parser: bytes of a device in, answers out; everything else goes to `stray`. Foreign bytes can do no more than be refused.
class AnswerDecoder {
 public:
  explicit AnswerDecoder(std::function<void(std::string_view)> stray) : lines_(kLongestLine), stray_(std::move(stray)) {}

  void feed(std::string_view bytes) { lines_.feed(bytes); }
  [[nodiscard]] bool next(WireAnswer& answer);
  /// From now on every line ends in a checksum and every payload is followed by one.
  void expect_checksums(bool expected) noexcept { checksums_ = expected; }
  /// Most bytes of one payload.
  void set_largest_payload(std::size_t bytes) noexcept { largest_payload_ = bytes; }
  /// What has come of an unfinished line.
  [[nodiscard]] std::string_view unfinished() const noexcept { return lines_.rest(); }

 private:
  [[nodiscard]] bool read_line(std::string_view line, WireAnswer& answer);
  [[nodiscard]] bool read_payload(WireAnswer& answer);

  LineBuffer lines_;
  std::function<void(std::string_view)> stray_;
  bool checksums_ = false;
  std::size_t largest_payload_ = 0;
  std::optional<std::size_t> payload_;  // bytes that are awaited
  std::uint32_t payload_number_ = 0;
};

}  // namespace ffzero
