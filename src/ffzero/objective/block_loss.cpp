// Losses and differences of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/block_loss.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace ffzero {

namespace {
// Rows of a shard: large enough for a product to be efficient; but small batches are halved, so that two threads have something to share.
// Part of the result's bits, so it never depends on the number of threads.
constexpr Index kShardRows = 64, kLeastShardRows = 8;

Index shard_count(Index rows) {
  const Index wanted = std::max<Index>((rows + kShardRows - 1) / kShardRows, 2);
  return std::max<Index>(1, std::min(wanted, rows / kLeastShardRows));
}

// Where the parameters form one group, they see the sum of the losses of all groups of outputs.
void pool_groups(Index groups, Differences& out) {
  if (groups == 1 && out.delta.cols() > 1) out.delta = Matrix<double>(out.delta.rowwise().sum());
}
}  // namespace

template <class S>
BlockLoss<S>::BlockLoss(const Block<S>& block, const Executor& executor, Ledger& ledger)
    : block_(block),
      executor_(executor),
      ledger_(ledger),
      chain_(block),
      layout_(block_layout(block)),
      dimension_(block.parameter_count()),
      pair_scorer_(block.end_to_end ? std::vector<const ForwardMap<S>*>{} : block.layers.back()->tail(), *block.head) {
  if (block.layers.size() == 1 && !block.end_to_end) {
    linear_ = dynamic_cast<const LinearMap<S>*>(block.layers[0]->map.get());
    paired_ = dynamic_cast<const PairedMap<S>*>(block.layers[0]->map.get());
    if (layout_.groups == 1 && !block.layers[0]->map->independent_rows())
      many_ = dynamic_cast<const ManyReadings<S>*>(block.layers[0]->map.get());
  }
}

template <class S>
void BlockLoss<S>::set_batch(const Batch<S>& batch) {
  batch_.emplace(batch);
  chain_.draw_masks(batch);
  const Index rows = batch.x.rows();
  if (batch.reads != nullptr) {
    batch.reads->sum.setZero(rows, block_.head->input_size());
    batch.reads->evaluations = 0;
  }
  cut(rows, chain_.independent_rows(), shards_);
  if (paired_ != nullptr) cut(rows, chain_.independent_tail(), sides_);
}

template <class S>
void BlockLoss<S>::cut(Index rows, bool independent, std::vector<Shard>& shards) {
  const Index count = independent ? shard_count(rows) : 1;
  shards.resize(usize(count));
  for (Index i = 0; i < count; ++i) {
    shards[usize(i)].first = i * rows / count;
    shards[usize(i)].rows = (i + 1) * rows / count - i * rows / count;
  }
}

template <class S>
void BlockLoss<S>::bill_training(Index evaluations_per_sample) const {
  ledger_.bill(block_.first_layer, block_.first_layer + isize(block_.layers.size()), &Evaluations::training,
               evaluations_per_sample * batch_size());
}

template <class S>
void BlockLoss<S>::values(std::span<const S> theta, std::span<double> losses) const {
  evaluate(theta, losses);
  bill_training(1);
}

template <class S>
void BlockLoss<S>::evaluate(std::span<const S> theta, std::span<double> losses) const {
  const Index groups = loss_groups();
  chain_.prepare(theta, Matrix<S>(0, dimension_), batch_->x, executor_);
  executor_.run(isize(shards_.size()), [&](Index i) {
    Shard& shard = shards_[usize(i)];
    const Matrix<S>& z = chain_.forward(theta, batch_->x.middleRows(shard.first, shard.rows), shard.first, shard.work);
    keep_reads(z, shard);
    score_side(z, shard, shard.plus_losses);
    shard.sums.assign(usize(groups), 0.0);
    for (Index g = 0; g < groups; ++g) shard.sums[usize(g)] = shard.plus_losses.col(g).sum();
  });
  count_reads(1);
  // One group in the parameters (end to end) sums all groups of the loss; otherwise they correspond one to one.
  std::fill(losses.begin(), losses.end(), 0.0);
  for (const Shard& shard : shards_)
    for (Index g = 0; g < groups; ++g) losses[usize(isize(losses.size()) == groups ? g : 0)] += shard.sums[usize(g)] * reduction_scale();
}

template <class S>
void BlockLoss<S>::keep_reads(const ConstMatrixRef<S>& z, const Shard& shard) const {
  if (batch_->reads != nullptr) batch_->reads->sum.middleRows(shard.first, shard.rows) += z;
}

template <class S>
void BlockLoss<S>::count_reads(Index evaluations) const {
  if (batch_->reads != nullptr) batch_->reads->evaluations += evaluations;
}

template <class S>
void BlockLoss<S>::score_side(const ConstMatrixRef<S>& z, Shard& shard, Matrix<double>& losses) const {
  shard.work.scores.resize(z.rows(), block_.head->groups() * block_.head->classes());
  block_.head->scores(z, shard.work.scores);
  losses.resize(z.rows(), loss_groups());
  block_.loss->values(shard.work.scores, block_.head->classes(), batch_->targets.rows(shard.first, shard.rows), losses);
}

template <class S>
void BlockLoss<S>::differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  if (layout_.groups > 1 && block_.loss->joint()) return joint_differences(theta, directions, eps, out);
  // The stacked product never forms what the head reads of one side.
  if (linear_ != nullptr && batch_->reads == nullptr) {
    const StackedProduct<S>* const stacked = chain_.stacked();
    chain_.prepare(theta, directions, batch_->x, executor_);
    linear_differences(
        directions.rows(), eps,
        [&](const Shard& shard, MatrixRef<S> z, MatrixRef<S> p) {
          if (stacked != nullptr)
            stacked->rows(shard.first, z, p);
          else
            linear_->forward_stacked(theta, directions, batch_->x.middleRows(shard.first, shard.rows), z, p);
        },
        out);
  } else if (paired_ != nullptr)
    paired_differences(theta, directions, eps, out);
  else if (many_ != nullptr)
    many_differences(theta, directions, eps, out);
  else
    return ScalarFunction<S>::differences(theta, directions, eps, out);
  pool_groups(layout_.groups, out);
  bill_training(2 * directions.rows());
}

template <class S>
bool BlockLoss<S>::serves_hadamard(Index m) const {
  return linear_ != nullptr && !(layout_.groups > 1 && block_.loss->joint()) && linear_->serves_hadamard(m);
}

template <class S>
void BlockLoss<S>::hadamard_differences(std::span<const S> theta, std::span<const S> signs, Index m, double eps, Differences& out) const {
  if (!serves_hadamard(m)) return ScalarFunction<S>::hadamard_differences(theta, signs, m, eps, out);
  linear_differences(
      m, eps,
      [&](const Shard& shard, MatrixRef<S> z, MatrixRef<S> p) {
        linear_->forward_hadamard(theta, signs, m, batch_->x.middleRows(shard.first, shard.rows), z, p);
      },
      out);
  pool_groups(layout_.groups, out);
  bill_training(2 * m);
}

template <class S>
template <class Stack>
void BlockLoss<S>::linear_differences(Index m, double eps, Stack stack, Differences& out) const {
  const Index width = block_.layers[0]->map->output_shape().size(), groups = loss_groups();
  if (pair_scorer_.serves()) pair_scorer_.begin_step();
  executor_.run(isize(shards_.size()), [&](Index i) {
    Shard& shard = shards_[usize(i)];
    const Targets targets = batch_->targets.rows(shard.first, shard.rows);
    shard.z.resize(shard.rows, width);
    shard.p.resize(shard.rows, m * width);
    shard.delta.setZero(m, groups);
    shard.sums.assign(1, 0.0);
    shard.plus_losses.resize(shard.rows, groups);
    shard.minus_losses.resize(shard.rows, groups);
    stack(shard, shard.z, shard.p);
    if (pair_scorer_.serves()) pair_scorer_.prepare(shard.z, shard.pair);
    for (Index j = 0; j < m; ++j) {
      const auto p = shard.p.middleCols(j * width, width);
      if (pair_scorer_.serves()) {
        pair_scorer_.score(shard.z, p, eps, shard.pair);
        block_.exact_loss->values(shard.pair.plus, block_.head->classes(), targets, shard.plus_losses);
        block_.exact_loss->values(shard.pair.minus, block_.head->classes(), targets, shard.minus_losses);
      } else {
        const Matrix<S>* head_input = nullptr;
        shard.plus = shard.z + static_cast<S>(eps) * p;
        chain_.run_tail(shard.plus, shard.tail_buffers, head_input);
        score_side(*head_input, shard, shard.plus_losses);
        shard.minus = shard.z - static_cast<S>(eps) * p;
        chain_.run_tail(shard.minus, shard.tail_buffers, head_input);
        score_side(*head_input, shard, shard.minus_losses);
      }
      for (Index g = 0; g < groups; ++g) shard.delta(j, g) = (shard.plus_losses.col(g) - shard.minus_losses.col(g)).sum();
      shard.sums[0] += shard.plus_losses.sum() + shard.minus_losses.sum();
    }
  });
  out.delta.setZero(m, groups);
  out.mean_loss = 0.0;
  for (const Shard& shard : shards_) {
    out.delta += reduction_scale() * shard.delta;
    out.mean_loss += reduction_scale() * shard.sums[0] / (2.0 * static_cast<double>(m));
  }
}

template <class S>
void BlockLoss<S>::paired_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  const Index m = directions.rows(), groups = loss_groups();
  const Layer<S>& layer = *block_.layers[0];
  const bool fused = layer.loss_after == 0 && layer.readout && paired_->fuses(*layer.readout);
  out.delta.setZero(m, groups);
  out.mean_loss = 0.0;
  const auto score = [&](const ConstMatrixRef<S>& side, Shard& shard, Matrix<double>& losses) {
    if (fused) {
      keep_reads(side, shard);
      return score_side(side, shard, losses);
    }
    const Matrix<S>* head_input = nullptr;
    chain_.run_tail(side, shard.tail_buffers, head_input);
    keep_reads(*head_input, shard);
    score_side(*head_input, shard, losses);
  };
  // Pairs come whole from the map, which shards inside.
  paired_->forward_pairs(theta, directions, eps, batch_->x, fused ? layer.readout.get() : nullptr,
                         [&](Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus) {
                           executor_.run(isize(sides_.size()), [&](Index i) {
                             Shard& shard = sides_[usize(i)];
                             score(plus.middleRows(shard.first, shard.rows), shard, shard.plus_losses);
                             score(minus.middleRows(shard.first, shard.rows), shard, shard.minus_losses);
                             shard.delta.resize(1, groups);
                             for (Index g = 0; g < groups; ++g)
                               shard.delta(0, g) = (shard.plus_losses.col(g) - shard.minus_losses.col(g)).sum();
                             shard.sums.assign(1, shard.plus_losses.sum() + shard.minus_losses.sum());
                           });
                           for (const Shard& shard : sides_) {
                             out.delta.row(j) += reduction_scale() * shard.delta.row(0);
                             out.mean_loss += shard.sums[0] * reduction_scale() / (2.0 * static_cast<double>(m));
                           }
                         });
  count_reads(2 * m);
}

template <class S>
void BlockLoss<S>::many_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  const Index m = directions.rows(), groups = loss_groups();
  // In the order + - - + ..: what drifts evenly cancels between neighbours.
  const auto place = [](Index j, bool plus) { return usize(2 * j + (plus == (j % 2 == 0) ? 0 : 1)); };
  std::vector<Vector<S>> moved(usize(2 * m));
  std::vector<std::span<const S>> thetas(usize(2 * m));
  for (Index j = 0; j < m; ++j)
    for (const bool plus : {true, false}) {
      const S length = static_cast<S>(eps);
      Vector<S>& own = moved[place(j, plus)];
      if (plus)
        own = as_vector(theta) + length * directions.row(j).transpose();
      else
        own = as_vector(theta) - length * directions.row(j).transpose();
      thetas[place(j, plus)] = as_span(std::as_const(own));
    }
  std::vector<Matrix<S>> outputs(thetas.size());
  // What a readout learns from are all readings.
  const bool may_miss = out.may_miss && batch_->reads == nullptr;
  many_->read_many(thetas, batch_->x, outputs, may_miss);
  Shard& shard = shards_.front();  // such a map takes its batch whole
  std::vector<bool> lost;          // rows that one of the sides lacks
  const auto loss_of = [&](Matrix<S>& y) {
    for (std::size_t b = 0; b < lost.size(); ++b)
      if (lost[b]) y.row(isize(b)).setZero();
    const Matrix<S>* head_input = nullptr;
    chain_.run_tail(y, shard.tail_buffers, head_input);
    keep_reads(*head_input, shard);
    score_side(*head_input, shard, shard.plus_losses);
    for (std::size_t b = 0; b < lost.size(); ++b)
      if (lost[b]) shard.plus_losses.row(isize(b)).setZero();
    double sum = 0.0;
    for (Index g = 0; g < groups; ++g) sum += shard.plus_losses.col(g).sum() * reduction_scale();
    return sum;
  };
  out.delta.setZero(m, 1);
  out.mean_loss = 0.0;
  for (Index j = 0; j < m; ++j) {
    Matrix<S>&plus_side = outputs[place(j, true)], &minus_side = outputs[place(j, false)];
    lost.clear();
    double share = 1.0;  // by which the mean over the rows that are there is the mean of a batch
    if (may_miss && !(plus_side.allFinite() && minus_side.allFinite())) {
      lost.resize(usize(plus_side.rows()));
      for (std::size_t b = 0; b < lost.size(); ++b) lost[b] = !plus_side.row(isize(b)).allFinite() || !minus_side.row(isize(b)).allFinite();
      const Index there = std::count(lost.begin(), lost.end(), false);
      // Where a row's loss depends on the others, one that is missing spoils them all.
      const bool left_out = there == 0 || !chain_.independent_tail();
      if (left_out) {
        out.came.resize(usize(m), true);
        out.came[usize(j)] = false;
        continue;
      }
      share = static_cast<double>(lost.size()) / static_cast<double>(there);
    }
    const double plus = share * loss_of(plus_side), minus = share * loss_of(minus_side);
    out.delta(j, 0) = plus - minus;
    out.mean_loss += (plus + minus) / (2.0 * static_cast<double>(m));
  }
  if (const Index pairs = out.pairs(); pairs > 0 && pairs < m) out.mean_loss *= static_cast<double>(m) / static_cast<double>(pairs);
  count_reads(2 * m);
}

template <class S>
void BlockLoss<S>::joint_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  // The groups share one loss, so each group's difference needs evaluations of its own: 2 m G of them.
  const Index m = directions.rows();
  out.delta.resize(m, layout_.groups);
  out.mean_loss = 0.0;
  Vector<S> moved(dimension_);
  const double share = 1.0 / (2.0 * static_cast<double>(m * layout_.groups));
  for (Index j = 0; j < m; ++j)
    for (Index g = 0; g < layout_.groups; ++g) {
      double side_loss[2] = {0.0, 0.0};
      for (int side = 0; side < 2; ++side) {
        moved = as_vector(theta);
        for (const Unit& unit : layout_.units)
          if (unit.group == g)
            for (const Segment& s : unit.segments)
              moved.segment(s.begin, s.size) +=
                  static_cast<S>(side == 0 ? eps : -eps) * directions.row(j).segment(s.begin, s.size).transpose();
        values(as_span(std::as_const(moved)), std::span<double>(&side_loss[side], 1));
      }
      out.delta(j, g) = side_loss[0] - side_loss[1];
      out.mean_loss += (side_loss[0] + side_loss[1]) * share;
    }
}

template class BlockLoss<float>;
template class BlockLoss<double>;

}  // namespace ffzero
