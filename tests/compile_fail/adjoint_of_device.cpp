// A device that says nothing but shapes and forward cannot stand where a derivative is needed, however it is held.
// SPDX-License-Identifier: MIT
#include <memory>

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

class Bench final : public ForwardMap<float> {
 public:
  Shape input_shape() const override { return {.width = 2}; }
  Shape output_shape() const override { return {.width = 2}; }
  Index parameter_count() const override { return 2; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override { y = theta[0] * x; }
};

#ifdef FFZERO_MUST_NOT_COMPILE
std::shared_ptr<AdjointMap<float>> trained_by() { return std::make_shared<Bench>(); }
#else
std::shared_ptr<ForwardMap<float>> trained_by() { return std::make_shared<Bench>(); }
#endif

}  // namespace ffzero
