// Dense products by CBLAS.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/gemm.hpp"

#include <cblas.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <mutex>
#include <new>
#include <type_traits>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/blas-inl.hpp"
#include "ffzero/tensor/gemm_kernel-inl.hpp"
#include "ffzero/tensor/packed.hpp"

namespace ffzero {

namespace {

// OpenBLAS takes a buffer (of 128 MiB on x86) for every call that is under way, and where the system gives none it asks again without an
// end.
constexpr std::size_t kBlasBuffer = std::size_t{129} << 20;

void require_room_for_blas() {
  void* const room = ::mmap(nullptr, kBlasBuffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) throw std::bad_alloc();
  ::munmap(room, kBlasBuffer);
}

bool is_address_space_limited() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

}  // namespace

std::unique_lock<std::mutex> admit_to_blas() {
  static std::mutex one_caller;
  static const bool limited = is_address_space_limited();
  pin_blas_to_one_thread();
  if (!limited) return {};
  std::unique_lock lock(one_caller);
  static bool has_buffer = false;
  if (!has_buffer) require_room_for_blas();
  has_buffer = true;
  return lock;
}

namespace {

template <class S>
void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, Index m, Index n, Index k, const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b,
          MatrixRef<S>& c, S beta) {
  if (c.rows() != m || c.cols() != n) throw ShapeError("gemm", "the result must be " + std::to_string(m) + " x " + std::to_string(n));
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (beta == S{0})
      c.setZero();
    else
      c *= beta;
    return;
  }
  const auto admitted = admit_to_blas();
  const auto i = [](Index v) { return static_cast<int>(v); };
  if constexpr (std::is_same_v<S, float>) {
    cblas_sgemm(CblasRowMajor, ta, tb, i(m), i(n), i(k), 1.0F, a.data(), i(a.outerStride()), b.data(), i(b.outerStride()), beta, c.data(),
                i(c.outerStride()));
  } else {
    cblas_dgemm(CblasRowMajor, ta, tb, i(m), i(n), i(k), 1.0, a.data(), i(a.outerStride()), b.data(), i(b.outerStride()), beta, c.data(),
                i(c.outerStride()));
  }
}

/// Shapes that our own kernel multiplies faster than OpenBLAS does. By shape alone: the bits must not depend on anything else.
bool own_kernel(Index rows, Index columns, Index inner) {
  return rows <= 256 && columns >= 32 && inner >= 256 && inner <= gemm_kernel::kMaxInner && gemm_kernel::serves();
}

/// True if done: c = a b^T + start.
bool multiply_nt(const ConstMatrixRef<float>& a, const ConstMatrixRef<float>& b, MatrixRef<float>& c, gemm_kernel::Start start) {
  if (c.rows() != a.rows() || c.cols() != b.rows() || !own_kernel(a.rows(), b.rows(), a.cols())) return false;
  gemm_kernel::product_nt({a.data(), a.outerStride()}, {b.data(), b.outerStride()}, {a.rows(), b.rows(), a.cols()}, start, c.data(),
                          c.outerStride());
  return true;
}

/// The same for short inner sizes, where packing b costs little; for any number of rows, so that a sample's numbers do not depend on its
/// batch.
template <class S>
bool multiply_packed(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, std::span<const S> offset, MatrixRef<S>& c) {
  if (c.rows() != a.rows() || c.cols() != b.rows() || a.rows() == 0 || a.cols() == 0 || !worth_packing(b.rows(), b.cols())) return false;
  static thread_local PackedOperand<S> packed;  // kept between calls: no allocation in a step
  packed.assign(b, PackedOperand<S>::Use::rows);
  packed.affine_nt(a, offset, c);
  return true;
}

void require_inner(Index ka, Index kb) {
  if (ka != kb) throw ShapeError("gemm", "inner sizes must agree", std::to_string(ka) + " and " + std::to_string(kb));
}

}  // namespace

template <class S>
void gemm_nt(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, MatrixRef<S> c, S beta) {
  require_inner(a.cols(), b.cols());
  if constexpr (std::is_same_v<S, float>) {
    if (multiply_nt(a, b, c, {.beta = beta})) return;
  }
  if (beta == S{0} && multiply_packed<S>(a, b, {}, c)) return;
  gemm<S>(CblasNoTrans, CblasTrans, a.rows(), b.rows(), a.cols(), a, b, c, beta);
}

template <class S>
void affine_nt(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, std::span<const S> offset, MatrixRef<S> c) {
  require_inner(a.cols(), b.cols());
  require_inner(isize(offset.size()), b.rows());
  if constexpr (std::is_same_v<S, float>) {
    if (multiply_nt(a, b, c, {.columns = offset.data()})) return;
  }
  if (multiply_packed<S>(a, b, offset, c)) return;
  c.rowwise() = as_vector(offset).transpose();
  gemm<S>(CblasNoTrans, CblasTrans, a.rows(), b.rows(), a.cols(), a, b, c, S{1});
}

template <class S>
void gemm_nn(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, MatrixRef<S> c, S beta) {
  require_inner(a.cols(), b.rows());
  gemm<S>(CblasNoTrans, CblasNoTrans, a.rows(), b.cols(), a.cols(), a, b, c, beta);
}

template <class S>
void gemm_tn(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, MatrixRef<S> c, S beta) {
  require_inner(a.rows(), b.rows());
  gemm<S>(CblasTrans, CblasNoTrans, a.cols(), b.cols(), a.rows(), a, b, c, beta);
}

template <class S>
void gram_tn(const ConstMatrixRef<S>& a, MatrixRef<S> c) {
  if (c.rows() != a.cols() || c.cols() != a.cols()) throw ShapeError("gram matrix", "the result must be square, of the columns of a");
  const auto admitted = admit_to_blas();
  const auto i = [](Index v) { return static_cast<int>(v); };
  if constexpr (std::is_same_v<S, float>) {
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, i(a.cols()), i(a.rows()), 1.0F, a.data(), i(a.outerStride()), 0.0F, c.data(),
                i(c.outerStride()));
  } else {
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, i(a.cols()), i(a.rows()), 1.0, a.data(), i(a.outerStride()), 0.0, c.data(),
                i(c.outerStride()));
  }
}

namespace {

template <class S>
Matrix<std::complex<S>> complex_product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const Matrix<std::complex<S>>& a,
                                        const Matrix<std::complex<S>>& b) {
  const Index rows = ta == CblasNoTrans ? a.rows() : a.cols(), inner = ta == CblasNoTrans ? a.cols() : a.rows();
  const Index columns = tb == CblasNoTrans ? b.cols() : b.rows();
  require_inner(inner, tb == CblasNoTrans ? b.rows() : b.cols());
  Matrix<std::complex<S>> c(rows, columns);
  if (inner == 0) c.setZero();
  if (c.size() == 0 || inner == 0) return c;
  const auto admitted = admit_to_blas();
  const std::complex<S> one{1}, zero{0};
  const auto i = [](Index v) { return static_cast<int>(v); };
  constexpr auto* kProduct = std::is_same_v<S, float> ? cblas_cgemm : cblas_zgemm;
  kProduct(CblasRowMajor, ta, tb, i(rows), i(columns), i(inner), &one, a.data(), i(a.cols()), b.data(), i(b.cols()), &zero, c.data(),
           i(columns));
  return c;
}

}  // namespace

ComplexMatrix product(const ComplexMatrix& a, const ComplexMatrix& b) { return complex_product(CblasNoTrans, CblasNoTrans, a, b); }
ComplexMatrix product_adjoint(const ComplexMatrix& a, const ComplexMatrix& b) {
  return complex_product(CblasNoTrans, CblasConjTrans, a, b);
}
ComplexMatrix adjoint_product(const ComplexMatrix& a, const ComplexMatrix& b) {
  return complex_product(CblasConjTrans, CblasNoTrans, a, b);
}
Matrix<std::complex<float>> product(const Matrix<std::complex<float>>& a, const Matrix<std::complex<float>>& b) {
  return complex_product(CblasNoTrans, CblasNoTrans, a, b);
}
Matrix<std::complex<float>> adjoint_product(const Matrix<std::complex<float>>& a, const Matrix<std::complex<float>>& b) {
  return complex_product(CblasConjTrans, CblasNoTrans, a, b);
}

void pin_blas_to_one_thread() {
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
}

std::string blas_description() { return std::string(openblas_get_config()) + ", kernel " + openblas_get_corename(); }

std::string vector_target() { return gemm_kernel::target_name(); }

std::string arithmetic_description() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return blas_description() + ", vectors " + vector_target() + ", " + compiler;
}

template void gemm_nt<float>(const ConstMatrixRef<float>&, const ConstMatrixRef<float>&, MatrixRef<float>, float);
template void gemm_nt<double>(const ConstMatrixRef<double>&, const ConstMatrixRef<double>&, MatrixRef<double>, double);
template void affine_nt<float>(const ConstMatrixRef<float>&, const ConstMatrixRef<float>&, std::span<const float>, MatrixRef<float>);
template void affine_nt<double>(const ConstMatrixRef<double>&, const ConstMatrixRef<double>&, std::span<const double>, MatrixRef<double>);
template void gemm_nn<float>(const ConstMatrixRef<float>&, const ConstMatrixRef<float>&, MatrixRef<float>, float);
template void gemm_nn<double>(const ConstMatrixRef<double>&, const ConstMatrixRef<double>&, MatrixRef<double>, double);
template void gram_tn<float>(const ConstMatrixRef<float>&, MatrixRef<float>);
template void gram_tn<double>(const ConstMatrixRef<double>&, MatrixRef<double>);
template void gemm_tn<float>(const ConstMatrixRef<float>&, const ConstMatrixRef<float>&, MatrixRef<float>, float);
template void gemm_tn<double>(const ConstMatrixRef<double>&, const ConstMatrixRef<double>&, MatrixRef<double>, double);

}  // namespace ffzero
