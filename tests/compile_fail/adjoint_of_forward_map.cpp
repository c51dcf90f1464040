// Where a derivative is needed, a map that can only be evaluated is refused by the type system.
// SPDX-License-Identifier: MIT
#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

double needs_adjoint(const AdjointMap<double>& map);
double needs_forward(const ForwardMap<double>& map);

double use(const ForwardMap<double>& device, const AdjointMap<double>& model) {
#ifdef FFZERO_MUST_NOT_COMPILE
  return needs_adjoint(device) + needs_adjoint(model);
#else
  return needs_forward(device) + needs_adjoint(model);
#endif
}

}  // namespace ffzero
