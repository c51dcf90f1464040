// What this machine can do at best, measured in the same run as the kernels that are compared with it.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "ffzero/tensor/gemm.hpp"

namespace ffzero::bench {

/// Seconds of the fastest of `repeats` calls.
template <class Work>
double fastest(int repeats, Work work) {
  double best = 1e300;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

/// Floating-point operations a second of a 512 x 512 x 512 product in float, one thread.
inline double gemm_peak() {
  static const double peak = [] {
    const Index n = 512;
    const Matrix<float> a = Matrix<float>::Random(n, n), b = Matrix<float>::Random(n, n);
    Matrix<float> c(n, n);
    return 2.0 * static_cast<double>(n * n * n) / fastest(30, [&] { gemm_nn<float>(a, b, c); });
  }();
  return peak;
}

/// Bytes a second that memcpy moves (read and written bytes both counted) over buffers of this size.
inline double copy_bandwidth(std::size_t bytes) {
  const std::vector<char> from(bytes, 1);
  std::vector<char> to(bytes);
  const int copies = static_cast<int>(1 + (std::size_t{1} << 24) / bytes);
  const double seconds = fastest(20, [&] {
    for (int i = 0; i < copies; ++i) {
      std::memcpy(to.data(), from.data(), bytes);
      asm volatile("" : : "r"(to.data()) : "memory");
    }
  });
  return 2.0 * static_cast<double>(bytes) * copies / seconds;
}

}  // namespace ffzero::bench
