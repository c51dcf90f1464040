// Framing of the device protocol.
// SPDX-License-Identifier: MIT
#include "ffzero/device/wire.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

struct NamedWord {
  std::string_view name;
  AnswerWord word;
};
// The most frequent first.
constexpr std::array kWords{
    NamedWord{"row", AnswerWord::row},     NamedWord{"ok", AnswerWord::ok},         NamedWord{"data", AnswerWord::data},
    NamedWord{"error", AnswerWord::error}, NamedWord{"wait", AnswerWord::wait},     NamedWord{"proto", AnswerWord::proto},
    NamedWord{"id", AnswerWord::id},       NamedWord{"shape", AnswerWord::shape},   NamedWord{"param", AnswerWord::param},
    NamedWord{"input", AnswerWord::input}, NamedWord{"output", AnswerWord::output}, NamedWord{"time", AnswerWord::time},
    NamedWord{"cap", AnswerWord::cap}};

std::optional<AnswerWord> answer_word(std::string_view token) {
  for (const NamedWord& known : kWords)
    if (token == known.name) return known.word;
  return std::nullopt;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::uint32_t little(std::uint32_t word) noexcept {
  if constexpr (std::endian::native == std::endian::big)
    return word >> 24 | (word >> 8 & 0xFF00U) | (word << 8 & 0xFF0000U) | word << 24;
  else
    return word;
}

}  // namespace

std::string_view word_text(AnswerWord word) noexcept {
  for (const NamedWord& known : kWords)
    if (known.word == word) return known.name;
  return {};
}

// --- lines ------------------------------------------------------------------------------------------------------------------------

void LineBuffer::feed(std::string_view bytes) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  buffer_.append(bytes);
}

std::optional<std::string_view> LineBuffer::line() {
  while (true) {
    const auto end = buffer_.find('\n', scanned_);
    if (end == std::string::npos) {
      scanned_ = buffer_.size();
      if (buffer_.size() - begin_ >= longest_) {
        // Nothing of it will be used: forget it now, so that an endless line takes no memory.
        if (!dropping_) ++dropped_;
        dropping_ = true;
        buffer_.clear();
        begin_ = scanned_ = 0;
      }
      return std::nullopt;
    }
    std::string_view line(buffer_.data() + begin_, end - begin_);
    begin_ = scanned_ = end + 1;
    const bool skip = dropping_ || line.size() >= longest_;
    if (skip) {
      if (!dropping_) ++dropped_;
      dropping_ = false;
      continue;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
}

std::optional<std::string_view> LineBuffer::bytes(std::size_t count) {
  if (buffer_.size() - begin_ < count) return std::nullopt;
  const std::string_view found(buffer_.data() + begin_, count);
  begin_ += count;
  scanned_ = begin_;
  return found;
}

int LineBuffer::take_dropped() noexcept { return std::exchange(dropped_, 0); }

Checksum take_checksum(std::string_view& line) noexcept {
  if (line.size() < 6 || line[line.size() - 6] != ' ' || line[line.size() - 5] != '*') return Checksum::absent;
  unsigned stated = 0;
  for (const char c : line.substr(line.size() - 4)) {
    const int digit = hex_digit(c);
    if (digit < 0) return Checksum::absent;
    stated = stated << 4 | static_cast<unsigned>(digit);
  }
  line.remove_suffix(6);
  return crc16(line) == stated ? Checksum::right : Checksum::wrong;
}

void end_line(std::string& out, std::size_t begin, bool checksum) {
  if (checksum) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    const unsigned crc = crc16(std::string_view(out).substr(begin));
    out += " *";
    for (int shift = 12; shift >= 0; shift -= 4) out += digits[crc >> shift & 0xFU];
  }
  out += '\n';
}

// --- values -----------------------------------------------------------------------------------------------------------------------

void append_word32(std::string& out, std::uint32_t word) {
  const std::uint32_t ordered = little(word);
  out.append(reinterpret_cast<const char*>(&ordered), sizeof ordered);
}

std::uint32_t read_word32(std::string_view bytes) noexcept {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data(), sizeof word);
  return little(word);
}

void append_floats(std::string& out, std::span<const float> values) {
  if constexpr (std::endian::native == std::endian::little) {
    out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  } else {
    for (const float value : values) append_word32(out, std::bit_cast<std::uint32_t>(value));
  }
}

void read_floats(std::string_view bytes, std::span<float> values) {
  if constexpr (std::endian::native == std::endian::little) {
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size_bytes());
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::bit_cast<float>(read_word32(bytes.substr(4 * i)));
  }
}

Index append_values_line(std::string& out, std::string_view head, std::span<const float> values, std::size_t linemax, bool checksum) {
  const std::size_t begin = out.size(), end = begin + linemax - (checksum ? 7 : 1);
  out.append(head);
  Index count = 0;
  for (const float value : values) {
    const std::size_t before = out.size();
    out += ' ';
    append_number(out, value);
    if (out.size() > end && count > 0) {
      out.resize(before);
      break;
    }
    ++count;
  }
  end_line(out, begin, checksum);
  return count;
}

void append_values(std::string& out, std::string_view head, std::span<const float> values, std::size_t linemax, bool checksum) {
  while (!values.empty()) values = values.subspan(usize(append_values_line(out, head, values, linemax, checksum)));
}

// --- answers ----------------------------------------------------------------------------------------------------------------------

bool AnswerDecoder::next(WireAnswer& answer) {
  while (true) {
    if (payload_) return read_payload(answer);
    const auto line = lines_.line();
    for (int n = lines_.take_dropped(); n > 0; --n) stray_("(a line of more than 1 MiB)");
    if (!line) return false;
    if (read_line(*line, answer)) return true;
  }
}

bool AnswerDecoder::read_line(std::string_view line, WireAnswer& answer) {
  std::string_view rest = line;
  const Checksum checksum = checksums_ ? take_checksum(rest) : Checksum::absent;
  const std::string_view checked = rest;
  const auto number = parse_count(next_token(rest), kLargestRequest);
  const auto word = answer_word(next_token(rest));
  if (checksums_ && checksum != Checksum::right && (checksum == Checksum::wrong || (number && word && *number > 0))) {
    answer = {.kind = WireAnswer::Kind::damaged, .number = 0, .word = AnswerWord::ok, .rest = line, .payload = {}};
    return true;
  }
  // Without a checksum where one is due: a late answer to a repeated hello, or no protocol at all.
  if (!number || !word || (checksums_ && checksum != Checksum::right)) {
    if (checked.find_first_not_of(" \t") != std::string_view::npos) stray_(line);
    return false;
  }
  answer = {.kind = WireAnswer::Kind::line, .number = static_cast<std::uint32_t>(*number), .word = *word, .rest = rest, .payload = {}};
  if (*word != AnswerWord::data) return true;
  const auto bytes = parse_count(next_token(rest), static_cast<std::int64_t>(largest_payload_));
  if (!bytes || next_token(rest) != "f32le") {
    answer.kind = WireAnswer::Kind::lost;
    return true;
  }
  payload_ = static_cast<std::size_t>(*bytes);
  payload_number_ = answer.number;
  return read_payload(answer);
}

bool AnswerDecoder::read_payload(WireAnswer& answer) {
  const std::size_t count = *payload_;
  const auto found = lines_.bytes(count + (checksums_ ? 4 : 0));
  if (!found) return false;
  payload_.reset();
  const std::string_view values = found->substr(0, count);
  answer = {.kind = WireAnswer::Kind::data, .number = payload_number_, .word = AnswerWord::data, .rest = {}, .payload = values};
  if (checksums_ && crc32_of(values) != read_word32(found->substr(count))) {
    answer.kind = WireAnswer::Kind::damaged;
    answer.rest = "payload";
  }
  return true;
}

}  // namespace ffzero
