// Eigenvalues of Hermitian matrices by LAPACK, which every OpenBLAS carries: Eigen's takes a quarter of a minute to compile.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/hermitian.hpp"

#include <limits>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/blas-inl.hpp"

// OpenBLAS has no header of its own for LAPACK: the interface of the Fortran standard.
extern "C" void zheevd_(const char* job, const char* triangle, const int* n, std::complex<double>* a, const int* stride, double* values,
                        std::complex<double>* work, const int* work_size, double* real_work, const int* real_work_size, int* int_work,
                        const int* int_work_size, int* info);

namespace ffzero {

HermitianEigen hermitian_eigen(const ComplexMatrix& a) {
  if (a.rows() != a.cols())
    throw ShapeError("hermitian_eigen", "the matrix must be square", std::to_string(a.rows()) + " x " + std::to_string(a.cols()));
  HermitianEigen result{.values = Vector<double>::Constant(a.rows(), std::numeric_limits<double>::quiet_NaN()),
                        .vectors = ComplexMatrix::Constant(a.rows(), a.cols(), std::numeric_limits<double>::quiet_NaN())};
  if (a.size() == 0 || !a.allFinite()) return result;
  const auto admitted = admit_to_blas();
  const int n = static_cast<int>(a.rows()), ask = -1;
  Vector<double> values(a.rows());
  // Row by row, the upper triangle of a is the lower one of its conjugate column by column.
  ComplexMatrix columns = a;
  std::complex<double> work_size;
  double real_work_size = 0.0;
  int int_work_size = 0, info = 0;
  zheevd_("V", "L", &n, columns.data(), &n, values.data(), &work_size, &ask, &real_work_size, &ask, &int_work_size, &ask, &info);
  std::vector<std::complex<double>> work(static_cast<std::size_t>(work_size.real()));
  std::vector<double> real_work(static_cast<std::size_t>(real_work_size));
  std::vector<int> int_work(static_cast<std::size_t>(int_work_size));
  const int sizes[] = {static_cast<int>(work.size()), static_cast<int>(real_work.size()), int_work_size};
  zheevd_("V", "L", &n, columns.data(), &n, values.data(), work.data(), &sizes[0], real_work.data(), &sizes[1], int_work.data(), &sizes[2],
          &info);
  if (info != 0) return result;
  result.values = values;
  result.vectors = columns.adjoint();
  return result;
}

}  // namespace ffzero
