// Our own product against sums in double, on every target of this processor.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/gemm_kernel-inl.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/base/random.hpp"
#include "ffzero/tensor/types.hpp"
#include "support/each_target.hpp"

namespace ffzero {
namespace {

Matrix<float> normals(Index rows, Index columns, std::uint32_t part) {
  Matrix<float> m(rows, columns);
  RandomStream(1, Stream::test, part).fill_normal(std::span<float>(m.data(), usize(m.size())));
  return m;
}

class ProductKernel : public test::OnTarget {
 protected:
  void SetUp() override {
    if (!gemm_kernel::serves()) GTEST_SKIP() << "this target leaves products to the BLAS";
  }
};

/// Every remainder of rows, columns and vector length, views into larger matrices, all three ways to start.
TEST_P(ProductKernel, IsTheProductForEveryRemainder) {
  for (const Index rows : {1, 2, 3, 4, 5, 6, 7, 13})
    for (const Index columns : {1, 2, 3, 4, 5, 9, 33})
      for (const Index inner : {1, 7, 15, 16, 17, 100, 263, 785}) {
        const Matrix<float> a = normals(rows, inner + 3, 0), b = normals(columns, inner + 1, 1), old = normals(rows, columns + 2, 2);
        const Matrix<float> offset = normals(1, columns, 3);
        const Matrix<double> product = a.leftCols(inner).cast<double>() * b.leftCols(inner).cast<double>().transpose();
        for (const int start : {0, 1, 2}) {
          Matrix<float> c = old;
          gemm_kernel::product_nt({a.data(), a.outerStride()}, {b.data(), b.outerStride()}, {rows, columns, inner},
                                  {.beta = start == 1 ? 0.5F : 0.0F, .columns = start == 2 ? offset.data() : nullptr}, c.data(),
                                  c.outerStride());
          Matrix<double> expected = product;
          if (start == 1) expected += 0.5 * old.leftCols(columns).cast<double>();
          if (start == 2) expected.rowwise() += offset.row(0).cast<double>();
          ASSERT_LT((c.leftCols(columns).cast<double>() - expected).cwiseAbs().maxCoeff(), 1e-6 * static_cast<double>(inner + 10))
              << rows << " x " << columns << " x " << inner << ", start " << start;
          ASSERT_EQ(c.rightCols(2), old.rightCols(2)) << "wrote beyond the result";
        }
      }
}

/// More columns than one panel holds.
TEST_P(ProductKernel, CutsLongOperandsIntoPanels) {
  const Matrix<float> a = normals(7, 2000, 0), b = normals(150, 2000, 1);
  Matrix<float> c(7, 150);
  gemm_kernel::product_nt({a.data(), 2000}, {b.data(), 2000}, {7, 150, 2000}, {}, c.data(), 150);
  const Matrix<double> expected = a.cast<double>() * b.cast<double>().transpose();
  EXPECT_LT((c.cast<double>() - expected).cwiseAbs().maxCoeff(), 2e-4);
}

TEST_P(ProductKernel, EntriesDoNotDependOnTheirNeighbours) {
  const Matrix<float> a = normals(13, 300, 0), b = normals(40, 300, 1);
  Matrix<float> whole(13, 40);
  gemm_kernel::product_nt({a.data(), 300}, {b.data(), 300}, {13, 40, 300}, {}, whole.data(), 40);
  for (Index i = 0; i < 13; ++i)
    for (Index j = 0; j < 40; j += 7) {
      float alone = 0.0F;
      gemm_kernel::product_nt({a.row(i).data(), 300}, {b.row(j).data(), 300}, {1, 1, 300}, {}, &alone, 1);
      ASSERT_EQ(alone, whole(i, j));
    }
}

INSTANTIATE_TEST_SUITE_P(OfThisProcessor, ProductKernel, testing::ValuesIn(test::targets_of_this_processor()), test::target_name);

}  // namespace
}  // namespace ffzero
