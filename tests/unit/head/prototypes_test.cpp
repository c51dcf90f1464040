// Simplex prototypes and Haar rotations.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <Eigen/LU>
#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

constexpr double kTight = 1e-12;

Matrix<double> expected_gram(Index classes) {
  Matrix<double> gram = Matrix<double>::Constant(classes, classes, classes > 1 ? -1.0 / static_cast<double>(classes - 1) : 1.0);
  gram.diagonal().setOnes();
  return gram;
}

TEST(SimplexPrototypes, HaveTheGramMatrixOfASimplexForAnySize) {
  test::expect_property("Gram matrix 1 and -1/(K-1)", [] {
    const auto classes = *rc::gen::inRange<Index>(1, 30);
    const auto dimension = classes + *rc::gen::inRange<Index>(0, 40);
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const Matrix<double> r = simplex_prototypes(classes, dimension, RandomStream(seed, Stream::prototype));
    RC_ASSERT(r.rows() == classes && r.cols() == dimension);
    RC_ASSERT((r * r.transpose() - expected_gram(classes)).cwiseAbs().maxCoeff() < kTight);
    if (classes > 1) RC_ASSERT(r.colwise().sum().cwiseAbs().maxCoeff() < kTight);
  });
}

TEST(GramPseudoInverse, OfRoundedSimplicesIsTheClosedForm) {
  for (Index classes = 2; classes <= 64; ++classes)
    for (std::uint64_t seed = static_cast<std::uint64_t>(classes % 20); seed < 100; seed += 20) {
      const Matrix<double> r =
          simplex_prototypes(classes, classes + 30, RandomStream(seed, Stream::prototype)).cast<float>().template cast<double>();
      const double k = static_cast<double>(classes);
      Matrix<double> expected = Matrix<double>::Constant(classes, classes, -(k - 1.0) / (k * k));
      expected.diagonal().array() += (k - 1.0) / k;
      const Matrix<double> inverse = gram_pseudo_inverse(r * r.transpose(), std::numeric_limits<float>::epsilon());
      EXPECT_LT((inverse - expected).cwiseAbs().maxCoeff(), 1e-12) << classes << " classes, seed " << seed;
    }
}

TEST(GramPseudoInverse, KnowsTheRankOfWhatWasRounded) {
  for (const Index rank : {1, 2, 5, 7})
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      Matrix<double> left = test::normal_matrix(7, rank, seed), right = test::normal_matrix(rank, 12, seed + 100);
      left.diagonal().array() += 5.0;
      right.diagonal().array() += 5.0;
      const Matrix<double> exact = left * right;
      const Matrix<double> rounded = exact.cast<float>().template cast<double>();
      const Matrix<double> gram = rounded * rounded.transpose();
      const Matrix<double> inverse = gram_pseudo_inverse(gram, std::numeric_limits<float>::epsilon());
      EXPECT_NEAR((gram * inverse).trace(), static_cast<double>(rank), 1e-4) << rank << " seed " << seed;  // a projector's trace
      EXPECT_LT((gram * inverse * gram - gram).cwiseAbs().maxCoeff(), 1e-4 * gram.cwiseAbs().maxCoeff()) << rank << " seed " << seed;
    }
  EXPECT_NEAR(gram_pseudo_inverse(Matrix<double>::Constant(1, 1, 4.0), 1e-16)(0, 0), 0.25, 1e-15);
  EXPECT_EQ(gram_pseudo_inverse(Matrix<double>::Zero(3, 3), 1e-16), (Matrix<double>::Zero(3, 3)));
  EXPECT_THROW(static_cast<void>(gram_pseudo_inverse(Matrix<double>::Zero(3, 2), 1e-16)), ShapeError);
}

TEST(SimplexPrototypes, DependOnTheStreamAlone) {
  const RandomStream random(3, Stream::prototype);
  EXPECT_EQ(simplex_prototypes(4, 9, random), simplex_prototypes(4, 9, random));
  EXPECT_NE(simplex_prototypes(4, 9, random), simplex_prototypes(4, 9, random.of(1)));
}

TEST(SimplexPrototypes, RefuseMoreClassesThanDimensionsWithTheReason) {
  const RandomStream random(3, Stream::prototype);
  try {
    static_cast<void>(simplex_prototypes(10, 8, random));
    FAIL() << "no exception";
  } catch (const ConfigError& e) {
    const std::string line = e.what();
    EXPECT_NE(line.find("10 classes, 8 outputs"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  EXPECT_THROW(static_cast<void>(simplex_vertices(3, 2)), ConfigError);
  EXPECT_THROW(static_cast<void>(simplex_prototypes(0, 2, random)), ShapeError);
}

TEST(SimplexPrototypes, AreIsotropic) {
  // Mean of r_0 r_0^T over 4000 draws is the identity / d; standard error of an entry below 0.006, so 0.03 is five of them.
  const Index d = 4;
  Matrix<double> second = Matrix<double>::Zero(d, d);
  Matrix<double> mean = Matrix<double>::Zero(1, d);
  const int draws = 4000;
  for (int i = 0; i < draws; ++i) {
    const Matrix<double> r = simplex_prototypes(3, d, RandomStream(11, Stream::prototype, 0, static_cast<std::uint64_t>(i)));
    second += r.row(0).transpose() * r.row(0) / draws;
    mean += r.row(0) / draws;
  }
  EXPECT_LT((second - Matrix<double>::Identity(d, d) / static_cast<double>(d)).cwiseAbs().maxCoeff(), 0.03);
  EXPECT_LT(mean.cwiseAbs().maxCoeff(), 0.05);
}

TEST(HaarRotation, IsARotationForAnySize) {
  test::expect_property("orthogonal with determinant 1", [] {
    const auto n = *rc::gen::inRange<Index>(1, 25);
    const Matrix<double> a = test::normal_matrix(n, n, *rc::gen::arbitrary<std::uint64_t>());
    const Matrix<double> q = haar_rotation(a);
    RC_ASSERT((q * q.transpose() - Matrix<double>::Identity(n, n)).cwiseAbs().maxCoeff() < kTight);
    RC_ASSERT(std::abs(q.determinant() - 1.0) < 1e-10);
    // Up to the sign of the first column, the diagonal of R = Q^T A is positive.
    const Matrix<double> r = q.transpose() * a;
    for (Index i = 1; i < n; ++i) RC_ASSERT(r(i, i) > 0.0);
  });
}

TEST(HaarRotation, RefusesMatricesThatAreNotSquare) {
  EXPECT_THROW(static_cast<void>(haar_rotation(Matrix<double>::Ones(3, 2))), ShapeError);
}

}  // namespace
}  // namespace ffzero
