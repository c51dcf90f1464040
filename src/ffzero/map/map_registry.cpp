// The map that is built in.
// SPDX-License-Identifier: MIT
#include "ffzero/map/map_registry.hpp"

#include "ffzero/map/dense.hpp"

namespace ffzero {

Registry<MapFactory>& layer_maps() {
  using Entry = Registry<MapFactory>::Entry;
  static Registry<MapFactory> maps(
      "model.map",
      {Entry{.name = "dense", .doc = "Weights and biases.", .make = [](const NamedNumbers&, const Shape& input, Index outputs) {
               return std::make_shared<Dense<float>>(input, outputs);
             }}});
  return maps;
}

}  // namespace ffzero
