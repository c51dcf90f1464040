// Products without zeros against products with them, on every target of this processor.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/sparse.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/tensor/packed.hpp"
#include "support/each_target.hpp"

namespace ffzero {
namespace {

template <class S>
Matrix<S> normals(Index rows, Index columns, std::uint32_t part) {
  Matrix<S> m(rows, columns);
  RandomStream(1, Stream::test, part).fill_normal(std::span<S>(m.data(), usize(m.size())));
  return m;
}

/// About `share` of the entries are not 0; row 0 is empty, row 1 full.
template <class S>
Matrix<S> sparse(Index rows, Index columns, double share) {
  Matrix<S> m = normals<S>(rows, columns, 4), u(rows, columns);
  RandomStream(1, Stream::test, 5).fill_uniform(std::span<S>(u.data(), usize(u.size())));
  for (Index i = 0; i < m.size(); ++i)
    if (static_cast<double>(u.data()[i]) > share) m.data()[i] = S{0};
  if (rows > 0) m.row(0).setZero();
  if (rows > 1) m.row(1).setOnes();
  return m;
}

class SparseProduct : public test::OnTarget {};

/// Every remainder of lines, lengths and outputs; views into larger matrices.
template <class S>
void expect_products(double tolerance) {
  SparseLines<S> lines;
  PackedOperand<S> packed;
  for (const Index rows : {1, 3, 8, 17})
    for (const Index inner : {1, 4, 15, 16, 33, 100, 785})
      for (const Index outputs : {1, 3, 4, 16, 19, 100, 131}) {
        const Matrix<S> x = sparse<S>(rows, inner + 3, 0.2), b = normals<S>(outputs, inner + 1, 1), offset = normals<S>(1, outputs, 2);
        const Matrix<S> a = normals<S>(rows, outputs + 2, 3), old = normals<S>(rows, outputs + 2, 6);
        Matrix<S> c = old;
        lines.assign_rows(x.leftCols(inner));
        lines.affine_nt(b.leftCols(inner), {offset.data(), usize(outputs)}, c.leftCols(outputs));
        Matrix<double> expected = x.leftCols(inner).template cast<double>() * b.leftCols(inner).transpose().template cast<double>();
        expected.rowwise() += offset.row(0).template cast<double>();
        ASSERT_LT((c.leftCols(outputs).template cast<double>() - expected).cwiseAbs().maxCoeff(),
                  tolerance * static_cast<double>(inner + 10))
            << rows << " x " << outputs << " x " << inner;
        ASSERT_EQ(c.rightCols(2), old.rightCols(2)) << "wrote beyond the result";
        packed.assign(b.leftCols(inner), PackedOperand<S>::Use::rows);
        c = old;
        packed.affine_nt(x.leftCols(inner), {offset.data(), usize(outputs)}, c.leftCols(outputs));
        ASSERT_LT((c.leftCols(outputs).template cast<double>() - expected).cwiseAbs().maxCoeff(),
                  tolerance * static_cast<double>(inner + 10))
            << rows << " x " << outputs << " x " << inner << ", packed for rows";
        ASSERT_EQ(c.rightCols(2), old.rightCols(2)) << "wrote beyond the result";

        Matrix<S> g = normals<S>(outputs, inner + 3, 7);
        expected = g.leftCols(inner).template cast<double>() +
                   a.leftCols(outputs).transpose().template cast<double>() * x.leftCols(inner).template cast<double>();
        const Matrix<S> beyond = g.rightCols(3);
        lines.assign_columns(x.leftCols(inner));
        lines.add_gemm_tn(a.leftCols(outputs), g.leftCols(inner));
        ASSERT_LT((g.leftCols(inner).template cast<double>() - expected).cwiseAbs().maxCoeff(), tolerance * static_cast<double>(rows + 10))
            << rows << " x " << outputs << " x " << inner;
        ASSERT_EQ(g.rightCols(3), beyond) << "wrote beyond the result";
      }
}

TEST_P(SparseProduct, IsTheProductForEveryRemainderInDouble) { expect_products<double>(1e-14); }
TEST_P(SparseProduct, IsTheProductForEveryRemainderInFloat) { expect_products<float>(1e-6); }

TEST_P(SparseProduct, RowsDoNotDependOnTheirNeighbours) {
  const Matrix<float> x = sparse<float>(20, 300, 0.3), b = normals<float>(40, 300, 1), offset = normals<float>(1, 40, 2);
  const std::span<const float> start(offset.data(), 40);
  SparseLines<float> lines;
  Matrix<float> whole(20, 40), alone(1, 40);
  lines.assign_rows(x);
  lines.affine_nt(b, start, whole);
  for (Index i = 0; i < 20; ++i) {
    lines.assign_rows(x.row(i));
    lines.affine_nt(b, start, alone);
    ASSERT_EQ(alone.row(0), whole.row(i));
  }
}

TEST_P(SparseProduct, NotANumberIsAnEntry) {
  Matrix<float> x = Matrix<float>::Zero(8, 100);
  x(3, 70) = std::numeric_limits<float>::quiet_NaN();
  const Matrix<float> b = normals<float>(16, 100, 1), zero = Matrix<float>::Zero(1, 16);
  SparseLines<float> lines;
  lines.assign_rows(x);
  EXPECT_EQ(lines.entries(), 1);
  Matrix<float> c(8, 16);
  lines.affine_nt(b, {zero.data(), 16}, c);
  EXPECT_TRUE(c.row(3).array().isNaN().all());
  EXPECT_TRUE((c.row(2).array() == 0.0F).all());
}

/// Inputs that are a multiple of 16, share a factor with it or none; one and several blocks of 16 directions.
template <class S>
void expect_hadamard_products(double tolerance) {
  SparseLines<S> lines;
  for (const Index inputs : {1, 7, 16, 32, 40, 100, 130, 785})
    for (const Index outputs : {1, 5, 16, 100, 131})
      for (const Index m : {1, 3, 16, 20, 37}) {
        const Index rows = 5;
        const Matrix<S> x = sparse<S>(rows, inputs + 1, 0.5), signs = normals<S>(1, outputs * (inputs + 1), 1);
        Matrix<S> p = normals<S>(rows, m * outputs + 2, 2);
        const Matrix<S> beyond = p.rightCols(2);
        lines.assign_classes(x.leftCols(inputs));
        lines.hadamard_nt({signs.data(), usize(signs.size())}, outputs, m, p.leftCols(m * outputs));
        ASSERT_EQ(p.rightCols(2), beyond) << "wrote beyond the result";
        for (Index j = 0; j < m; ++j) {
          Matrix<double> d = signs.template cast<double>();
          for (Index i = 0; i < d.size(); ++i)
            if ((std::popcount(static_cast<std::uint64_t>(i & j)) & 1) != 0) d(0, i) = -d(0, i);
          Matrix<double> expected =
              x.leftCols(inputs).template cast<double>() * Eigen::Map<const Matrix<double>>(d.data(), outputs, inputs).transpose();
          expected.rowwise() += d.row(0).tail(outputs);
          ASSERT_LT((p.middleCols(j * outputs, outputs).template cast<double>() - expected).cwiseAbs().maxCoeff(),
                    tolerance * static_cast<double>(inputs + 10))
              << inputs << " x " << outputs << ", direction " << j << " of " << m;
        }
      }
}

TEST_P(SparseProduct, ServesAllHadamardDirectionsInDouble) { expect_hadamard_products<double>(1e-14); }
TEST_P(SparseProduct, ServesAllHadamardDirectionsInFloat) { expect_hadamard_products<float>(1e-6); }

INSTANTIATE_TEST_SUITE_P(OfThisProcessor, SparseProduct, testing::ValuesIn(test::targets_of_this_processor()), test::target_name);

TEST(MostlyZero, CountsTheZeros) {
  EXPECT_TRUE(mostly_zero<float>(sparse<float>(100, 784, 0.19)));
  EXPECT_FALSE(mostly_zero<float>(sparse<float>(100, 784, 0.6)));
  EXPECT_FALSE(mostly_zero<double>(normals<double>(100, 784, 1)));
  EXPECT_FALSE(mostly_zero<double>(Matrix<double>::Zero(2, 784))) << "too few rows to be worth while";
}

TEST(SparseLines, RefusesSizesThatDoNotFit) {
  SparseLines<double> lines;
  lines.assign_rows(Matrix<double>::Zero(3, 5));
  Matrix<double> c(3, 2);
  const Matrix<double> b(2, 4), good(2, 5);
  const double offset[2] = {};
  EXPECT_THROW(lines.affine_nt(b, offset, c), ShapeError);
  EXPECT_THROW(lines.affine_nt(good, offset, c.leftCols(1)), ShapeError);
  EXPECT_THROW(lines.add_gemm_tn(good, c), ShapeError);
}

}  // namespace
}  // namespace ffzero
