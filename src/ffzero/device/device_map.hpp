// A device on a wire as a layer.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/device/client.hpp"
#include "ffzero/device/journal.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/map/instrument.hpp"

namespace ffzero {

/// What happens to a parameter that leaves its declared range: an error, or its nearest value inside (counted in the receipt). Periodic
/// parameters wrap and cannot leave.
enum class OutOfRange { refuse, project };

struct DeviceMapOptions {
  ClientOptions client;
  bool normalise = true;  ///< theta is in normalised units (base/parameter_range.hpp); false: in those of the device
  OutOfRange out_of_range = OutOfRange::refuse;
  double input_scale = 1.0;  ///< the device gets input_offset + input_scale x
  double input_offset = 0.0;
  double output_scale = 1.0;  ///< the layer gives output_offset + output_scale times the reading
  double output_offset = 0.0;
  int repeats = 1;               ///< times that every row is read; the layer gives the mean
  int rereads = 3;               ///< times that rows with a reading that is not finite or outside its declared range are read again
  bool pass_not_finite = false;  ///< hand such rows on as NaN instead of failing
  bool drop_failed = false;      ///< read_many: what the caller can do without is handed on as NaN instead of failing
};

/// y = f(theta, x) by a device behind docs/device-protocol.md. theta (parameters): where the device declares bounds, [-1, 1] stands for
/// them, else its own units. One caller at a time enters the device, others wait. Opened by the constructor; in its safe state after the
/// destructor. S is float or double; the wire carries binary32.
template <class S>
class DeviceMap final : public ForwardMap<S>, public Instrument<S> {
 public:
  /// @throws UsageError for an address that does not parse, DeviceError if no device answers
  explicit DeviceMap(std::string_view address, const DeviceMapOptions& options = {});
  DeviceMap(std::unique_ptr<DeviceClient> client, const DeviceMapOptions& options);

  [[nodiscard]] Shape input_shape() const override { return {.width = client_->description().inputs}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = client_->description().outputs}; }
  [[nodiscard]] Index parameter_count() const override { return client_->description().parameters; }
  [[nodiscard]] std::string kind() const override { return "device"; }

  /// @throws DeviceError: its reason says whether to repeat, skip or stop; ShapeError if sizes do not fit
  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  /// The same for several parameter vectors on one batch, pipelined where the device can.  thetas (m)   ys (m), each (B, outputs)
  /// Cost: m B forward evaluations. addresses: (m) or empty
  void forward_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                    std::span<const ReadingAddress> addresses = {}) const;

  /// Limits of each parameter in the units of the device.
  [[nodiscard]] std::span<const ParameterRange> parameter_ranges() const noexcept { return parameters_; }
  [[nodiscard]] InstrumentInfo info() const override;
  [[nodiscard]] DeviceReceipt receipt() const override;
  [[nodiscard]] std::vector<std::string> log() const override;
  void safe() const override;
  void begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const override;
  void begin_rows(Index first) const override;
  void pass_over(std::size_t readings) const override;
  [[nodiscard]] bool keeps_readings() const override { return journal_ != nullptr; }
  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override;
  [[nodiscard]] Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const override;
  void keep_inside(std::span<S> theta, double margin) const override;
  [[nodiscard]] double resolution() const override;

  /// From now on readings with an address (begin_readings) are looked up in the journal first, and kept there. device: their key in it
  /// company: differs where other devices share the rows of a batch, which then are others; 0: none, or as many as there may be
  void keep_journal(std::shared_ptr<ReadingJournal> journal, std::uint32_t device, std::uint32_t company = 0);

 private:
  /// Parameter vectors on one batch, and what becomes of them.
  struct Request {
    std::span<const std::span<const S>> thetas;
    const Matrix<float>& inputs;  // in the units of the device
    std::span<Matrix<S>> ys;
    std::size_t repeats = 1;
    std::span<const ReadingAddress> addresses;  // as many as thetas, or none
    bool may_miss = false;
  };
  void set_up();
  [[nodiscard]] std::vector<float> to_device(std::span<const S> theta) const;
  [[nodiscard]] Matrix<float> to_inputs(const ConstMatrixRef<S>& x) const;
  /// From the journal where it has them.
  void read_inputs(const Request& request) const;
  /// From the device. came: one for each reading, whether its result stands in ys. The failure that ended it, if any.
  [[nodiscard]] std::optional<DeviceError> read_device(const Request& request, std::vector<bool>& came) const;
  [[nodiscard]] DeviceReceipt receipt_of_device() const;
  [[nodiscard]] std::vector<ReadingAddress> next_addresses(std::size_t count) const;
  [[nodiscard]] std::vector<Index> bad_rows(const Matrix<float>& y) const;
  void read_again(std::span<const float> theta, const Matrix<float>& x, Matrix<float>& y, std::optional<ReadingAddress> address,
                  bool may_miss) const;
  void read(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
            std::span<const ReadingAddress> addresses, bool may_miss) const;

  DeviceMapOptions options_;
  mutable std::mutex busy_;
  std::unique_ptr<DeviceClient> client_;
  std::vector<ParameterRange> parameters_, inputs_, outputs_;  // one each; inputs_ and outputs_ empty if nothing is declared
  mutable std::int64_t projected_ = 0, dropped_ = 0;
  std::shared_ptr<ReadingJournal> journal_;
  std::uint32_t key_ = 0, company_ = 0;         // in the journal
  mutable bool lasting_ = false;                // what is read now
  mutable DeviceReceipt replayed_;              // bills of what came from the journal
  mutable std::optional<ReadingAddress> next_;  // of the readings that forward and read_many take; none: they have no address
  mutable std::uint64_t readings_ = 0;          // taken since begin_readings
  mutable Index first_row_ = 0;                 // of larger batches, that those read now begin with
};

extern template class DeviceMap<float>;
extern template class DeviceMap<double>;

}  // namespace ffzero
