// Maps that may be asked again.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/addressed.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/map/instrument.hpp"

namespace ffzero {

/// True if what the map answers once it answers again, and nothing but this computer is asked: it is no instrument, and no simulation of
/// one with noise, drift or steps (AddressedReadings::smooth). A map that says neither counts as one that repeats.
template <class S>
[[nodiscard]] bool repeats(const ForwardMap<S>& map) {
  const auto* const addressed = dynamic_cast<const AddressedReadings*>(&map);
  return dynamic_cast<const Instrument<S>*>(&map) == nullptr && (addressed == nullptr || addressed->smooth());
}

}  // namespace ffzero
