// Products of complex matrices, and eigenvalues of Hermitian and symmetric ones, over shapes.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/hermitian.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

ComplexMatrix normals(Index rows, Index columns, std::uint32_t part) {
  Matrix<double> parts(rows, 2 * columns);
  RandomStream(1, Stream::test, part).fill_normal(std::span<double>(parts.data(), usize(parts.size())));
  ComplexMatrix m(rows, columns);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < columns; ++j) m(i, j) = {parts(i, j), parts(i, columns + j)};
  return m;
}

/// a b entry by entry.
ComplexMatrix by_entries(const ComplexMatrix& a, const ComplexMatrix& b) {
  ComplexMatrix c = ComplexMatrix::Zero(a.rows(), b.cols());
  for (Index i = 0; i < a.rows(); ++i)
    for (Index j = 0; j < b.cols(); ++j)
      for (Index k = 0; k < a.cols(); ++k) c(i, j) += a(i, k) * b(k, j);
  return c;
}

double most_off(const ComplexMatrix& a, const ComplexMatrix& b) { return a.size() == 0 ? 0.0 : (a - b).cwiseAbs().maxCoeff(); }

TEST(ComplexProduct, IsTheSumOverEntriesForEveryShape) {
  for (const Index rows : {0, 1, 2, 7, 33})
    for (const Index inner : {0, 1, 2, 5, 64})
      for (const Index columns : {0, 1, 3, 17}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << inner << " x " << columns);
        const ComplexMatrix a = normals(rows, inner, 0), b = normals(inner, columns, 1);
        const ComplexMatrix want = by_entries(a, b), found = product(a, b);
        ASSERT_EQ(found.rows(), rows);
        ASSERT_EQ(found.cols(), columns);
        EXPECT_LE(most_off(found, want), 1e-12);
        EXPECT_LE(most_off(product_adjoint(a, b.adjoint()), want), 1e-12);
        EXPECT_LE(most_off(adjoint_product(a.adjoint(), b), want), 1e-12);
        using Single = Matrix<std::complex<float>>;
        const Single a_single = a.cast<std::complex<float>>(), b_single = b.cast<std::complex<float>>();
        EXPECT_LE(most_off(product(a_single, b_single).cast<std::complex<double>>(), want), 1e-4);
        EXPECT_LE(most_off(adjoint_product(Single(a_single.adjoint()), b_single).cast<std::complex<double>>(), want), 1e-4);
      }
}

TEST(ComplexProduct, RefusesShapesThatDoNotMatch) {
  const ComplexMatrix a = normals(2, 3, 0), b = normals(2, 3, 1);
  EXPECT_THROW(static_cast<void>(product(a, b)), ShapeError);
  EXPECT_THROW(static_cast<void>(product_adjoint(a, normals(2, 2, 2))), ShapeError);
  EXPECT_THROW(static_cast<void>(adjoint_product(a, normals(3, 2, 2))), ShapeError);
}

TEST(HermitianEigen, MakesTheMatrixAgainFromItsUpperTriangle) {
  for (const Index n : {0, 1, 2, 3, 10, 64}) {
    SCOPED_TRACE(n);
    const ComplexMatrix any = normals(n, n, 3);
    const ComplexMatrix hermitian = any + any.adjoint();
    ComplexMatrix upper = hermitian;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < i; ++j) upper(i, j) = {1e3, 1e3};
    const HermitianEigen found = hermitian_eigen(upper);
    ASSERT_EQ(found.values.size(), n);
    for (Index i = 1; i < n; ++i) EXPECT_LE(found.values[i - 1], found.values[i]);
    const ComplexMatrix& v = found.vectors;
    const ComplexMatrix stretched = v * found.values.cast<std::complex<double>>().asDiagonal();
    EXPECT_LE(most_off(by_entries(stretched, v.adjoint()), hermitian), 1e-11);
    EXPECT_LE(most_off(by_entries(v.adjoint(), v), ComplexMatrix::Identity(n, n)), 1e-12);
  }
}

TEST(SymmetricEigen, FindsTheLargestFromTheUpperTriangle) {
  for (const Index n : {1, 2, 3, 10, 65, 200}) {
    const Matrix<double> any = test::normal_matrix(n, n, 5);
    Matrix<double> symmetric = any + any.transpose();
    // Several times the same value, as pixels without contrast give: any basis of their space is right.
    if (n > 10) {
      symmetric.topRows(n / 2).setZero();
      symmetric.leftCols(n / 2).setZero();
    }
    Matrix<double> upper = symmetric;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < i; ++j) upper(i, j) = std::numeric_limits<double>::quiet_NaN();
    const Vector<double> all = symmetric_eigen(upper, n).values;
    ASSERT_EQ(all.size(), n);
    EXPECT_NEAR(all.sum(), symmetric.trace(), 1e-10 * static_cast<double>(n));
    for (const Index count : {Index{0}, Index{1}, n / 2, n}) {
      SCOPED_TRACE(std::to_string(n) + ", the largest " + std::to_string(count));
      const auto [values, vectors] = symmetric_eigen(upper, count);
      ASSERT_EQ(values.size(), count);
      ASSERT_EQ(vectors.rows(), n);
      ASSERT_EQ(vectors.cols(), count);
      if (count == 0) continue;
      EXPECT_LE((values - all.tail(count)).cwiseAbs().maxCoeff(), 1e-11);
      const Matrix<double> stretched = vectors * values.asDiagonal();
      EXPECT_LE((symmetric * vectors - stretched).cwiseAbs().maxCoeff(), 1e-11);
      EXPECT_LE((vectors.transpose() * vectors - Matrix<double>::Identity(count, count)).cwiseAbs().maxCoeff(), 1e-12);
    }
  }
}

TEST(SymmetricEigen, SaysWhatItCannotDo) {
  EXPECT_THROW(static_cast<void>(symmetric_eigen(Matrix<double>::Zero(2, 3), 1)), ShapeError);
  EXPECT_THROW(static_cast<void>(symmetric_eigen(Matrix<double>::Zero(2, 2), 3)), ShapeError);
  EXPECT_THROW(static_cast<void>(symmetric_eigen(Matrix<double>::Zero(2, 2), -1)), ShapeError);
  Matrix<double> broken = Matrix<double>::Identity(3, 3);
  broken(0, 1) = std::numeric_limits<double>::infinity();
  const auto [values, vectors] = symmetric_eigen(broken, 2);
  EXPECT_TRUE(std::isnan(values[0]) && std::isnan(values[1]));
  EXPECT_TRUE(std::isnan(vectors(2, 1)));
}

TEST(HermitianEigen, SaysWhatItCannotDo) {
  EXPECT_THROW(static_cast<void>(hermitian_eigen(normals(2, 3, 0))), ShapeError);
  ComplexMatrix broken = ComplexMatrix::Identity(3, 3);
  broken(0, 1) = std::numeric_limits<double>::infinity();
  const HermitianEigen found = hermitian_eigen(broken);
  for (Index i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(found.values[i]));
  EXPECT_TRUE(std::isnan(found.vectors(0, 0).real()));
}

TEST(ShortestSolution, LeavesOutWhatTheMatrixDoesNotKnow) {
  for (const Index n : {0, 1, 2, 5, 16, 40})
    for (const Index rank : {Index{0}, n / 2, n}) {
      SCOPED_TRACE(testing::Message() << "rank " << rank << " of " << n);
      const Matrix<double> half = normals(n, rank, 7).real(), a = half * half.transpose();
      const Vector<double> x = half * normals(rank, 1, 8).real(), b = a * x;  // in the span of a: the shortest one
      EXPECT_LE((shortest_solution(a, b, 1e-12) - x).norm(), 1e-6 * (x.norm() + 1.0));
      Matrix<double> definite = a;
      definite.diagonal().array() += 1.0;
      EXPECT_LE((positive_solution(definite, definite * x) - x).norm(), 1e-9 * (x.norm() + 1.0));
    }
}

TEST(ShortestSolution, RefusesWhatDoesNotFitAndSaysWhatIsNoNumber) {
  const Matrix<double> a = Matrix<double>::Identity(3, 3);
  EXPECT_THROW(static_cast<void>(shortest_solution(a, Vector<double>::Zero(2), 0.0)), ShapeError);
  EXPECT_THROW(static_cast<void>(positive_solution(a, Vector<double>::Zero(2))), ShapeError);
  EXPECT_THROW(static_cast<void>(positive_solution(Matrix<double>::Zero(2, 3), Vector<double>::Zero(2))), ShapeError);
  Matrix<double> unknown = a;
  unknown(0, 2) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(shortest_solution(unknown, Vector<double>::Ones(3), 0.0).array().isNaN().all());
  EXPECT_TRUE(positive_solution(-a, Vector<double>::Ones(3)).array().isNaN().all());
}

}  // namespace
}  // namespace ffzero
