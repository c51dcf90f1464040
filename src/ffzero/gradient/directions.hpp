// Random unit directions over the units of a parameter vector.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/base/executor.hpp"
#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

enum class Distribution {
  gaussian,    ///< normal entries
  rademacher,  ///< random signs
  hadamard,    ///< rows of a Hadamard matrix, columns randomly signed: isotropic, and orthogonal to one another within a step
  coordinate,  ///< one coordinate of every unit at a time, in turn from a random start
};
[[nodiscard]] std::string to_string(Distribution d);

/// out (m, dimension), overwritten: row j is direction j, of unit length within every unit of `layout`; parameters of no unit get 0.
/// The numbers depend on (random, j, position) alone. gaussian: normals / their norm (accumulated in double). rademacher and hadamard:
/// +-1/sqrt(size of the unit). E[d d^T] = I / size for all of them.
template <class S>
void fill_directions(const ParameterLayout& layout, Distribution distribution, const RandomStream& random, const Executor& executor,
                     MatrixRef<S> out);

}  // namespace ffzero
