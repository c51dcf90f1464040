// Parsing of device addresses.
// SPDX-License-Identifier: MIT
#include "ffzero/device/address.hpp"

#include <charconv>
#include <optional>

#include "ffzero/base/error.hpp"
#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

constexpr std::string_view kForms = "exec:PROGRAM ARGUMENTS, tcp:HOST:PORT, unix:PATH or serial:PATH?baud=RATE";
constexpr std::size_t kLongestLocalPath = 107;  // sun_path of Linux, without the end

std::string address_place(std::string_view text) { return "device address \"" + clean_text(text) + "\""; }

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

std::optional<long> whole_number(std::string_view text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

void read_tcp(std::string_view rest, DeviceAddress& address) {
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    throw UsageError(address_place(address.text), "tcp: needs a host and a port", "",
                     "write tcp:HOST:PORT, for example tcp:127.0.0.1:5555");
  std::string_view host = rest.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    throw UsageError(address_place(address.text), "an IPv6 address stands in brackets", clean_text(host), "write tcp:[V6]:PORT");
  }
  const auto port = whole_number(rest.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535)
    throw UsageError(address_place(address.text), "the port is a number from 0 to 65535", clean_text(rest.substr(colon + 1)),
                     "write tcp:HOST:PORT");
  if (host.empty()) throw UsageError(address_place(address.text), "the host is empty", "", "write tcp:HOST:PORT");
  address.host = host;
  address.port = std::to_string(*port);
}

void read_serial(std::string_view rest, DeviceAddress& address) {
  const auto question = rest.find('?');
  address.path = rest.substr(0, question);
  if (question == std::string_view::npos) return;
  const std::string_view option = rest.substr(question + 1);
  const auto baud = option.starts_with("baud=") ? whole_number(option.substr(5)) : std::nullopt;
  if (!baud || *baud <= 0)
    throw UsageError(address_place(address.text), "the only option of a serial line is baud=RATE", clean_text(option),
                     "write serial:/dev/ttyACM0?baud=115200");
  address.baud = *baud;
}

}  // namespace

std::vector<std::string> split_words(std::string_view text, std::string_view place) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;  // a word has begun, perhaps an empty one in quotes
  char quote = '\0';  // the quote that is open
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {
      if (c == '\'')
        quote = '\0';
      else
        word += c;
    } else if (c == '\\') {
      if (i + 1 == text.size()) throw UsageError(place, "a backslash at the end has nothing behind it", "", "remove it or write \\\\");
      const char next = text[++i];
      const bool kept = quote == '"' && next != '"' && next != '\\' && next != '$' && next != '`' && next != '\n';
      if (kept) word += '\\';
      if (next != '\n') {
        word += next;
        open = true;
      }
    } else if (c == '"' || (c == '\'' && quote == '\0')) {
      quote = quote == c ? '\0' : c;
      open = true;
    } else if (is_blank(c) && quote == '\0') {
      if (open) words.push_back(std::move(word));
      word.clear();
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (quote != '\0') throw UsageError(place, "a quote is open at the end", std::string(1, quote), "close it");
  if (open) words.push_back(std::move(word));
  return words;
}

DeviceAddress parse_device_address(std::string_view text) {
  DeviceAddress address;
  address.text = text;
  const auto colon = text.find(':');
  const std::string_view scheme = text.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (text.find('\0') != std::string_view::npos) throw UsageError(address_place(text), "holds a zero byte", "", "remove it");
  if (scheme == "exec") {
    address.words = split_words(rest, address_place(text));
    if (address.words.empty() || address.words.front().empty())
      throw UsageError(address_place(text), "exec: needs a program", "", "write exec:PROGRAM ARGUMENTS");
  } else if (scheme == "tcp") {
    address.kind = TransportKind::tcp;
    read_tcp(rest, address);
  } else if (scheme == "unix" || scheme == "serial") {
    address.kind = scheme == "unix" ? TransportKind::local : TransportKind::serial;
    if (scheme == "unix")
      address.path = rest;
    else
      read_serial(rest, address);
    if (address.path.empty())
      throw UsageError(address_place(text), std::string(scheme) + ": needs a path", "", "write " + std::string(kForms));
    if (scheme == "unix" && rest.size() > kLongestLocalPath)
      throw UsageError(address_place(text), "the path of a socket has at most 107 bytes", std::to_string(rest.size()),
                       "use a shorter path");
  } else {
    throw UsageError(address_place(text), "unknown kind of address", clean_text(scheme), "write " + std::string(kForms));
  }
  return address;
}

}  // namespace ffzero
