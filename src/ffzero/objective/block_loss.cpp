// Losses and differences of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/block_loss.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "ffzero/map/instrument.hpp"
#include "ffzero/map/repeats.hpp"

namespace ffzero {

namespace {
// Rows of a shard: large enough for a product to be efficient; but small batches are halved, so that two threads have something to share.
// Part of the result's bits, so it never depends on the number of threads.
constexpr Index kShardRows = 64, kLeastShardRows = 8;

Index shard_count(Index rows) {
  const Index wanted = std::max<Index>(divide_up(rows, kShardRows), 2);
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
    // Instruments answer groups together as well; a simulation is read as it always was.
    const bool instrument = dynamic_cast<const Instrument<S>*>(block.layers[0]->map.get()) != nullptr;
    if ((layout_.groups == 1 || instrument) && !block.layers[0]->map->independent_rows())
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
bool BlockLoss<S>::serves_ranks() const {
  return std::all_of(chain_.steps().begin(), chain_.steps().end(),
                     [](const LayerStep<S>& step) { return step.map == nullptr || repeats<S>(*step.map); });
}

template <class S>
void BlockLoss<S>::values(std::span<const S> theta, std::span<double> losses) const {
  Matrix<double> found(1, isize(losses.size()));
  evaluate(
      1, [theta](Index) { return theta; }, found);
  std::copy_n(found.data(), losses.size(), losses.begin());
  bill_training(1);
}

template <class S>
template <class Theta>
void BlockLoss<S>::evaluate(Index count, Theta theta, Matrix<double>& losses) const {
  const Index groups = loss_groups(), shards = isize(shards_.size());
  const RankPart part = executor_.ranks().part_of(count * shards);
  cells_.resize(usize(count * shards * groups));
  for (Index number = part.first; number < part.last;) {
    const Index e = number / shards, first = number % shards, last = std::min(shards, first + part.last - number);
    const std::span<const S> own = theta(e);
    chain_.prepare(own, Matrix<S>(0, dimension_), batch_->x);
    executor_.run(last - first, [&](Index k) {
      Shard& shard = shards_[usize(first + k)];
      const Matrix<S>& z = chain_.forward(own, batch_->x.middleRows(shard.first, shard.rows), shard.first, shard.work);
      keep_reads(z, shard);
      score_side(z, shard, shard.plus_losses);
      for (Index g = 0; g < groups; ++g) cells_[usize((e * shards + first + k) * groups + g)] = shard.plus_losses.col(g).sum();
    });
    count_reads(1);
    number += last - first;
  }
  executor_.ranks().gather_units(count * shards, groups, cells_);
  // One group in the parameters (end to end) sums all groups of the loss; otherwise they correspond one to one.
  losses.setZero();
  for (Index e = 0; e < count; ++e)
    for (Index i = 0; i < shards; ++i)
      for (Index g = 0; g < groups; ++g)
        losses(e, losses.cols() == groups ? g : 0) += cells_[usize((e * shards + i) * groups + g)] * reduction_scale();
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
    chain_.prepare(theta, directions, batch_->x);
    linear_differences(
        directions.rows(), eps, stacked != nullptr,
        [&](const Shard& shard, Index first, MatrixRef<S> z, MatrixRef<S> p) {
          if (stacked != nullptr)
            stacked->rows(shard.first, first, z, p);
          else
            linear_->forward_stacked(theta, directions, batch_->x.middleRows(shard.first, shard.rows), z, p);
        },
        out);
  } else if (paired_ != nullptr)
    paired_differences(theta, directions, eps, out);
  else if (many_ != nullptr)
    many_differences(theta, directions, eps, out);
  else
    return chained_differences(theta, directions, eps, out);
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
  // The directions come out of one transform.
  linear_differences(
      m, eps, false,
      [&](const Shard& shard, Index /*first*/, MatrixRef<S> z, MatrixRef<S> p) {
        linear_->forward_hadamard(theta, signs, m, batch_->x.middleRows(shard.first, shard.rows), z, p);
      },
      out);
  pool_groups(layout_.groups, out);
  bill_training(2 * m);
}

template <class S>
typename BlockLoss<S>::PairSums BlockLoss<S>::pair_sums(Index number) const {
  double* const cell = cells_.data() + number * (loss_groups() + 1);
  return {.delta = cell, .sum = cell + loss_groups()};
}

template <class S>
template <class Number>
void BlockLoss<S>::add_pair_sums(Index shards, Number number, Differences& out) const {
  const Index m = out.delta.rows(), groups = loss_groups();
  for (Index i = 0; i < shards; ++i)
    for (Index j = 0; j < m; ++j)
      for (Index g = 0; g < groups; ++g) out.delta(j, g) += reduction_scale() * pair_sums(number(i, j)).delta[g];
}

template <class S>
template <class Stack>
void BlockLoss<S>::linear_differences(Index m, double eps, bool directions_apart, Stack stack, Differences& out) const {
  const Index width = block_.layers[0]->map->output_shape().size(), groups = loss_groups(), shards = isize(shards_.size());
  if (pair_scorer_.serves()) pair_scorer_.begin_step();
  const Index each = directions_apart ? m : 1;  // units of a shard
  const RankPart part = executor_.ranks().part_of(shards * each);
  const Index first_shard = part.first / each, last_shard = part.size() == 0 ? first_shard : (part.last - 1) / each + 1;
  cells_.resize(usize(shards * m * (groups + 1)));
  executor_.run(last_shard - first_shard, [&](Index k) {
    const Index i = first_shard + k;
    const Index first = directions_apart ? std::max<Index>(0, part.first - i * m) : 0;
    const Index last = directions_apart ? std::min(m, part.last - i * m) : m;
    Shard& shard = shards_[usize(i)];
    const Targets targets = batch_->targets.rows(shard.first, shard.rows);
    shard.z.resize(shard.rows, width);
    shard.p.resize(shard.rows, (last - first) * width);
    shard.plus_losses.resize(shard.rows, groups);
    shard.minus_losses.resize(shard.rows, groups);
    stack(shard, first, shard.z, shard.p);
    if (pair_scorer_.serves()) pair_scorer_.prepare(shard.z, shard.pair);
    for (Index j = first; j < last; ++j) {
      const auto p = shard.p.middleCols((j - first) * width, width);
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
      const PairSums sums = pair_sums(i * m + j);
      for (Index g = 0; g < groups; ++g) sums.delta[g] = (shard.plus_losses.col(g) - shard.minus_losses.col(g)).sum();
      *sums.sum = shard.plus_losses.sum() + shard.minus_losses.sum();
    }
  });
  executor_.ranks().gather_units(shards * each, m / each * (groups + 1), cells_);
  out.delta.setZero(m, groups);
  out.mean_loss = 0.0;
  add_pair_sums(
      shards, [m](Index i, Index j) { return i * m + j; }, out);
  for (Index i = 0; i < shards; ++i) {
    double sum = 0.0;
    for (Index j = 0; j < m; ++j) sum += *pair_sums(i * m + j).sum;
    out.mean_loss += reduction_scale() * sum / (2.0 * static_cast<double>(m));
  }
}

template <class S>
void BlockLoss<S>::paired_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  const Index m = directions.rows(), groups = loss_groups(), shards = isize(sides_.size());
  const Layer<S>& layer = *block_.layers[0];
  const bool fused = layer.loss_after == 0 && layer.readout && paired_->fuses(*layer.readout);
  // A unit is a direction on a shard, or where rows depend on one another, on the whole batch.
  const bool apart = paired_->pairs_apart();
  const auto number = [apart, m, shards](Index i, Index j) { return apart ? i * m + j : j * shards + i; };
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
  const auto evaluate_pairs = [&](Index first_shard, Index last_shard, Index first, Index last) {
    const Index row = sides_[usize(first_shard)].first, end = sides_[usize(last_shard - 1)].first + sides_[usize(last_shard - 1)].rows;
    paired_->forward_some_pairs(theta, directions, first, last, eps, batch_->x.middleRows(row, end - row),
                                fused ? layer.readout.get() : nullptr,
                                [&](Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus) {
                                  executor_.run(last_shard - first_shard, [&](Index k) {
                                    Shard& shard = sides_[usize(first_shard + k)];
                                    score(plus.middleRows(shard.first - row, shard.rows), shard, shard.plus_losses);
                                    score(minus.middleRows(shard.first - row, shard.rows), shard, shard.minus_losses);
                                    const PairSums sums = pair_sums(number(first_shard + k, j));
                                    for (Index g = 0; g < groups; ++g)
                                      sums.delta[g] = (shard.plus_losses.col(g) - shard.minus_losses.col(g)).sum();
                                    *sums.sum = shard.plus_losses.sum() + shard.minus_losses.sum();
                                  });
                                });
  };
  const Index units = apart ? shards * m : m;
  const RankPart part = executor_.ranks().part_of(units);
  cells_.resize(usize(shards * m * (groups + 1)));
  if (!apart && part.size() > 0) evaluate_pairs(0, shards, part.first, part.last);
  for (Index unit = part.first; apart && unit < part.last;) {
    // All directions of whole shards at once; some of a shard that ranks share.
    const Index i = unit / m, j = unit % m;
    const bool whole = j == 0 && part.last - unit >= m;
    const Index last_shard = whole ? part.last / m : i + 1, last = whole ? m : std::min(m, j + part.last - unit);
    evaluate_pairs(i, last_shard, j, last);
    unit += (last_shard - i) * (last - j);
  }
  executor_.ranks().gather_units(units, shards * m / units * (groups + 1), cells_);
  out.delta.setZero(m, groups);
  out.mean_loss = 0.0;
  add_pair_sums(shards, number, out);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < shards; ++i) out.mean_loss += *pair_sums(number(i, j)).sum * reduction_scale() / (2.0 * static_cast<double>(m));
  count_reads(2 * m);
}

template <class S>
void BlockLoss<S>::chained_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  const Index m = directions.rows(), groups = layout_.groups;
  Vector<S> moved(dimension_);
  Matrix<double> losses(2 * m, groups);
  evaluate(
      2 * m,
      [&](Index e) {
        const auto direction = directions.row(e / 2).transpose();
        if (e % 2 == 0)
          moved = as_vector(theta) + static_cast<S>(eps) * direction;
        else
          moved = as_vector(theta) - static_cast<S>(eps) * direction;
        return as_span(std::as_const(moved));
      },
      losses);
  out.delta.resize(m, groups);
  out.mean_loss = 0.0;
  for (Index j = 0; j < m; ++j)
    for (Index g = 0; g < groups; ++g) {
      const double plus = losses(2 * j, g), minus = losses(2 * j + 1, g);
      out.delta(j, g) = plus - minus;
      out.mean_loss += (plus + minus) / (2.0 * static_cast<double>(m));
    }
  bill_training(2 * m);
}

template <class S>
void BlockLoss<S>::many_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  // Where the parameters form one group, they see the sum of the losses of all groups of outputs.
  const Index m = directions.rows(), groups = layout_.groups, all_groups = loss_groups();
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
  const auto losses_of = [&](Matrix<S>& y) {
    for (std::size_t b = 0; b < lost.size(); ++b)
      if (lost[b]) y.row(isize(b)).setZero();
    const Matrix<S>* head_input = nullptr;
    chain_.run_tail(y, shard.tail_buffers, head_input);
    keep_reads(*head_input, shard);
    score_side(*head_input, shard, shard.plus_losses);
    for (std::size_t b = 0; b < lost.size(); ++b)
      if (lost[b]) shard.plus_losses.row(isize(b)).setZero();
    Vector<double> sums = Vector<double>::Zero(groups);
    for (Index g = 0; g < all_groups; ++g) sums(groups == 1 ? 0 : g) += shard.plus_losses.col(g).sum() * reduction_scale();
    return sums;
  };
  out.delta.setZero(m, groups);
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
    const Vector<double> plus = share * losses_of(plus_side), minus = share * losses_of(minus_side);
    out.delta.row(j) = (plus - minus).transpose();
    for (Index g = 0; g < groups; ++g) out.mean_loss += (plus(g) + minus(g)) / (2.0 * static_cast<double>(m));
  }
  if (const Index pairs = out.pairs(); pairs > 0 && pairs < m) out.mean_loss *= static_cast<double>(m) / static_cast<double>(pairs);
  count_reads(2 * m);
}

template <class S>
void BlockLoss<S>::joint_differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  // The groups share one loss, so each group's difference needs evaluations of its own: 2 m G of them.
  const Index m = directions.rows(), groups = layout_.groups;
  Vector<S> moved(dimension_);
  Matrix<double> losses(2 * m * groups, 1);
  evaluate(
      losses.rows(),
      [&](Index e) {
        const Index j = e / (2 * groups), g = e / 2 % groups;
        moved = as_vector(theta);
        for (const Unit& unit : layout_.units)
          if (unit.group == g)
            for (const Segment& s : unit.segments)
              moved.segment(s.begin, s.size) +=
                  static_cast<S>(e % 2 == 0 ? eps : -eps) * directions.row(j).segment(s.begin, s.size).transpose();
        return as_span(std::as_const(moved));
      },
      losses);
  out.delta.resize(m, groups);
  out.mean_loss = 0.0;
  const double share = 1.0 / (2.0 * static_cast<double>(m * groups));
  for (Index j = 0; j < m; ++j)
    for (Index g = 0; g < groups; ++g) {
      const Index e = 2 * (j * groups + g);
      out.delta(j, g) = losses(e, 0) - losses(e + 1, 0);
      out.mean_loss += (losses(e, 0) + losses(e + 1, 0)) * share;
    }
  bill_training(losses.rows());
}

template class BlockLoss<float>;
template class BlockLoss<double>;

}  // namespace ffzero
