// A device of which only its words are left.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ffzero/device/client.hpp"

namespace ffzero {

/// A client that knows what the device said to hello (DeviceDescription::said) and can do nothing else: its readings are in a journal.
/// name: for messages. @throws DeviceError if that is no description
[[nodiscard]] std::unique_ptr<DeviceClient> recorded_client(std::string_view name, std::string_view said);

}  // namespace ffzero
