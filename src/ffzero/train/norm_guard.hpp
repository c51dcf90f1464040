// Lengths of the units of a block's parameters against those that it began with.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// The Euclidean length of one unit of parameters, in double.
template <class S>
[[nodiscard]] double unit_norm(const Unit& unit, std::span<const S> theta);

/// The parameters that belong to no unit.
[[nodiscard]] std::vector<Segment> uncovered_segments(const ParameterLayout& layout, Index parameters);

template <class S>
class NormGuard {
 public:
  NormGuard() = default;
  /// layout: outlives this. initial: the parameters that training began with.
  NormGuard(const ParameterLayout& layout, std::span<const S> initial);

  /// Scales each unit back to its first length; units of length 0 stay.
  void hold(std::span<S> theta) const;
  /// What is wrong with theta, as a requirement and what was found; both empty if nothing is: a parameter that is not finite, or a unit
  /// that has grown to a million times its first length (a loss that does not see the length of the parameters never says that they
  /// explode).
  struct Finding {
    std::string requirement, found;
    [[nodiscard]] bool sound() const noexcept { return requirement.empty(); }
  };
  [[nodiscard]] Finding look(std::span<const S> theta) const;

 private:
  const ParameterLayout* layout_ = nullptr;
  std::vector<double> initial_;
};

extern template class NormGuard<float>;
extern template class NormGuard<double>;

}  // namespace ffzero
