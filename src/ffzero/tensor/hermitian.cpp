// Eigenvalues by LAPACK, which every OpenBLAS carries: Eigen's take a quarter of a minute to compile, and come all or none.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/hermitian.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/blas-inl.hpp"

// OpenBLAS has no header of its own for LAPACK: the interface of the Fortran standard, and its names.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" void zheevd_(const char* job, const char* triangle, const int* n, std::complex<double>* a, const int* stride, double* values,
                        std::complex<double>* work, const int* work_size, double* real_work, const int* real_work_size, int* int_work,
                        const int* int_work_size, int* info);
extern "C" void dsyevr_(const char* job, const char* range, const char* triangle, const int* n, double* a, const int* stride,
                        const double* least, const double* most, const int* first, const int* last, const double* tolerance, int* found,
                        double* values, double* vectors, const int* vectors_stride, int* support, double* work, const int* work_size,
                        int* int_work, const int* int_work_size, int* info);
extern "C" void dposv_(const char* triangle, const int* n, const int* columns, double* a, const int* stride, double* b, const int* b_stride,
                       int* info);
// NOLINTEND(readability-identifier-naming)

namespace ffzero {

namespace {

void require_square(const char* place, Index rows, Index columns) {
  if (rows != columns) throw ShapeError(place, "the matrix must be square", std::to_string(rows) + " x " + std::to_string(columns));
}

void require_entries(const char* place, const Vector<double>& b, Index count) {
  if (b.size() != count) throw ShapeError(place, "b must have " + std::to_string(count) + " entries", std::to_string(b.size()));
}

}  // namespace

HermitianEigen hermitian_eigen(const ComplexMatrix& a) {
  require_square("hermitian_eigen", a.rows(), a.cols());
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

SymmetricEigen symmetric_eigen(const Matrix<double>& a, Index count) {
  require_square("symmetric_eigen", a.rows(), a.cols());
  if (count < 0 || count > a.rows())
    throw ShapeError("symmetric_eigen", "there must be 0 to " + std::to_string(a.rows()) + " eigenvalues", std::to_string(count));
  SymmetricEigen result{.values = Vector<double>::Constant(count, std::numeric_limits<double>::quiet_NaN()),
                        .vectors = Matrix<double>::Constant(a.rows(), count, std::numeric_limits<double>::quiet_NaN())};
  if (count == 0) return result;
  for (Index i = 0; i < a.rows(); ++i)
    if (!a.row(i).tail(a.rows() - i).allFinite()) return result;
  const auto admitted = admit_to_blas();
  const int n = static_cast<int>(a.rows()), ask = -1, last = n, first = n - static_cast<int>(count) + 1;
  // LAPACK overwrites both. Row by row, the upper triangle of a is its lower one column by column; the vectors come row by row.
  Matrix<double> columns = a, vectors(count, a.rows());
  Vector<double> values(a.rows());
  std::vector<int> support(2 * usize(count));
  const double none = 0.0;  // the bounds of another range; as a tolerance: the best there is
  double work_size = 0.0;
  int found = 0, int_work_size = 0, info = 0;
  const auto call = [&](double* work, const int* size, int* int_work, const int* int_size) {
    dsyevr_("V", "I", "L", &n, columns.data(), &n, &none, &none, &first, &last, &none, &found, values.data(), vectors.data(), &n,
            support.data(), work, size, int_work, int_size, &info);
  };
  call(&work_size, &ask, &int_work_size, &ask);
  std::vector<double> work(static_cast<std::size_t>(work_size));
  std::vector<int> int_work(usize(int_work_size));
  const int size = static_cast<int>(work.size());
  call(work.data(), &size, int_work.data(), &int_work_size);
  if (info != 0 || found != static_cast<int>(count)) return result;
  result.values = values.head(count);
  result.vectors = vectors.transpose();
  return result;
}

Vector<double> shortest_solution(const Matrix<double>& a, const Vector<double>& b, double precision) {
  require_entries("shortest_solution", b, a.rows());
  const SymmetricEigen eigen = symmetric_eigen(a, a.rows());
  Vector<double> x = Vector<double>::Zero(b.size());
  if (b.size() == 0) return x;
  const double largest = eigen.values(b.size() - 1);
  if (std::isnan(largest)) return Vector<double>::Constant(b.size(), largest);
  for (Index i = 0; i < b.size(); ++i)
    if (eigen.values(i) > precision * largest && eigen.values(i) > 0.0)
      x += (eigen.vectors.col(i).dot(b) / eigen.values(i)) * eigen.vectors.col(i);
  return x;
}

Vector<double> positive_solution(const Matrix<double>& a, const Vector<double>& b) {
  require_square("positive_solution", a.rows(), a.cols());
  require_entries("positive_solution", b, a.rows());
  Vector<double> x = b;
  if (b.size() == 0) return x;
  const auto admitted = admit_to_blas();
  // Row by row, the upper triangle of a is its lower one column by column.
  Matrix<double> columns = a;
  const int n = static_cast<int>(a.rows()), one = 1;
  int info = 0;
  dposv_("L", &n, &one, columns.data(), &n, x.data(), &n, &info);
  if (info != 0) x.setConstant(std::numeric_limits<double>::quiet_NaN());
  return x;
}

}  // namespace ffzero
