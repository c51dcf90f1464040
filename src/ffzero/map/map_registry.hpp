// Maps with parameters that the layers of a network can be made of, by name.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "ffzero/base/registry.hpp"
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

/// Makes a map from this shape to this many outputs. numbers: all that its entry names   groups: of its outputs and parameters, see
/// ParameterLayout; a function that does not take them makes maps of one group
class MapFactory {
 public:
  using Map = std::shared_ptr<ForwardMap<float>>;

  template <class F>
    requires std::convertible_to<std::invoke_result_t<F&, const NamedNumbers&, const Shape&, Index, Index>, Map>
  MapFactory(F make)  // NOLINT(google-explicit-constructor): an entry names its function
      : make_(std::move(make)), takes_groups_(true) {}
  template <class F>
    requires std::convertible_to<std::invoke_result_t<F&, const NamedNumbers&, const Shape&, Index>, Map>
  MapFactory(F make)  // NOLINT(google-explicit-constructor)
      : make_([own = std::move(make)](const NamedNumbers& numbers, const Shape& input, Index outputs, Index) {
          return own(numbers, input, outputs);
        }) {}

  [[nodiscard]] bool takes_groups() const noexcept { return takes_groups_; }
  [[nodiscard]] Map operator()(const NamedNumbers& numbers, const Shape& input, Index outputs, Index groups = 1) const {
    return make_(numbers, input, outputs, groups);
  }

 private:
  std::function<Map(const NamedNumbers&, const Shape&, Index, Index)> make_;
  bool takes_groups_ = false;
};
/// What the key model.map chooses from: dense, and whatever was added. The layers of model.layers are made of it.
[[nodiscard]] Registry<MapFactory>& layer_maps();

}  // namespace ffzero
