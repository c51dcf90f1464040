// Convolution with batch norm as it stands in the specification: plain loops in double, for every shape.
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"

namespace ffzero::test {

/// Shapes that the golden files lack: strides, padding, non-square, several channels, one row, one column, left-over pixels.
inline std::vector<ConvOptions> conv_cases() {
  return {{.input = {1, 6, 6}, .channels = 1, .kernel = 3},
          {.input = {1, 28, 28}, .channels = 4, .kernel = 6, .padding = 2},
          {.input = {4, 13, 13}, .channels = 4, .kernel = 6, .padding = 2},
          {.input = {2, 7, 5}, .channels = 3, .kernel = 3, .stride = 2, .padding = 1},
          {.input = {3, 9, 11}, .channels = 10, .kernel = 4, .stride = 3, .padding = 0},
          {.input = {2, 5, 8}, .channels = 17, .kernel = 2, .stride = 2, .padding = 3},
          {.input = {1, 4, 4}, .channels = 2, .kernel = 1, .stride = 1, .padding = 2},
          {.input = {1, 8, 8}, .channels = 5, .kernel = 8, .stride = 5, .padding = 1},
          {.input = {16, 6, 6}, .channels = 9, .kernel = 5, .padding = 2},
          {.input = {1, 1, 9}, .channels = 2, .kernel = 1, .stride = 4}};
}

inline std::string name_of(const ConvOptions& o) {
  return to_string(o.input) + " to " + std::to_string(o.channels) + ", kernel " + std::to_string(o.kernel) + ", stride " +
         std::to_string(o.stride) + ", padding " + std::to_string(o.padding);
}

struct PlainConv {
  Matrix<double> z, y;  ///< before and after batch norm
  std::vector<double> mean, variance;
};

/// theta as in ConvBatchNorm; batch statistics.
inline PlainConv plain_conv(const ConvOptions& o, const Vector<double>& theta, const Matrix<double>& x) {
  const Index height = (o.input.height + 2 * o.padding - o.kernel) / o.stride + 1;
  const Index width = (o.input.width + 2 * o.padding - o.kernel) / o.stride + 1;
  const Index plane = height * width, kernels = o.channels * o.input.channels * o.kernel * o.kernel;
  PlainConv r{.z = Matrix<double>::Zero(x.rows(), o.channels * plane), .y = {}, .mean = {}, .variance = {}};
  for (Index b = 0; b < x.rows(); ++b)
    for (Index c = 0; c < o.channels; ++c)
      for (Index y = 0; y < height; ++y)
        for (Index q = 0; q < width; ++q)
          for (Index i = 0; i < o.input.channels; ++i)
            for (Index ky = 0; ky < o.kernel; ++ky)
              for (Index kx = 0; kx < o.kernel; ++kx) {
                const Index u = y * o.stride + ky - o.padding, v = q * o.stride + kx - o.padding;
                if (u < 0 || v < 0 || u >= o.input.height || v >= o.input.width) continue;
                r.z(b, c * plane + y * width + q) += theta[((c * o.input.channels + i) * o.kernel + ky) * o.kernel + kx] *
                                                     x(b, (i * o.input.height + u) * o.input.width + v);
              }
  r.y = r.z;
  for (Index c = 0; c < o.channels; ++c) {
    auto map = r.y.middleCols(c * plane, plane);
    const double mean = map.mean(), variance = (map.array() - mean).square().mean();
    map = ((map.array() - mean) / std::sqrt(variance + o.epsilon) * theta[kernels + c] + theta[kernels + o.channels + c]).matrix();
    r.mean.push_back(mean);
    r.variance.push_back(variance);
  }
  return r;
}

template <class S = double>
Matrix<S> random_matrix(Index rows, Index cols, std::uint64_t seed) {
  Matrix<S> m(rows, cols);
  RandomStream(seed, Stream::test).fill_normal(std::span<S>(m.data(), usize(m.size())));
  return m;
}

/// Parameters off the defaults: batch-norm weights about 1, biases about 0, neither exactly.
inline Vector<double> random_parameters(const ConvOptions& o, std::uint64_t seed) {
  const ConvBatchNorm<double> map(o);
  Vector<double> theta(map.parameter_count());
  map.initialise(as_span(theta), RandomStream(seed, Stream::initial));
  theta.tail(2 * o.channels) += 0.2 * random_matrix(2 * o.channels, 1, seed + 1);
  return theta;
}

}  // namespace ffzero::test
