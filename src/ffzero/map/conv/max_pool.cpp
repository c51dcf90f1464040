// Max pooling.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/max_pool.hpp"

#include <algorithm>
#include <cmath>

#include "ffzero/map/conv/row_kernel-inl.hpp"
#include "ffzero/map/conv/window.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

/// Not std::max: a NaN on either side stays.
template <class S>
S larger(S a, S b) {
  return b > a || b != b ? b : a;
}

}  // namespace

template <class S>
MaxPool<S>::MaxPool(Shape input, Index size, Index stride)
    : input_(checked_window(input, size, stride)), output_(input), size_(size), stride_(stride) {
  if (size == 0) return;
  output_ = window_outputs(input, input.channels, {.size = size, .stride = stride});
}

template <class S>
void MaxPool<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes("max pooling", x, input_, y, output_);
  if (size_ == 0) {
    y = x;
    return;
  }
  Vector<S> line(input_.width);
  const Index in = input_.height * input_.width, out = output_.height * output_.width;
  for (Index b = 0; b < x.rows(); ++b)
    for (Index c = 0; c < input_.channels; ++c) {
      const S* plane = x.row(b).data() + c * in;
      S* result = y.row(b).data() + c * out;
      if (size_ == 2 && stride_ == 2)
        conv::max_pool_pairs(plane, input_.width, output_.height, output_.width, result);
      else
        pool_plane(plane, line.data(), result);
    }
}

/// Any window: the rows of a window first, for that pass is over neighbouring memory.
template <class S>
void MaxPool<S>::pool_plane(const S* plane, S* line, S* out) const {
  for (Index i = 0; i < output_.height; ++i) {
    const S* top = plane + i * stride_ * input_.width;
    std::copy_n(top, input_.width, line);
    for (Index r = 1; r < size_; ++r)
      for (Index k = 0; k < input_.width; ++k) line[k] = larger(line[k], top[r * input_.width + k]);
    for (Index k = 0; k < output_.width; ++k) {
      S best = line[k * stride_];
      for (Index r = 1; r < size_; ++r) best = larger(best, line[k * stride_ + r]);
      *out++ = best;
    }
  }
}

template <class S>
Index MaxPool<S>::window_maximum(const S* plane, Index i, Index k) const {
  const Index corner = i * stride_ * input_.width + k * stride_;
  Index best = corner;
  for (Index r = 0; r < size_; ++r)
    for (Index q = 0; q < size_; ++q) {
      const Index at = corner + r * input_.width + q;
      if (plane[at] > plane[best] || std::isnan(plane[at])) best = at;
    }
  return best;
}

template <class S>
void MaxPool<S>::pullback(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/,
                          const ConstMatrixRef<S>& gy, std::span<S> /*gtheta*/, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  if (size_ == 0) {
    *gx = gy;
    return;
  }
  gx->setZero();
  for (Index b = 0; b < x.rows(); ++b) {
    const S* plane = x.row(b).data();
    const S* slope = gy.row(b).data();
    S* target = gx->row(b).data();
    for (Index c = 0; c < input_.channels; ++c, plane += input_.height * input_.width, target += input_.height * input_.width)
      for (Index i = 0; i < output_.height; ++i)
        for (Index k = 0; k < output_.width; ++k) target[window_maximum(plane, i, k)] += *slope++;
  }
}

template class MaxPool<float>;
template class MaxPool<double>;

}  // namespace ffzero
