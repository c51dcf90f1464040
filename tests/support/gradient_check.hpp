// One comparer for every exact gradient: central differences in double.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "ffzero/tensor/types.hpp"

namespace ffzero::test {

/// Accepts |g - difference| <= absolute + relative |difference|. Differences are taken at +-step max(1, |x_i|) and at half of that and
/// extrapolated, so what is left is of fourth order in step, plus rounding of about 1e-15 |f| / step.
struct GradientTolerance {
  double step = 1e-4;
  double absolute = 1e-9;
  double relative = 1e-8;
};

/// df/dx_i by extrapolated central differences.  f: Vector<double> -> double, called 4 times.
template <class F>
double numeric_derivative(F&& f, const Vector<double>& x, Index i, double step) {
  const double h = step * std::max(1.0, std::abs(x[i]));
  Vector<double> moved = x;
  const auto difference = [&](double by) {
    moved[i] = x[i] + by;
    const double plus = f(moved);
    moved[i] = x[i] - by;
    const double minus = f(moved);
    moved[i] = x[i];
    return (plus - minus) / (2.0 * by);
  };
  return (4.0 * difference(h / 2.0) - difference(h)) / 3.0;
}

/// Fails unless `g` (n) is the gradient of `f` at `x` (n). The caller keeps x at least `step` off every kink of f.
template <class F>
void expect_gradient(F&& f, const Vector<double>& x, const Vector<double>& g, const std::string& what = {},
                     const GradientTolerance& tolerance = {}) {
  ASSERT_EQ(x.size(), g.size()) << what;
  for (Index i = 0; i < x.size(); ++i) {
    const double expected = numeric_derivative(f, x, i, tolerance.step);
    ASSERT_LE(std::abs(g[i] - expected), tolerance.absolute + tolerance.relative * std::abs(expected))
        << what << ", entry " << i << ": " << g[i] << " instead of " << expected;
  }
}

/// The same for a function of a matrix, row-major.
template <class F>
void expect_matrix_gradient(F&& f, const Matrix<double>& x, const Matrix<double>& g, const std::string& what = {},
                            const GradientTolerance& tolerance = {}) {
  const auto of_vector = [&](const Vector<double>& v) {
    return f(Matrix<double>(Eigen::Map<const Matrix<double>>(v.data(), x.rows(), x.cols())));
  };
  expect_gradient(of_vector, Eigen::Map<const Vector<double>>(x.data(), x.size()), Eigen::Map<const Vector<double>>(g.data(), g.size()),
                  what, tolerance);
}

}  // namespace ffzero::test
