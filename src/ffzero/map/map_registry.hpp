// Maps with parameters that the layers of a network can be made of, by name.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "ffzero/base/registry.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// A map from this shape to this many outputs. numbers: all that its entry names
using MapFactory = std::function<std::shared_ptr<ForwardMap<float>>(const NamedNumbers& numbers, const Shape& input, Index outputs)>;
/// What the key model.map chooses from: dense, and whatever was added. The layers of model.layers are made of it.
[[nodiscard]] Registry<MapFactory>& layer_maps();

}  // namespace ffzero
