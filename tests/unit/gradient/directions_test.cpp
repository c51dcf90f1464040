// Directions: unit length per unit, isotropy, independence of the number of threads.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/directions.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "support/property.hpp"

namespace ffzero {
namespace {

constexpr Distribution kAll[] = {Distribution::gaussian, Distribution::rademacher, Distribution::hadamard, Distribution::coordinate};

/// Three units in two groups, one of them in two pieces, and two parameters of no unit.
ParameterLayout ragged_layout() {
  return {.groups = 2,
          .units = {{.group = 0, .segments = {{.begin = 0, .size = 5}, {.begin = 9, .size = 2}}},
                    {.group = 1, .segments = {{.begin = 5, .size = 4}}},
                    {.group = 0, .segments = {{.begin = 13, .size = 1}}}}};
}
constexpr Index kRaggedSize = 14;

template <class S>
Matrix<S> draw(const ParameterLayout& layout, Index m, Index size, Distribution d, const RandomStream& random, int threads = 1) {
  Matrix<S> out = Matrix<S>::Constant(m, size, S{7});
  fill_directions<S>(layout, d, random, Executor(threads), out);
  return out;
}

template <class S>
double squared_length(const Matrix<S>& directions, Index row, const Unit& unit) {
  double sum = 0.0;
  for (const Segment& s : unit.segments) sum += directions.row(row).segment(s.begin, s.size).template cast<double>().squaredNorm();
  return sum;
}

TEST(Directions, HaveUnitLengthWithinEveryUnitAndAreZeroOutside) {
  for (const Distribution d : kAll) {
    const Matrix<double> out = draw<double>(ragged_layout(), 6, kRaggedSize, d, RandomStream(1, Stream::direction));
    const Matrix<float> single = draw<float>(ragged_layout(), 6, kRaggedSize, d, RandomStream(1, Stream::direction));
    for (Index j = 0; j < out.rows(); ++j) {
      for (const Unit& unit : ragged_layout().units) {
        EXPECT_NEAR(squared_length(out, j, unit), 1.0, 1e-14) << to_string(d);
        EXPECT_NEAR(squared_length(single, j, unit), 1.0, 1e-6) << to_string(d);
      }
      EXPECT_EQ(out(j, 11), 0.0) << to_string(d);
      EXPECT_EQ(out(j, 12), 0.0) << to_string(d);
    }
  }
}

TEST(Directions, LongUnitsKeepTheirLengthInFloat) {
  const Index size = 300000;  // many chunks
  for (const Distribution d : kAll) {
    const Matrix<float> out = draw<float>(ParameterLayout::whole(size), 2, size, d, RandomStream(2, Stream::direction), 2);
    for (Index j = 0; j < 2; ++j) EXPECT_NEAR(out.row(j).cast<double>().squaredNorm(), 1.0, 1e-6) << to_string(d);
  }
}

TEST(Directions, AreTheSameForAnyNumberOfThreads) {
  const Index size = 50000;
  for (const Distribution d : kAll) {
    const RandomStream random(3, Stream::direction, 1, 77);
    const Matrix<float> one = draw<float>(ParameterLayout::whole(size), 3, size, d, random, 1);
    EXPECT_TRUE(one == draw<float>(ParameterLayout::whole(size), 3, size, d, random, 2)) << to_string(d);
    EXPECT_TRUE(one == draw<float>(ParameterLayout::whole(size), 3, size, d, random, 3)) << to_string(d);
    EXPECT_FALSE(one == draw<float>(ParameterLayout::whole(size), 3, size, d, random.at(78), 1)) << to_string(d);
  }
}

TEST(Directions, MeanOuterProductIsTheIdentityOverTheSize) {
  const Index m = 4, draws = 6000;
  const auto layout = ragged_layout();
  for (const Distribution d : kAll) {
    Matrix<double> second = Matrix<double>::Zero(kRaggedSize, kRaggedSize);
    Vector<double> first = Vector<double>::Zero(kRaggedSize);
    for (Index t = 0; t < draws; ++t) {
      const Matrix<double> out =
          draw<double>(layout, m, kRaggedSize, d, RandomStream(4, Stream::direction, 0, static_cast<std::uint64_t>(t)));
      second += out.transpose() * out / static_cast<double>(m * draws);
      first += out.colwise().sum().transpose() / static_cast<double>(m * draws);
    }
    // An entry lies in [-1, 1]; five standard errors of the mean over the independent draws.
    const double tolerance = 5.0 / std::sqrt(static_cast<double>(draws));
    for (const Unit& unit : layout.units)
      for (const Segment& s : unit.segments)
        for (Index i = s.begin; i < s.begin + s.size; ++i) {
          EXPECT_NEAR(second(i, i), 1.0 / static_cast<double>(unit.size()), tolerance / static_cast<double>(unit.size()) * 2.0)
              << to_string(d);
          if (d != Distribution::coordinate) {
            EXPECT_NEAR(first(i), 0.0, tolerance) << to_string(d);
          }
          for (const Segment& t : unit.segments)
            for (Index k = t.begin; k < t.begin + t.size; ++k) {
              if (i != k) {
                EXPECT_NEAR(second(i, k), 0.0, tolerance / static_cast<double>(unit.size())) << to_string(d) << i << k;
              }
            }
        }
  }
}

TEST(Directions, HadamardRowsOfAStepAreOrthogonal) {
  for (const Index m : {2, 3, 8, 13}) {
    const Index block = static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(m)));
    for (const Index size : {block, 5 * block, 64 * block}) {
      const Matrix<double> out =
          draw<double>(ParameterLayout::whole(size), m, size, Distribution::hadamard, RandomStream(5, Stream::direction, 0, 3));
      const Matrix<double> gram = out * out.transpose();
      EXPECT_LT((gram - Matrix<double>::Identity(m, m)).cwiseAbs().maxCoeff(), 1e-12) << m << " of " << size;
    }
    // A remainder that fills no block of columns adds at most its own share.
    const Index ragged = 6 * block + block / 2 + 1;
    const Matrix<double> out =
        draw<double>(ParameterLayout::whole(ragged), m, ragged, Distribution::hadamard, RandomStream(5, Stream::direction, 0, 3));
    EXPECT_LE((out * out.transpose() - Matrix<double>::Identity(m, m)).cwiseAbs().maxCoeff(),
              static_cast<double>(block) / static_cast<double>(ragged) + 1e-12);
  }
}

TEST(Directions, SignsOfAnotherStepAreOthers) {
  const Index size = 4096;
  const auto row = [&](std::uint64_t step) {
    return draw<double>(ParameterLayout::whole(size), 1, size, Distribution::hadamard, RandomStream(5, Stream::direction, 0, step));
  };
  EXPECT_LT(std::abs(row(1).row(0).dot(row(2).row(0))), 5.0 / std::sqrt(static_cast<double>(size)));
}

TEST(Directions, CoordinatesTakeTurnsAndCoverEveryUnitOnce) {
  const auto layout = ragged_layout();
  const Index m = 7;  // the size of the largest unit
  const Matrix<double> out = draw<double>(layout, m, kRaggedSize, Distribution::coordinate, RandomStream(6, Stream::direction));
  const Vector<double> visits = out.colwise().sum().transpose();
  for (const Segment& s : layout.units[0].segments)
    for (Index i = s.begin; i < s.begin + s.size; ++i) EXPECT_EQ(visits(i), 1.0);
  EXPECT_EQ(visits(13), 7.0);
  EXPECT_EQ(out.cwiseAbs().sum(), 3.0 * static_cast<double>(m));
}

}  // namespace
}  // namespace ffzero
