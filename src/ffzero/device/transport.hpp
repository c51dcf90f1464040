// One byte stream to a device, whatever it runs over.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ffzero/device/address.hpp"
#include "ffzero/device/clock.hpp"

namespace ffzero {

class Transport {
 public:
  /// What one call moved.
  struct Moved {
    std::size_t sent = 0;
    std::size_t received = 0;
    bool ended = false;  ///< nothing more will come
    bool side = false;   ///< take_side_output has something
  };

  virtual ~Transport() = default;

  /// Sends from `out` and receives into `in` until anything moved, the stream ended or `wait` has passed. `out` may be empty.
  virtual Moved exchange(std::string_view out, std::span<char> in, Milliseconds wait) = 0;
  /// What the device wrote beside the protocol since the last call: standard error of a program.
  [[nodiscard]] virtual std::string take_side_output() { return {}; }
  /// Ends the stream. A program gets `grace` to end by itself, then TERM, once more `grace`, then KILL for its process group. May be called
  /// again; does nothing then.
  virtual void close(Milliseconds grace) noexcept = 0;
  /// Nothing is read any more: whatever the device writes from now on fails, as if this process had ended. Without effect where one
  /// direction cannot be closed by itself (sockets, serial lines).
  virtual void stop_reading() noexcept {}
  /// Ends the stream in both directions as the sudden end of this process would: nothing more is read, a program is left to itself. close()
  /// has still to be called.
  virtual void drop() noexcept { close(Milliseconds(0)); }
  /// Number of the program's process; 0 if there is none here.
  [[nodiscard]] virtual long process() const { return 0; }
  /// How a program ended: "exit code 3", "signal 9"; empty if it has not or is none.
  [[nodiscard]] virtual std::string ending() { return {}; }
};

/// Starts the program, connects the socket or opens the line. connect: how long a connection may take.
/// @throws DeviceError naming the address: no such program, refused, no such file
[[nodiscard]] std::unique_ptr<Transport> open_transport(const DeviceAddress& address, Milliseconds connect);

}  // namespace ffzero
