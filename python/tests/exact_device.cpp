// A device in C++ whose every operation is rounded as IEEE 754 says, so that NumPy can give the same bits. Speaks the protocol on its
// standard input and output. Used by test_devices.py.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <memory>
#include <string>

#include "ffzero/device/serve.hpp"
#include "ffzero/map/forward_map.hpp"

namespace {

using ffzero::ConstMatrixRef, ffzero::Index, ffzero::MatrixRef, ffzero::Shape;

/// y_o = s / (1 + |s|), s = sum_i x_i theta_io from i = 0 on, in double: products of two floats are exact there, so that it makes no
/// difference whether product and sum are one operation.
class ExactBench final : public ffzero::ForwardMap<float> {
 public:
  ExactBench(Index inputs, Index outputs) : inputs_(inputs), outputs_(outputs) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = inputs_}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = outputs_}; }
  [[nodiscard]] Index parameter_count() const override { return inputs_ * outputs_; }
  [[nodiscard]] std::string kind() const override { return "bench"; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    for (Index row = 0; row < x.rows(); ++row)
      for (Index o = 0; o < outputs_; ++o) {
        double sum = 0.0;
        for (Index i = 0; i < inputs_; ++i)
          sum += static_cast<double>(x(row, i)) * static_cast<double>(theta[static_cast<std::size_t>(i * outputs_ + o)]);
        y(row, o) = static_cast<float>(sum / (1.0 + std::abs(sum)));
      }
  }

 private:
  Index inputs_, outputs_;
};

}  // namespace

/// Arguments: inputs outputs
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const ExactBench bench(std::stol(argv[1]), std::stol(argv[2]));
  ffzero::ServeOptions options{.identity = "exact", .parameters = {{.count = bench.parameter_count(), .min = -2.0, .max = 2.0}}};
  ffzero::serve(bench, options, 0, 1);
}
