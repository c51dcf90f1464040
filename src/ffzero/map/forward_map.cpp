// Defaults of ForwardMap.
// SPDX-License-Identifier: MIT
#include "ffzero/map/forward_map.hpp"

#include <cmath>

namespace ffzero {

template <class S>
void ForwardMap<S>::initialise(std::span<S> theta, const RandomStream& random) const {
  if (theta.empty()) return;
  random.fill_uniform(theta);
  const double bound = 1.0 / std::sqrt(static_cast<double>(input_shape().size()));
  for (S& t : theta) t = static_cast<S>(bound * (2.0 * static_cast<double>(t) - 1.0));
}

template class ForwardMap<float>;
template class ForwardMap<double>;

}  // namespace ffzero
