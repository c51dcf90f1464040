// Slopes of a block's loss from outputs: in single parameters, read at one side, and of each sample in its own outputs.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/one_sided_loss.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace ffzero {

template <class S>
OneSidedBlockLoss<S>::OneSidedBlockLoss(const Block<S>& block, const Executor& executor, Ledger& ledger)
    : BlockLoss<S>(block, executor, ledger), group_of_(usize(this->dimension_), 0) {
  for (const Unit& unit : this->layout_.units)
    for (const Segment& s : unit.segments) std::fill_n(group_of_.begin() + s.begin, s.size, unit.group);
}

template <class S>
OneSidedSlopes OneSidedBlockLoss<S>::slopes(std::span<const S> theta, std::span<const std::vector<Index>> moves, double step,
                                            std::span<S> gradient) const {
  std::vector<Vector<S>> thetas(1 + moves.size(), as_vector(theta));
  for (std::size_t j = 0; j < moves.size(); ++j)
    for (const Index i : moves[j]) thetas[1 + j][i] += static_cast<S>(step);
  const bool may_miss = this->may_miss();
  std::vector<Matrix<S>> readings = read(thetas, may_miss);

  const Index rows = this->batch_size();
  Matrix<S>& base = readings.front();
  const std::vector<bool> there = take_out_missing(base);
  std::vector<Matrix<S>> q(usize(this->layout_.groups));
  const Vector<double> losses = output_slopes(base, q);
  const double scale = this->reduction_scale();
  // The sum over the rows that are there, as that of a whole batch.
  const auto whole = [rows](double sum, Index present) {
    return present == 0 ? 0.0 : sum * (static_cast<double>(rows) / static_cast<double>(present));
  };

  OneSidedSlopes result{.loss = 0.0, .came = std::vector<bool>(moves.size(), true)};
  Index present = 0;
  for (Index b = 0; b < rows; ++b)
    if (there[usize(b)]) {
      result.loss += losses[b] * scale;
      ++present;
    }
  result.loss = whole(result.loss, present);
  for (std::size_t j = 0; j < moves.size(); ++j) {
    const Matrix<S>& moved = readings[1 + j];
    for (const Index i : moves[j]) {
      const Matrix<S>& own = q[q.size() == 1 ? 0 : usize(group_of_[usize(i)])];
      double sum = 0.0;
      present = 0;
      for (Index b = 0; b < rows; ++b) {
        if (!there[usize(b)] || (may_miss && !moved.row(b).allFinite())) continue;
        ++present;
        for (Index k = 0; k < base.cols(); ++k)
          sum += static_cast<double>(own(b, k)) * (static_cast<double>(moved(b, k)) - static_cast<double>(base(b, k)));
      }
      // The step that rounding left of it.
      const double length = static_cast<double>(thetas[1 + j][i]) - static_cast<double>(theta[usize(i)]);
      gradient[usize(i)] = static_cast<S>(whole(sum, present) * scale / length);
      if (present == 0) result.came[j] = false;
    }
  }
  this->bill_training(isize(thetas.size()));
  return result;
}

template <class S>
SampleSlopes OneSidedBlockLoss<S>::sample_slopes(std::span<const S> theta) const {
  const std::vector<Vector<S>> thetas{as_vector(theta)};
  Matrix<S> z = std::move(read(thetas, may_miss()).front());
  const Index rows = this->batch_size();
  const std::vector<bool> there = take_out_missing(z);
  SampleSlopes result{.loss = 0.0, .lengths = std::vector<double>(usize(rows), -1.0)};
  // Groups have outputs of their own, so one pullback holds the slopes of all.
  std::vector<Matrix<S>> q(1);
  const Vector<double> losses = output_slopes(z, q);
  Index present = 0;
  for (Index b = 0; b < rows; ++b) {
    if (!there[usize(b)]) continue;
    ++present;
    result.loss += losses[b];
    result.lengths[usize(b)] = q.front().row(b).template cast<double>().norm();
  }
  if (present > 0) result.loss *= this->reduction_scale() * (static_cast<double>(rows) / static_cast<double>(present));
  this->bill_training(1);
  return result;
}

template <class S>
std::vector<bool> OneSidedBlockLoss<S>::take_out_missing(Matrix<S>& z) const {
  std::vector<bool> there(usize(z.rows()), true);
  for (Index b = 0; b < z.rows() && may_miss(); ++b)
    if (!z.row(b).allFinite()) {
      there[usize(b)] = false;
      z.row(b).setZero();
    }
  return there;
}

template <class S>
std::vector<Matrix<S>> OneSidedBlockLoss<S>::read(const std::vector<Vector<S>>& thetas, bool may_miss) const {
  const auto& x = this->batch_->x;
  std::vector<Matrix<S>> readings(thetas.size());
  auto& shards = this->shards_;
  if (this->many_ != nullptr) {
    std::vector<std::span<const S>> asked;
    for (const Vector<S>& theta : thetas) asked.push_back(as_span(theta));
    std::vector<Matrix<S>> outputs(thetas.size());
    this->many_->read_many(asked, x, outputs, may_miss);
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      const Matrix<S>* head_input = nullptr;
      this->chain_.run_tail(outputs[i], shards.front().tail_buffers, head_input);
      readings[i] = *head_input;
      for (Index b = 0; b < x.rows(); ++b)
        if (!outputs[i].row(b).allFinite()) readings[i].row(b).setConstant(std::numeric_limits<S>::quiet_NaN());
    }
  } else {
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      const std::span<const S> theta = as_span(thetas[i]);
      readings[i].resize(x.rows(), this->chain_.output_size());
      this->chain_.prepare(theta, Matrix<S>(0, this->dimension_), x);
      this->executor_.run(isize(shards.size()), [&](Index k) {
        auto& shard = shards[usize(k)];
        readings[i].middleRows(shard.first, shard.rows) =
            this->chain_.forward(theta, x.middleRows(shard.first, shard.rows), shard.first, shard.work);
      });
    }
  }
  if (this->batch_->reads != nullptr)
    for (const Matrix<S>& z : readings) this->batch_->reads->sum += z;
  this->count_reads(isize(readings.size()));
  return readings;
}

template <class S>
Vector<double> OneSidedBlockLoss<S>::output_slopes(const Matrix<S>& z, std::vector<Matrix<S>>& q) const {
  const auto& head = *this->block_.head;
  const Index classes = head.classes(), rows = z.rows();
  Matrix<S> scores(rows, head.groups() * classes), gs(rows, scores.cols());
  head.scores(z, scores);
  Matrix<double> losses(rows, this->loss_groups());
  this->block_.loss->values(scores, classes, this->batch_->targets, losses);
  this->block_.loss->gradient(scores, classes, this->batch_->targets, gs);
  for (Matrix<S>& own : q) own.resize(rows, z.cols());
  if (q.size() == 1) {
    head.pullback(z, gs, q.front());
    return losses.rowwise().sum();
  }
  Matrix<S> own(rows, gs.cols());
  for (Index g = 0; g < isize(q.size()); ++g) {
    own.setZero();
    own.middleCols(g * classes, classes) = gs.middleCols(g * classes, classes);
    head.pullback(z, own, q[usize(g)]);
  }
  return losses.rowwise().sum();
}

template class OneSidedBlockLoss<float>;
template class OneSidedBlockLoss<double>;

}  // namespace ffzero
