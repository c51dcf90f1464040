// The device's side of the protocol (docs/device-protocol.md) for any map: a bench in C++, or the simulated twin of one.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/device/address.hpp"
#include "ffzero/device/clock.hpp"
#include "ffzero/device/description.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

enum class DeviceState { idle, ready };

struct ServeOptions {
  std::string identity = "ffzero-serve";
  std::vector<ParameterRange> parameters, inputs, outputs;  ///< declared and enforced; in the units that the map takes
  DeviceTimes times = {.watchdog_ms = 30000.0};             ///< set_ms and row_ms are also what an evaluation takes
  DeviceCapabilities can = {.rows = 64, .get = true, .f32le = true, .ping = true, .address = true};
  double noise = 0.0;       ///< standard deviation of normal noise added to every output
  std::uint64_t seed = 0;   ///< of the noise
  double latency_ms = 0.0;  ///< each answer is on its way for so long, while the next one is worked on
  /// Called whenever the parameters that are really set change, and at every change of state.
  std::function<void(DeviceState, std::span<const float>)> on_state = {};
};

/// A reading of a map that is served: of a StatefulMap as a trained network takes it.  theta (parameters)   x (B, inputs)   y (B, outputs),
/// overwritten. Cost: B forward evaluations. @throws DeviceError if a reading of the map fails
void evaluate_served(const ForwardMap<float>& map, std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y);

/// One host's conversation: bytes in, bytes out. Evaluates while it takes bytes in; StatefulMap: as a trained network does;
/// AddressedReadings: the same answer to the same address, at the time that writes and rows so far would have taken. A DeviceError of the
/// map is answered "error retry".
class DeviceServer {
 public:
  /// map and clock must outlive it. @throws ConfigError if a range does not fit the map's shapes
  DeviceServer(const ForwardMap<float>& map, const ServeOptions& options, const Clock& clock);

  void feed(std::string_view bytes);
  /// What is due to be sent by now; keeps the rest for later.
  [[nodiscard]] std::string take();
  /// When to call take or tick next, if nothing comes in before.
  [[nodiscard]] std::optional<Microseconds> next_time() const;
  /// Looks at the watchdog.
  void tick();
  /// The stream has ended: safe state.
  void disconnected();
  /// After bye.
  [[nodiscard]] bool finished() const noexcept { return finished_ && answers_.empty(); }

 private:
  struct Answer {
    std::uint32_t number;
    Microseconds due;
    bool evaluation;
    std::string bytes;
  };
  /// An eval or load whose rows are still coming in.
  struct Rows {
    std::uint32_t number = 0;
    std::string_view verb;
    Index first = 0;  // load
    Index rows = 0;
    std::vector<float> values;
    bool binary = false;
    std::optional<std::vector<std::uint64_t>> address;
    std::string refusal;  // all rows of a refused request are read and dropped
  };
  /// Values of a set that come as a payload.
  struct Payload {
    std::uint32_t number = 0;
    Index first = 0, count = 0;
    bool rows = false;
    std::string refusal;
  };

  void work_off();
  void take_line(std::string_view line);
  void take_request(std::uint32_t number, std::string_view verb, std::string_view rest);
  void refuse_line(std::int64_t number, std::string_view error);
  void end_rows(std::string_view error);
  void take_row(std::uint32_t number, std::string_view rest);
  void take_payload(std::string_view bytes);
  void hello(std::string_view rest);
  void set(std::uint32_t number, std::string_view rest);
  void get(std::uint32_t number, std::string_view rest);
  void eval(std::uint32_t number, std::string_view rest);
  void load(std::uint32_t number, std::string_view rest);
  void stage(std::uint32_t number, Index first, std::span<const float> values, const std::string& refusal);
  void finish_rows(Rows asked);
  void evaluate(const Rows& asked, const Matrix<float>& x);
  void add_noise(const Rows& asked, Matrix<float>& y);
  void begin_series(const Rows& asked);
  void go_safe(DeviceState state);
  void answer(std::uint32_t number, std::string_view text, Microseconds busy = Microseconds(0), bool evaluation = false);
  void send(std::uint32_t number, std::string bytes, Microseconds busy, bool evaluation);
  void end_with(std::string& out, std::uint32_t number, std::string_view text) const;
  void report() const;

  const ForwardMap<float>& map_;
  ServeOptions options_;
  const Clock& clock_;
  Index inputs_, outputs_;
  std::vector<ParameterRange> limits_, input_limits_;
  LineBuffer lines_;
  bool checksums_ = false;
  bool finished_ = false;
  DeviceState state_ = DeviceState::idle;
  std::vector<float> staged_, set_;
  Matrix<float> stored_;
  std::vector<char> is_stored_;
  std::optional<Rows> rows_;
  std::optional<Payload> payload_;
  std::deque<Answer> answers_;
  Microseconds busy_until_{0}, heard_{0};
  std::uint64_t readings_ = 0;
  double writes_ = 0.0, served_rows_ = 0.0;
};

/// Serves one host over two descriptors, until bye, the end of `in`, or `stop` returns true (asked some ten times a second). The parameters
/// are in their safe state afterwards.
void serve(const ForwardMap<float>& map, const ServeOptions& options, int in, int out, const std::function<bool()>& stop = {});

/// Listens on tcp:HOST:PORT (port 0: any free one) or unix:PATH (mode 0600, removed at the end) and serves one host after the other until
/// `stop` returns true; while one is served, others are told "0 error fatal busy". ready: called with the address that is listened on
/// @throws UsageError for another kind of address, DeviceError if it cannot be listened on (in use, no such host)
void serve(const ForwardMap<float>& map, const ServeOptions& options, const DeviceAddress& address, const std::function<bool()>& stop,
           const std::function<void(const std::string&)>& ready = {});

}  // namespace ffzero
