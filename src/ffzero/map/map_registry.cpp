// The maps that are built in.
// SPDX-License-Identifier: MIT
#include "ffzero/map/map_registry.hpp"

#include "ffzero/map/crossbar.hpp"
#include "ffzero/map/dense.hpp"

namespace ffzero {

Registry<MapFactory>& layer_maps() {
  using Entry = Registry<MapFactory>::Entry;
  const auto crossbar = [](const char* name, const char* doc, const CrossbarOptions& preset) {
    return Entry{.name = name,
                 .doc = doc,
                 .numbers = crossbar_numbers(preset),
                 .make = [](const NamedNumbers& numbers, const Shape& input, Index outputs, Index groups) {
                   return std::make_shared<Crossbar<float>>(input, outputs, crossbar_options(numbers), groups);
                 }};
  };
  static Registry<MapFactory> maps(
      "model.map",
      {Entry{.name = "dense",
             .doc = "Weights and biases.",
             .make = [](const NamedNumbers&, const Shape& input, Index outputs,
                        Index groups) { return std::make_shared<Dense<float>>(input, outputs, groups); }},
       crossbar("crossbar_io", "Weights on an analog crossbar: converters, bounds, noise of the outputs.", crossbar_io()),
       crossbar("crossbar_pcm", "The same in cells of phase-change memory: noise of programming and reading, drift.", crossbar_pcm())});
  return maps;
}

}  // namespace ffzero
