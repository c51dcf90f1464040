// Simplex prototypes and the cosine head.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "ffzero/head/head.hpp"

namespace ffzero {

/// K vertices of a regular simplex in R^d, Haar-rotated: rows of unit length, Gram matrix 1 on and -1/(K-1) off the diagonal
/// [docs/notation.md, Prototypes and losses]. K = 1: one random unit vector (regression). returns (K, d).
/// @throws ConfigError if K > d (and K > 1): a simplex with K vertices of this construction needs d >= K.
[[nodiscard]] Matrix<double> simplex_prototypes(Index classes, Index dimension, const RandomStream& random);

/// The same simplex before its rotation: rows of the K x K identity, padded with zeros to d, minus their mean row, normalised; zeros for
/// K = 1.  returns (K, d). @throws ConfigError if K > d.
[[nodiscard]] Matrix<double> simplex_vertices(Index classes, Index dimension);

/// Haar-random rotation of SO(d) from a Gaussian matrix (d, d): QR, signs by R's diagonal, first column flipped if det < 0.
[[nodiscard]] Matrix<double> haar_rotation(const Matrix<double>& gaussian);

/// Pseudo-inverse of the Gram matrix R R^T (K, K) of prototypes R, symmetric. Of a regular simplex, whose rows add up to zero, it is
/// (K - 1)/K times the centring matrix I - 1/K, and taken so without a decomposition. Of any others: by eigenvalues, those below
/// K `precision` times the largest count as zero, because rounding alone makes such ones.
/// precision: epsilon of the numbers that R was rounded to, not of those that the Gram matrix was computed in.
[[nodiscard]] Matrix<double> gram_pseudo_inverse(const Matrix<double>& gram, double precision);

/// Cosine similarity with the prototypes, group by group: group g owns the input columns [g d, (g + 1) d).
/// s_k = <z, r_k> / max(|z|, floor). floor = 0: a zero z gives 0.  Photonic: floor = 1e-6, because |z| is sqrt(max(sum I^2, 1e-12)).
template <class S>
class PrototypeHead final : public Head<S> {
 public:
  /// prototypes: one (K, d) matrix a group, all of one size.
  explicit PrototypeHead(const std::vector<Matrix<double>>& prototypes, double floor = 0.0);

  [[nodiscard]] std::string kind() const override { return "prototypes"; }
  [[nodiscard]] Index input_size() const override { return groups_ * dimension_; }
  [[nodiscard]] Index classes() const override { return classes_; }
  [[nodiscard]] Index groups() const override { return groups_; }
  [[nodiscard]] Index dimension() const noexcept { return dimension_; }  ///< d of one group
  [[nodiscard]] double floor() const noexcept { return floor_; }
  void scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const override;
  void pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const override;
  [[nodiscard]] std::span<const S> state() const override { return {flat_.data(), usize(flat_.size())}; }
  [[nodiscard]] std::span<S> state() override { return {flat_.data(), usize(flat_.size())}; }
  /// (K, d) prototypes of one group.
  [[nodiscard]] ConstMatrixRef<S> prototypes(Index group) const { return flat_.middleRows(group * classes_, classes_); }

 private:
  Index groups_, classes_, dimension_;
  double floor_;
  Matrix<S> flat_;  // (G K, d)
};

/// The first K columns of z are the scores: end-to-end training on raw outputs or port powers.
template <class S>
class LogitsHead final : public Head<S> {
 public:
  LogitsHead(Index input_size, Index classes);
  [[nodiscard]] std::string kind() const override { return "logits"; }
  [[nodiscard]] Index input_size() const override { return input_size_; }
  [[nodiscard]] Index classes() const override { return classes_; }
  [[nodiscard]] Index groups() const override { return 1; }
  void scores(const ConstMatrixRef<S>& z, MatrixRef<S> scores) const override;
  void pullback(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& gs, MatrixRef<S> gz) const override;
  [[nodiscard]] std::span<const S> state() const override { return {}; }
  [[nodiscard]] std::span<S> state() override { return {}; }

 private:
  Index input_size_, classes_;
};

extern template class PrototypeHead<float>;
extern template class PrototypeHead<double>;
extern template class LogitsHead<float>;
extern template class LogitsHead<double>;

}  // namespace ffzero
