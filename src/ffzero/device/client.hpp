// The host's side of the device protocol (docs/device-protocol.md).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/device_receipt.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/device/address.hpp"
#include "ffzero/device/address_lock.hpp"
#include "ffzero/device/clock.hpp"
#include "ffzero/device/description.hpp"
#include "ffzero/device/slew.hpp"
#include "ffzero/device/text.hpp"
#include "ffzero/device/transport.hpp"
#include "ffzero/device/wire.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Which reading it is, so that a simulated device (cap address) gives the same noise to the same reading.
struct ReadingAddress {
  std::uint64_t stream = 0;  ///< layer, device or purpose
  std::uint64_t step = 0;
  std::uint32_t side = 0;  ///< 0 or 1: + and - of a pair
  std::uint32_t repeat = 0;
  Index row = 0;  ///< of the batch, that the first row of the evaluation is
};

/// One evaluation: y = f(theta, x) in the units of the device.  theta (parameters)   x (B, inputs)   y (B, outputs), overwritten.
struct DeviceJob {
  std::span<const float> theta;
  ConstMatrixRef<float> x;
  MatrixRef<float> y;
  std::optional<ReadingAddress> address = std::nullopt;  ///< sent to devices with cap address, ignored by others
  bool done = false;                                     ///< set by evaluate: y holds the answer, also if a later job failed
};

struct ClientOptions {
  int retries = 3;                     ///< times that the same evaluation is sent again, after whatever failure, before it is given up
  Index pipeline = 0;                  ///< most evaluations under way; 0: as many as the device allows
  bool binary = true;                  ///< use f32le where the device has it
  bool exclusive = true;               ///< take the lock of the address
  Milliseconds hello{30000};           ///< until hello must be answered, or be asked to wait: programs start slowly
  Milliseconds connect{5000};          ///< until a connection must stand
  Milliseconds longest_wait{3600000};  ///< most that one `wait` of the device may ask for
};

/// A session with one device: hello, ready, evaluations, and its safe state at the end, whatever happens. Starts, stalls and losses of the
/// device are handled inside: after an error or a failure everything that has no result is sent again with a full set. One caller at a
/// time.
class DeviceClient {
 public:
  using Open = std::function<std::unique_ptr<Transport>()>;

  /// Opens the address, says hello. @throws UsageError for an address that does not parse, DeviceError
  explicit DeviceClient(std::string_view address, const ClientOptions& options = {}, Clock& clock = system_clock());
  /// The same over streams of the caller's own: `open` is called again after each failure. name: for messages
  DeviceClient(std::string name, Open open, const ClientOptions& options, Clock& clock);
  /// Safe state, farewell, end of the stream; never throws.
  ~DeviceClient();
  DeviceClient(const DeviceClient&) = delete;
  DeviceClient& operator=(const DeviceClient&) = delete;

  [[nodiscard]] const DeviceDescription& description() const noexcept { return description_; }
  [[nodiscard]] const DeviceReceipt& receipt() const noexcept { return receipt_; }
  /// Stray lines and standard error of the device: foreign text, cleaned and bounded.
  [[nodiscard]] const ForeignLog& log() const noexcept { return log_; }
  /// The device's name in messages: "device exec:python3 bench.py".
  [[nodiscard]] const std::string& place() const noexcept { return place_; }

  /// Waits until the device may be used; evaluations do so by themselves. @throws DeviceError
  void ready();
  /// Any number of evaluations of any number of rows: cut into pieces that the device takes, pipelined, repeated after failures.
  /// Cost: the sum of the rows. NaN and infinities of the device are passed on.
  /// @throws DeviceError if it failed `retries` times in a row, refused for good, or needs what it lacks; ShapeError if sizes do not fit
  void evaluate(std::span<DeviceJob> jobs);
  /// One of them.
  void evaluate(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y,
                std::optional<ReadingAddress> address = std::nullopt);

  /// What is really set. count values from `first` on (cap get). @throws DeviceError, also if the device lacks it
  [[nodiscard]] std::vector<float> get(Index first, Index count);
  /// Keeps rows x (n, inputs) on the device at positions first, first + 1, .. (cap store). @throws DeviceError
  void store(Index first, const ConstMatrixRef<float>& x);
  /// y (n, outputs) = f(theta, stored rows).  where (n): their positions. What is stored is lost with a restart: the device then refuses.
  void evaluate_stored(std::span<const float> theta, std::span<const Index> where, MatrixRef<float> y);
  /// Tells the watchdog that the host is there (cap ping; does nothing without it). @throws DeviceError
  void keep_alive();
  /// Every parameter to its safe value; the next evaluation makes it ready again. @throws DeviceError if it does not answer
  void safe();
  /// What the destructor does; the client cannot be used afterwards.
  void close() noexcept;

 private:
  struct Interruption;
  /// A request that has not been answered.
  struct Pending {
    std::uint32_t number = 0;
    std::string_view verb;      // a literal, for messages
    Index values = 0;           // numbers that its answer brings
    Index width = 0;            // numbers in a row
    Microseconds allowance{0};  // silence that is no stall
  };
  /// Rows of a job that go into one eval.
  struct Piece {
    std::size_t job = 0;
    Index first = 0, rows = 0;
  };

  void open();
  void say_hello();
  void make_ready();
  [[nodiscard]] std::string hello_failure(const Interruption& cause);

  Pending& begin(std::string_view verb, Index rows = 0);
  void send_request(std::uint32_t number, std::string_view text);
  void send_payload(std::span<const float> values);
  void send_set(std::span<const float> theta);
  void send_values(Index first, std::span<const float> values);
  void send_rows(std::uint32_t number, const ConstMatrixRef<float>& x);
  void send_piece(const DeviceJob& job, const Piece& piece);
  void approach(std::span<const float> theta);

  [[nodiscard]] bool next(WireAnswer& answer, Microseconds deadline);
  [[nodiscard]] std::optional<Pending> step();
  [[nodiscard]] std::optional<Pending> take(const WireAnswer& answer);
  void take_values(const WireAnswer& answer, const Pending& asked);
  void take_wait(std::string_view rest);
  void finish(std::uint32_t number);
  void simple(std::string_view verb, std::string_view rest = {}, Index values = 0);
  void require_job(const DeviceJob& job) const;
  [[nodiscard]] std::vector<Piece> cut(std::span<const DeviceJob> jobs) const;

  template <class Body>
  void repeatedly(Body&& body);
  void recover(const Interruption& cause, int attempt);
  [[nodiscard]] DeviceError error_of(const Interruption& cause);
  void resynchronise();
  void restart();
  void hang_up(bool farewell) noexcept;
  [[nodiscard]] bool ended_quietly(std::string_view verb, Milliseconds limit);

  [[nodiscard]] std::size_t linemax() const noexcept { return static_cast<std::size_t>(description_.can.linemax); }
  [[nodiscard]] bool binary() const noexcept { return options_.binary && description_.can.f32le; }
  [[nodiscard]] Index depth() const noexcept;
  [[nodiscard]] Milliseconds grace() const noexcept;

  std::string place_;
  Open open_;
  ClientOptions options_;
  Clock& clock_;
  std::optional<AddressLock> lock_;
  std::unique_ptr<Transport> transport_;
  ForeignLog log_;
  AnswerDecoder decoder_;
  DeviceDescription description_;
  DeviceReceipt receipt_;
  bool serial_ = false;     // hello is repeated
  bool greeted_ = false;    // hello was answered once: later answers must agree with it
  bool checksums_ = false;  // lines end in one
  bool ready_ = false;
  bool resynchronising_ = false;
  bool known_ = false;                  // staged_ is what the device has
  std::vector<float> staged_;           // what it has when everything sent has been done
  std::vector<ParameterRange> limits_;  // one for each parameter; empty if none is limited
  SlewPath slew_;
  std::deque<Pending> pending_;
  std::vector<float> reading_;  // numbers of the request at the front
  std::uint32_t number_ = 0;
  std::string out_;
  std::size_t sent_ = 0;
  std::vector<char> in_;
  Microseconds quiet_since_{0};  // last byte sent or last answer's end
  std::optional<Microseconds> wait_until_, waiting_since_;
};

}  // namespace ffzero
