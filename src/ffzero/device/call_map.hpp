// A device that the program itself can call: a function in place of a wire.
// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/parameter_range.hpp"
#include "ffzero/device/reading_key.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/map/twin_model.hpp"

namespace ffzero {

/// What a called device says about itself, as the greeting of docs/device-protocol.md does for one on a wire.
struct CallDescription {
  Index inputs = 0, outputs = 0, parameters = 0;  ///< each at least 1
  /// Limits of neighbouring parameters, without gaps from parameter 0 on; empty: none has any. Where there are bounds, [-1, 1] stands for
  /// them in theta, and the function gets values in the units of the device.
  std::vector<ParameterRange> ranges;
  double noise = 0.0;             ///< standard deviation of a reading; 0: not said
  std::string name = "function";  ///< in messages and records
  bool kept = false;              ///< the function keeps its answers by their address, see CallAddress

  /// @throws ConfigError naming the field that is wrong
  void validate() const;
};

/// Answers several parameter vectors on one batch, in their order.  thetas (m), each (parameters), in the units of the device
/// x (B, inputs)   ys (m), each (B, outputs), sized already
using DeviceCall =
    std::function<void(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys)>;

/// A model of the device, likewise by functions; theta in the units of the device everywhere.
struct CallTwin {
  /// dL/dtheta (parameters), overwritten.  theta (parameters)   x (B, inputs)   gy (B, outputs): dL/dy
  std::function<void(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& gy,
                     std::span<float> gtheta)>
      pullback;
  /// y (B, outputs), sized already; empty: the model gives slopes alone
  std::function<void(std::span<const float> theta, const ConstMatrixRef<float>& x, Matrix<float>& y)> forward;
  /// What the device has read; empty: the model does not learn
  std::function<void(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& y)> learn;
};

/// Which reading this is; the key says nothing about the device, whose function knows it.
struct CallAddress {
  ReadingKey key;
  bool lasting = false;  ///< every session of the run asks for it again
  friend auto operator<=>(const CallAddress&, const CallAddress&) = default;
};

/// y = f(theta, x) by a function. One caller at a time enters it, others wait. What it throws passes through; a reading that is not finite
/// is a DeviceError (not_finite).
class CallMap final : public ForwardMap<float>, public Instrument<float>, public Twinned<float>, private TwinModel<float> {
 public:
  /// safe: called with the safe values of all parameters; may be empty. twin: without a pullback there is none.
  /// @throws ConfigError as CallDescription::validate
  CallMap(CallDescription description, DeviceCall call, std::function<void(std::span<const float>)> safe = {}, CallTwin twin = {});

  [[nodiscard]] const TwinModel<float>* twin() const override { return twin_.pullback ? this : nullptr; }

  [[nodiscard]] Shape input_shape() const override { return {.width = description_.inputs}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = description_.outputs}; }
  [[nodiscard]] Index parameter_count() const override { return description_.parameters; }
  [[nodiscard]] std::string kind() const override { return "device"; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override;

  [[nodiscard]] const CallDescription& description() const noexcept { return description_; }
  [[nodiscard]] InstrumentInfo info() const override;
  [[nodiscard]] DeviceReceipt receipt() const override;
  [[nodiscard]] std::vector<std::string> log() const override { return {}; }
  void safe() const override;
  void begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const override;
  [[nodiscard]] bool keeps_readings() const override { return description_.kept; }
  void read_many(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys,
                 bool may_miss) const override;
  [[nodiscard]] Matrix<float> reference_readings(std::span<const float> theta, Index repeats) const override;
  void keep_inside(std::span<float> theta, double margin) const override;
  [[nodiscard]] double resolution() const override;

  /// For the function, while it is called: address of the first of the readings that it is asked for; all 0 until somebody begins.
  [[nodiscard]] const CallAddress& address() const noexcept { return address_; }

 private:
  void require_sizes(std::span<const float> theta, const ConstMatrixRef<float>& x) const;
  void require_finite(const Matrix<float>& y) const;
  void count(std::span<const float> values, Index rows) const;
  void model(std::span<const float> theta, const ConstMatrixRef<float>& x, Matrix<float>& y) const override;
  void pull(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& gy,
            std::span<float> gtheta) const override;
  void learn(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& y) const override;
  [[nodiscard]] bool says() const override { return static_cast<bool>(twin_.forward); }

  CallDescription description_;
  DeviceCall call_;
  std::function<void(std::span<const float>)> safe_;
  CallTwin twin_;
  mutable std::mutex busy_;
  mutable DeviceReceipt receipt_;
  mutable std::vector<float> last_;  ///< that the device was given
  mutable CallAddress address_;
};

}  // namespace ffzero
