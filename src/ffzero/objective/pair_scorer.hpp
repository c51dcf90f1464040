// Scores of z + eps p and z - eps p without cancellation.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/forward_map.hpp"
#include "ffzero/tensor/packed.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Cosine scores of both sides of a difference, from z and p: with a = act(z), b = act'(z) p, every inner product <a, r_k>, <b, r_k>,
/// <a, a>, <a, b>, <b, b> is rounded once and shared by both sides, so the difference of the scores keeps its digits; units whose sign
/// differs between the sides (relu) are corrected one by one, exactly, and a side that almost vanishes is scored by itself. Same values as
/// scoring z +- eps p, pinned by a test in double.
template <class S>
class PairScorer {
 public:
  /// tail: the fixed maps between layer and head. Served: a PrototypeHead after nothing, relu, or length normalisation (which a cosine
  /// does not see), in one group or several.
  PairScorer(const std::vector<const ForwardMap<S>*>& tail, const Head<S>& head);
  /// False: score the two sides one by one instead.
  [[nodiscard]] bool serves() const noexcept { return head_ != nullptr; }

  struct Workspace {
    Matrix<S> a, b;  ///< behind relu alone: without it they are z and p
    Matrix<S> a_scores, b_scores;
    Matrix<double> aa;                    ///< (rows, G)
    Matrix<double> sums;                  ///< (rows, 2 G): <a, b>, <b, b>
    std::vector<std::uint8_t> crossings;  ///< (rows, G)
    Matrix<double> plus, minus;           ///< (rows, G K): the result
  };
  /// Once a step, before pieces of a batch are scored side by side: packs the prototypes, which may have changed.
  void begin_step() const;
  /// z (rows, G d): the part that all directions share.
  void prepare(const ConstMatrixRef<S>& z, Workspace& work) const;
  /// p (rows, G d), after prepare(z): fills work.plus and work.minus.
  void score(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& p, double eps, Workspace& work) const;

 private:
  /// One sample's z and p in one group.
  struct PairRow {
    const S* z;
    const S* p;
  };
  /// inner (K), overwritten: inner products of act(z + step p) with the prototypes of the group; returns its squared length. All in double.
  double score_apart(const PairRow& row, double step, Index group, double* inner) const;
  /// Corrects both sides for the units whose sign differs between them.
  void correct_crossings(const PairRow& row, double eps, Index group, double* const (&sides)[2], std::array<double, 2>& squared) const;
  void group_scores(const ConstMatrixRef<S>& from, Matrix<S>& scores) const;
  const PrototypeHead<S>* head_ = nullptr;
  mutable std::vector<PackedOperand<S>> packed_;  // prototypes of every group; empty where packing does not pay
  bool relu_ = false;
};

extern template class PairScorer<float>;
extern template class PairScorer<double>;

}  // namespace ffzero
