// Dense products on row-major views, single-threaded.
// SPDX-License-Identifier: MIT
#pragma once

#include <complex>
#include <span>
#include <string>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// c = a b^T + beta c.     a (M, K)   b (N, K)   c (M, N)
template <class S>
void gemm_nt(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, MatrixRef<S> c, S beta = S{0});
/// c = a b^T + 1 offset^T.   a (M, K)   b (N, K)   offset (N)   c (M, N)
template <class S>
void affine_nt(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, std::span<const S> offset, MatrixRef<S> c);
/// c = a b + beta c.       a (M, K)   b (K, N)   c (M, N)
template <class S>
void gemm_nn(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, MatrixRef<S> c, S beta = S{0});
/// c = a^T b + beta c.     a (K, M)   b (K, N)   c (M, N)
template <class S>
void gemm_tn(const ConstMatrixRef<S>& a, const ConstMatrixRef<S>& b, MatrixRef<S> c, S beta = S{0});

/// Upper triangle of c = a^T a; the rest of c is left alone.     a (K, M)   c (M, M)
template <class S>
void gram_tn(const ConstMatrixRef<S>& a, MatrixRef<S> c);

/// a b, a b^+ and a^+ b; ^+: conjugated and transposed. @throws ShapeError if the shapes do not match
[[nodiscard]] ComplexMatrix product(const ComplexMatrix& a, const ComplexMatrix& b);
[[nodiscard]] ComplexMatrix product_adjoint(const ComplexMatrix& a, const ComplexMatrix& b);
[[nodiscard]] ComplexMatrix adjoint_product(const ComplexMatrix& a, const ComplexMatrix& b);
[[nodiscard]] Matrix<std::complex<float>> product(const Matrix<std::complex<float>>& a, const Matrix<std::complex<float>>& b);
[[nodiscard]] Matrix<std::complex<float>> adjoint_product(const Matrix<std::complex<float>>& a, const Matrix<std::complex<float>>& b);

/// Keeps the BLAS at one thread: parallelism is ours, over fixed shards. Called by every product; cheap after the first time.
void pin_blas_to_one_thread();
/// Name and version of the BLAS in use and its kernel, for run records.
[[nodiscard]] std::string blas_description();
/// Processor target of our own vector kernels, as Highway names it: "AVX2", "AVX3_ZEN4".
[[nodiscard]] std::string vector_target();
/// All that decides the bits of a result besides settings and data: BLAS and its kernel, vector target, compiler. Equal texts: equal bits.
[[nodiscard]] std::string arithmetic_description();

}  // namespace ffzero
