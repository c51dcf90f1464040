// Scores of both sides of a difference.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/pair_scorer.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ffzero/map/activation.hpp"
#include "ffzero/map/normalise.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace {

// Partial sums in fixed order: keeps the adder busy and the bits the same.
template <class S>
double dot(const S* x, const S* y, Index n) {
  std::array<double, 4> sum{};
  Index i = 0;
  for (; i + 4 <= n; i += 4)
    for (Index l = 0; l < 4; ++l) sum[usize(l)] += static_cast<double>(x[i + l]) * static_cast<double>(y[i + l]);
  for (; i < n; ++i) sum[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

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
void PairScorer<S>::group_scores(const Matrix<S>& from, Matrix<S>& scores) const {
  const Index k = head_->classes(), d = head_->dimension();
  scores.resize(from.rows(), head_->groups() * k);
  for (Index g = 0; g < head_->groups(); ++g) gemm_nt<S>(from.middleCols(g * d, d), head_->prototypes(g), scores.middleCols(g * k, k));
}

template <class S>
void PairScorer<S>::prepare(const ConstMatrixRef<S>& z, Workspace& work) const {
  const Index d = head_->dimension();
  if (relu_)
    work.a = z.cwiseMax(S{0});
  else
    work.a = z;
  group_scores(work.a, work.a_scores);
  work.aa.resize(z.rows(), head_->groups());
  for (Index i = 0; i < z.rows(); ++i)
    for (Index g = 0; g < head_->groups(); ++g) {
      const S* a = &work.a(i, g * d);
      work.aa(i, g) = dot(a, a, d);
    }
}

template <class S>
void PairScorer<S>::score(const ConstMatrixRef<S>& z, const ConstMatrixRef<S>& p, double eps, Workspace& work) const {
  const Index k = head_->classes(), d = head_->dimension(), groups = head_->groups();
  work.b.resize(z.rows(), z.cols());
  if (relu_)
    work.b = (z.array() > S{0}).select(p, S{0});
  else
    work.b = p;
  group_scores(work.b, work.b_scores);
  work.plus.resize(z.rows(), groups * k);
  work.minus.resize(z.rows(), groups * k);
  for (Index i = 0; i < z.rows(); ++i)
    for (Index g = 0; g < groups; ++g) {
      const Index column = g * d;
      const S* a = &work.a(i, column);
      const S* b = &work.b(i, column);
      const double ab = dot(a, b, d), bb = dot(b, b, d);
      std::array<double, 2> squared{work.aa(i, g) + 2.0 * eps * ab + eps * eps * bb, work.aa(i, g) - 2.0 * eps * ab + eps * eps * bb};
      double* sides[2] = {&work.plus(i, g * k), &work.minus(i, g * k)};
      for (Index c = 0; c < k; ++c) {
        const auto as = static_cast<double>(work.a_scores(i, g * k + c));
        const auto bs = eps * static_cast<double>(work.b_scores(i, g * k + c));
        sides[0][c] = as + bs;
        sides[1][c] = as - bs;
      }
      if (relu_) {
        const auto prototypes = head_->prototypes(g);
        for (Index h = 0; h < d; ++h) {
          const auto zh = static_cast<double>(z(i, column + h));
          const double move = eps * static_cast<double>(p(i, column + h));
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
      for (std::size_t side = 0; side < 2; ++side) {
        if (squared[side] < kCancelled * std::max(work.aa(i, g), eps * eps * bb))
          squared[side] = score_apart({z.row(i).data() + column, p.row(i).data() + column}, side == 0 ? eps : -eps, g, sides[side]);
        const double scale = inverse_length(squared[side], head_->floor());
        for (Index c = 0; c < k; ++c) sides[side][c] *= scale;
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
