// Matrix types of the whole library.
// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>
#include <complex>
#include <span>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// A batch of samples: one sample per row, row-major. S is float in training and double in the tests.
template <class S>
using Matrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class S>
using Vector = Eigen::Matrix<S, Eigen::Dynamic, 1>;
/// Fields of light and what carries them.
using ComplexMatrix = Matrix<std::complex<double>>;

/// Views with unit inner stride: whole matrices, ranges of rows, ranges of columns. They never own and, passed by
/// `const ConstMatrixRef<S>&`, never copy unless the argument is an expression.
template <class S>
using MatrixRef = Eigen::Ref<Matrix<S>, 0, Eigen::OuterStride<>>;
template <class S>
using ConstMatrixRef = Eigen::Ref<const Matrix<S>, 0, Eigen::OuterStride<>>;

/// Contiguous parameter vectors travel as spans.
template <class S>
[[nodiscard]] std::span<S> as_span(Vector<S>& v) noexcept {
  return {v.data(), usize(v.size())};
}
template <class S>
[[nodiscard]] std::span<const S> as_span(const Vector<S>& v) noexcept {
  return {v.data(), usize(v.size())};
}
template <class S>
[[nodiscard]] Eigen::Map<const Vector<S>> as_vector(std::span<const S> s) noexcept {
  return {s.data(), isize(s.size())};
}
template <class S>
[[nodiscard]] Eigen::Map<Vector<S>> as_vector(std::span<S> s) noexcept {
  return {s.data(), isize(s.size())};
}

}  // namespace ffzero
