// The derivative of slopes in a generator against differences, over outputs, samples and ranks.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/slope_kernel-inl.hpp"

#include <gtest/gtest.h>

#include "ffzero/base/random.hpp"
#include "ffzero/gradient/transfer_matrix.hpp"

namespace ffzero {
namespace {

/// (rows, 2, stride): normal numbers, zeros beyond the outputs.
Vector<double> parts(Index rows, Index outputs, Index stride, std::uint32_t draw) {
  Vector<double> all = Vector<double>::Zero(2 * rows * stride);
  for (Index i = 0; i < 2 * rows; ++i)
    RandomStream(1, Stream::test, draw, static_cast<std::uint64_t>(i)).fill_normal({all.data() + i * stride, usize(outputs)});
  return all;
}

ComplexMatrix columns(const Vector<double>& all, Index rows, Index outputs, Index stride) {
  ComplexMatrix m(outputs, rows);
  for (Index i = 0; i < rows; ++i)
    for (Index k = 0; k < outputs; ++k) m(k, i) = {all[2 * i * stride + k], all[(2 * i + 1) * stride + k]};
  return m;
}

TEST(SlopeKernel, IsTheDerivativeOfTheSlopesOfPowers) {
  for (const Index outputs : {1, 2, 3, 7, 8, 9, 16, 21, 64})
    for (const Index samples : {1, 2, 13})
      for (const Index rank : {1, 2}) {
        SCOPED_TRACE(testing::Message() << outputs << " outputs, " << samples << " samples, rank " << rank);
        const Index stride = divide_up(outputs, slope_kernel::kPad) * slope_kernel::kPad;
        const Vector<double> y = parts(samples, outputs, stride, 0), v = parts(rank, outputs, stride, 1);
        const Vector<double> change = parts(rank, outputs, stride, 2), weights = parts(samples, outputs, stride, 3);
        const slope_kernel::Fields<double> fields{.y = y.data(), .samples = samples, .stride = stride};
        Vector<double> slopes(samples * stride);
        for (Index b = 0; b < samples; ++b) slopes.segment(b * stride, stride) = weights.segment(2 * b * stride, stride);
        Vector<double> seen(2 * samples * rank);
        const auto miss = [&](const Vector<double>& at, double& squares) {
          Vector<double> misses(samples * stride);
          squares = slope_kernel::miss(fields, {.v = at.data(), .seen = seen.data(), .rank = rank}, slopes.data(), misses.data());
          return misses;
        };

        // Slopes are of the second degree in V: differences of both sides are exact.
        double squares = 0.0;
        const Vector<double> forward = (miss(v + change, squares) - miss(v - change, squares)) / 2.0, misses = miss(v, squares);
        const Matrix<double> want = power_slopes({columns(v, rank, outputs, stride)}, columns(y, samples, outputs, stride));
        const double scale = want.cwiseAbs().maxCoeff() + 1.0;
        for (Index b = 0; b < samples; ++b) {
          for (Index k = 0; k < outputs; ++k) EXPECT_NEAR(misses[b * stride + k] + slopes[b * stride + k], want(k, b), 1e-12 * scale);
          EXPECT_TRUE((misses.segment(b * stride + outputs, stride - outputs).array() == 0.0).all());
        }
        EXPECT_NEAR(squares, misses.squaredNorm(), 1e-12 * misses.squaredNorm());

        const slope_kernel::Point<double> at{.v = v.data(), .seen = seen.data(), .rank = rank};
        Vector<double> back(v.size()), normal(v.size());
        slope_kernel::backward(fields, at, misses.data(), back.data());
        EXPECT_NEAR(back.dot(change), misses.dot(forward), 1e-11 * (back.norm() * change.norm() + 1.0));
        slope_kernel::backward(fields, at, forward.data(), back.data());
        slope_kernel::normal(fields, at, change.data(), normal.data());
        EXPECT_LE((back - normal).norm(), 1e-11 * (back.norm() + 1.0));

        const Vector<float> y_single = y.cast<float>(), v_single = v.cast<float>(), change_single = change.cast<float>();
        Vector<float> seen_single = seen.cast<float>(), normal_single(v.size());
        slope_kernel::normal({.y = y_single.data(), .samples = samples, .stride = stride},
                             {.v = v_single.data(), .seen = seen_single.data(), .rank = rank}, change_single.data(), normal_single.data());
        EXPECT_LE((normal - normal_single.cast<double>()).norm(), 1e-5 * (normal.norm() + 1.0));
      }
}

}  // namespace
}  // namespace ffzero
