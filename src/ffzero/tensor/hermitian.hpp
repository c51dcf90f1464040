// Eigenvalues of Hermitian and of real symmetric matrices.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/tensor/types.hpp"

namespace ffzero {

struct HermitianEigen {
  Vector<double> values;  ///< (n), ascending
  ComplexMatrix vectors;  ///< (n, n): columns of length 1, in the order of the values
};

struct SymmetricEigen {
  Vector<double> values;   ///< (count), ascending
  Matrix<double> vectors;  ///< (n, count): columns of length 1, in the order of the values
};

/// a = V diag(values) V^+ by LAPACK (zheevd), on one thread. All not-a-number for an `a` with an entry that is not finite.
/// a (n, n): only its upper triangle is read   @throws ShapeError unless a is square
[[nodiscard]] HermitianEigen hermitian_eigen(const ComplexMatrix& a);

/// The `count` largest eigenvalues of a, and their vectors, by LAPACK (dsyevr), on one thread. All not-a-number for an `a` with an entry in
/// its upper triangle that is not finite.
/// a (n, n): only its upper triangle is read   count: 0 .. n   @throws ShapeError unless a is square and has so many
[[nodiscard]] SymmetricEigen symmetric_eigen(const Matrix<double>& a, Index count);

}  // namespace ffzero
