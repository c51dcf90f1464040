// Eigenvalues of Hermitian and of real symmetric matrices, and what follows from them.
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

/// The shortest x for which |a x - b| is least, for a whose eigenvalues are at least 0: those below `precision` of the largest count as 0.
/// All not-a-number for an `a` with an entry in its upper triangle that is not finite.
/// a (n, n): only its upper triangle is read   b (n)   precision: >= 0   @throws ShapeError unless a is square and b fits
[[nodiscard]] Vector<double> shortest_solution(const Matrix<double>& a, const Vector<double>& b, double precision);

/// a^-1 b for positive definite a, by LAPACK (dposv), on one thread. All not-a-number if it is not.
/// a (n, n): only its upper triangle is read   b (n)   @throws ShapeError unless a is square and b fits
[[nodiscard]] Vector<double> positive_solution(const Matrix<double>& a, const Vector<double>& b);

}  // namespace ffzero
