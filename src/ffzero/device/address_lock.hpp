// One host for each device on a machine.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/device/address.hpp"
#include "ffzero/device/descriptor.hpp"

namespace ffzero {

/// Held as long as the object lives; the system lets go of it when the process ends, however it ends. Named by the address: paths are
/// made canonical first, so that two names of one serial line are one device.
class AddressLock {
 public:
  /// @throws DeviceError naming the address and the process that holds it
  explicit AddressLock(const DeviceAddress& address);

 private:
  Descriptor holder_;
};

}  // namespace ffzero
