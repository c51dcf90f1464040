// A map reads the parameters that it is evaluated at and cannot move them.
// SPDX-License-Identifier: MIT
#include "ffzero/map/forward_map.hpp"

namespace ffzero {

class Bench final : public ForwardMap<double> {
 public:
  Shape input_shape() const override { return {.width = 1}; }
  Shape output_shape() const override { return {.width = 1}; }
  Index parameter_count() const override { return 1; }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& x, MatrixRef<double> y) const override {
#ifdef FFZERO_MUST_NOT_COMPILE
    theta[0] = 0.0;
#endif
    y = theta[0] * x;
  }
};

}  // namespace ffzero
