// A layer: what is trained, what is passed on, and what its local loss looks at.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ffzero/head/head.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// x -> map -> passed_on[0] -> passed_on[1] ... -> next layer's x
///          local loss: after `loss_after` of the passed_on maps, through `readout` (if any), into `head`.
template <class S>
struct Layer {
  std::string name;
  std::shared_ptr<ForwardMap<S>> map;
  std::vector<std::shared_ptr<ForwardMap<S>>> passed_on;  ///< fixed maps without parameters
  Index loss_after = 0;                                   ///< 0: the local loss sees the map's own output ("pre")
  std::shared_ptr<ForwardMap<S>> readout;                 ///< fixed map without parameters between layer and head; may be null
  std::shared_ptr<Head<S>> head;
  double dropout = 0.0;  ///< share of what is passed on that is set to 0 during training, the rest scaled by 1/(1 - dropout)

  /// The fixed maps between `map` and `head`, in order.
  [[nodiscard]] std::vector<const ForwardMap<S>*> tail() const {
    std::vector<const ForwardMap<S>*> maps;
    for (Index i = 0; i < loss_after; ++i) maps.push_back(passed_on[usize(i)].get());
    if (readout) maps.push_back(readout.get());
    return maps;
  }
  [[nodiscard]] Shape output_shape() const { return passed_on.empty() ? map->output_shape() : passed_on.back()->output_shape(); }
};

enum class Reduction { sum, mean };

/// A contiguous range of layers that is trained as one function: a layer of its own (local), all of them (end to end), or k (grouped).
/// `head` and `loss` belong to the block's last layer; all pointers outlive the block.
template <class S>
struct Block {
  std::vector<const Layer<S>*> layers;
  const Head<S>* head = nullptr;
  const Loss<S>* loss = nullptr;
  const Loss<double>* exact_loss = nullptr;  ///< the same loss on double scores, for differences
  Reduction reduction = Reduction::mean;
  Index first_layer = 0;
  bool end_to_end = false;  ///< parameters move along one direction, the read-out replaces the local tail
  bool one_loss = false;    ///< only the sum of the groups' losses is read: they move along one direction, as on a device

  [[nodiscard]] Index parameter_count() const {
    Index n = 0;
    for (const auto* layer : layers) n += layer->map->parameter_count();
    return n;
  }
};

/// The parameters of a block: those of its only layer, or (several layers, one_loss) all in order, merged into one group: maps of one unit
/// per group join one common unit (one direction over the whole network), maps of several (meshes) keep theirs  [docs/notation.md, Units,
/// groups, blocks].
template <class S>
[[nodiscard]] ParameterLayout block_layout(const Block<S>& block) {
  if (block.layers.size() == 1 && !block.end_to_end && !block.one_loss) return block.layers[0]->map->parameter_layout();
  ParameterLayout merged;
  Unit common;
  Index offset = 0;
  for (const auto* layer : block.layers) {
    const ParameterLayout own = layer->map->parameter_layout();
    const bool one_unit_per_group = isize(own.units.size()) == own.groups;
    for (const Unit& unit : own.units) {
      Unit moved{.group = 0, .segments = {}};
      for (const Segment& s : unit.segments) (one_unit_per_group ? common : moved).segments.push_back({offset + s.begin, s.size});
      if (!one_unit_per_group) merged.units.push_back(moved);
    }
    offset += layer->map->parameter_count();
  }
  if (!common.segments.empty()) merged.units.push_back(common);
  return merged;
}

}  // namespace ffzero
