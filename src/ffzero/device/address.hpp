// Where a device is: the four kinds of address.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ffzero {

enum class TransportKind { exec, tcp, local, serial };

/// exec:PROGRAM ARGUMENTS | tcp:HOST:PORT | tcp:[V6]:PORT | unix:PATH | serial:PATH?baud=RATE
struct DeviceAddress {
  TransportKind kind = TransportKind::exec;
  std::string text;                ///< as it was given
  std::vector<std::string> words;  ///< exec: program and arguments
  std::string host;                ///< tcp
  std::string port;                ///< tcp: 0 .. 65535
  std::string path;                ///< unix, serial
  long baud = 115200;              ///< serial: bits per second
};

/// @throws UsageError in one line that names what is wrong with the address and what one looks like
[[nodiscard]] DeviceAddress parse_device_address(std::string_view text);

/// Splits as a POSIX shell splits a line: blanks separate, '...' is literal, "..." keeps \\ for \\ " $ ` alone, \\x is x. Nothing is
/// expanded, # begins no comment. @throws UsageError naming `place` for an open quote or a backslash at the end
[[nodiscard]] std::vector<std::string> split_words(std::string_view text, std::string_view place);

}  // namespace ffzero
