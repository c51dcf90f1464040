// Scores of both sides of a difference.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/pair_scorer.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ffzero/map/activation.hpp"
#include "ffzero/map/normalise.hpp"
#include "ffzero/objective/pair_kernel-inl.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/reduce.hpp"

namespace ffzero {

namespace {

// A side that keeps less than this share of the squared length is scored by itself: shared inner products have lost its digits.
constexpr double kCancelled = 1e-4;

double inverse_length(double squared, double floor) {
  const double length = std::max(std::sqrt(std::max(squared, 0.0)), floor);
  return length > 0.0 ? 1.0 / length : 0.0;
}

}  // namespace

template <class S>
PairScorer<S>::PairScorer(const std::vector<const ForwardMap<S>*>& tail, const Head<S>& head) {
  bool served = true;
  for (std::size_t i = 0; i < tail.size(); ++i) {
    const auto* activation = dynamic_cast<const Activation<S>*>(tail[i]);
    const auto* normalise = dynamic_cast<const Normalise<S>*>(tail[i]);
    if (activation != nullptr && i == 0 && activation->function() != ActivationKind::tanh)
      relu_ = activation->function() == ActivationKind::relu;
    else if (!(normalise != nullptr && i + 1 == tail.size() && normalise->function() == NormaliseKind::length))
      served = false;
  }
  if (served) head_ = dynamic_cast<const PrototypeHead<S>*>(&head);
  // Length normalisation of a vector too short for the floor would be seen by the head.
  if (head_ != nullptr && head_->floor() > 0.0 && !tail.empty()) head_ = nullptr;
}

template <class S>
void PairScorer<S>::begin_step() const {
  if (!worth_packing(head_->classes(), head_->dimension())) return;
  packed_.resize(usize(head_->groups()));
  for (Index g = 0; g < head_->groups(); ++g) packed_[usize(g)].assign(head_->prototypes(g), PackedOperand<S>::Use::rows);
}

template <class S>
void PairScorer<S>::group_scores(const ConstMatrixRef<S>& from, Matrix<S>& scores) const {
  const Index k = head_->classes(), d = head_->dimension();
  scores.resize(from.rows(), head_->groups() * k);
  for (Index g = 0; g < head_->groups(); ++g) {
    if (packed_.empty())
      gemm_nt<S>(from.middleCols(g * d, d), head_->prototypes(g), scores.middleCols(g * k, k));
    else
      packed_[usize(g)].affine_nt(from.middleCols(g * d, d), {}, scores.middleCols(g * k, k));
  }
}

template <class S>
void PairScorer<S>::prepare(const ConstMatrixRef<S>& z, Workspace& work) const {
  const Index d = head_->dimension(), groups = head_->groups();
  work.aa.resize(z.rows(), groups);
  if (!relu_) {
    for (Index i = 0; i < z.rows(); ++i)
      for (Index g = 0; g < groups; ++g) work.aa(i, g) = squared_norm(std::span<const S>(z.row(i).data() + g * d, usize(d)));
    return group_scores(z, work.a_scores);
  }
  work.a.resize(z.rows(), z.cols());
  pair_kernel::relu_squares({z.data(), z.outerStride()}, {z.rows(), groups, d}, work.a.data(), work.aa.data());
  group_scores(work.a, work.a_scores);
}

template <class S>
void PairScorer<S>::score(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& p, double eps, Workspace& work) const {
  const Index k = head_->classes(), d = head_->dimension(), groups = head_->groups();
  const pair_kernel::Rows<S> z_rows{z.data(), z.outerStride()}, p_rows{p.data(), p.outerStride()};
  const pair_kernel::Sizes sizes{z.rows(), groups, d};
  work.sums.resize(z.rows(), 2 * groups);
  if (relu_) {
    work.b.resize(z.rows(), z.cols());
    work.crossings.resize(usize(z.rows() * groups));
    pair_kernel::relu_pair_sums(z_rows, p_rows, sizes, eps, work.b.data(), work.sums.data(), work.crossings.data());
    group_scores(work.b, work.b_scores);
  } else {
    pair_kernel::pair_sums(z_rows, p_rows, sizes, work.sums.data());
    group_scores(p, work.b_scores);
  }
  work.plus.resize(z.rows(), groups * k);
  work.minus.resize(z.rows(), groups * k);
  for (Index i = 0; i < z.rows(); ++i)
    for (Index g = 0; g < groups; ++g) {
      const PairRow row{z.row(i).data() + g * d, p.row(i).data() + g * d};
      const double aa = work.aa(i, g), ab = work.sums(i, 2 * g), bb = work.sums(i, 2 * g + 1);
      std::array<double, 2> squared{aa + 2.0 * eps * ab + eps * eps * bb, aa - 2.0 * eps * ab + eps * eps * bb};
      double* const sides[2] = {&work.plus(i, g * k), &work.minus(i, g * k)};
      for (Index c = 0; c < k; ++c) {
        const auto as = static_cast<double>(work.a_scores(i, g * k + c));
        const auto bs = eps * static_cast<double>(work.b_scores(i, g * k + c));
        sides[0][c] = as + bs;
        sides[1][c] = as - bs;
      }
      if (relu_ && work.crossings[usize(i * groups + g)] != 0) correct_crossings(row, eps, g, sides, squared);
      for (std::size_t side = 0; side < 2; ++side) {
        if (squared[side] < kCancelled * std::max(aa, eps * eps * bb))
          squared[side] = score_apart(row, side == 0 ? eps : -eps, g, sides[side]);
        const double scale = inverse_length(squared[side], head_->floor());
        for (Index c = 0; c < k; ++c) sides[side][c] *= scale;
      }
    }
}

template <class S>
void PairScorer<S>::correct_crossings(const PairRow& row, double eps, Index group, double* const (&sides)[2],
                                      std::array<double, 2>& squared) const {
  const Index k = head_->classes(), d = head_->dimension();
  const auto prototypes = head_->prototypes(group);
  for (Index h = 0; h < d; ++h) {
    const auto zh = static_cast<double>(row.z[h]);
    const double move = eps * static_cast<double>(row.p[h]);
    if (std::abs(zh) > std::abs(move)) continue;
    for (std::size_t side = 0; side < 2; ++side) {
      const double moved = side == 0 ? zh + move : zh - move;
      const double linear = zh > 0.0 ? moved : 0.0;  // what the shared mask made of it
      const double exact = std::max(moved, 0.0);
      squared[side] += exact * exact - linear * linear;
      for (Index c = 0; c < k; ++c) sides[side][c] += (exact - linear) * static_cast<double>(prototypes(c, h));
    }
  }
}

template <class S>
double PairScorer<S>::score_apart(const PairRow& row, double step, Index group, double* inner) const {
  const Index k = head_->classes(), d = head_->dimension();
  const auto prototypes = head_->prototypes(group);
  std::fill(inner, inner + k, 0.0);
  double squared = 0.0;
  for (Index h = 0; h < d; ++h) {
    const double moved = static_cast<double>(row.z[h]) + step * static_cast<double>(row.p[h]);
    const double value = relu_ ? std::max(moved, 0.0) : moved;
    squared += value * value;
    for (Index c = 0; c < k; ++c) inner[c] += value * static_cast<double>(prototypes(c, h));
  }
  return squared;
}

template class PairScorer<float>;
template class PairScorer<double>;

}  // namespace ffzero
