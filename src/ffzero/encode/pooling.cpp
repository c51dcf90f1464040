// Means over the cells of a grid.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/pooling.hpp"

#include <algorithm>
#include <string>

#include "ffzero/base/error.hpp"

namespace ffzero {

template <class S>
void adaptive_average_pool(std::span<const S> plane, Index height, Index width, Index n, std::span<S> out) {
  if (n < 1 || n > std::min(height, width) || isize(plane.size()) != height * width || isize(out.size()) != n * n)
    throw ShapeError("adaptive_average_pool", "sizes must fit",
                     std::to_string(height) + " x " + std::to_string(width) + " to " + std::to_string(n));
  const auto begin = [n](Index i, Index size) { return i * size / n; };
  const auto end = [n](Index i, Index size) { return ((i + 1) * size + n - 1) / n; };
  for (Index i = 0; i < n; ++i) {
    const Index top = begin(i, height), bottom = end(i, height);
    for (Index j = 0; j < n; ++j) {
      const Index left = begin(j, width), right = end(j, width);
      double sum = 0.0;
      for (Index r = top; r < bottom; ++r)
        for (Index c = left; c < right; ++c) sum += static_cast<double>(plane[usize(r * width + c)]);
      out[usize(i * n + j)] = static_cast<S>(sum / static_cast<double>((bottom - top) * (right - left)));
    }
  }
}

template void adaptive_average_pool<float>(std::span<const float>, Index, Index, Index, std::span<float>);
template void adaptive_average_pool<double>(std::span<const double>, Index, Index, Index, std::span<double>);

}  // namespace ffzero
