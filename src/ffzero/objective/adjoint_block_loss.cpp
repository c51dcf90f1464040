// Exact and activity gradients of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/adjoint_block_loss.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {
constexpr Index kPiece = 4096;
constexpr auto kNothing = [](const auto& /*shard*/, const auto& /*z*/, const auto& /*targets*/) {};
}  // namespace

template <class S>
const AdjointMap<S>& require_adjoint(const ForwardMap<S>& map, Index layer) {
  if (const auto* adjoint = dynamic_cast<const AdjointMap<S>*>(&map)) return *adjoint;
  throw ConfigError("gradient.estimator", "this estimator needs maps with an adjoint",
                    "layer " + std::to_string(layer) + " ('" + map.kind() + "'), which is forward-only",
                    "use gradient.estimator = \"directional\" for that layer");
}

template <class S>
bool has_adjoint(const Block<S>& block) {
  const BlockChain<S> chain(block);
  return std::all_of(chain.steps().begin(), chain.steps().end(),
                     [](const auto& step) { return step.map == nullptr || dynamic_cast<const AdjointMap<S>*>(step.map) != nullptr; });
}

template <class S>
AdjointBlockLoss<S>::AdjointBlockLoss(const Block<S>& block, const Executor& executor, Ledger& ledger)
    : BlockLoss<S>(block, executor, ledger) {
  for (const auto& step : this->chain_.steps())
    adjoints_.push_back(step.map == nullptr ? nullptr : &require_adjoint(*step.map, step.layer));
  for (std::size_t i = 0; i < adjoints_.size(); ++i) {
    if (this->chain_.steps()[i].theta_size == 0) continue;
    const Index count = adjoints_[i]->gradient_pieces();
    if (count == 0) {
      pieces_.clear();
      break;
    }
    for (Index piece = 0; piece < count; ++piece) pieces_.push_back({i, piece});
  }
}

template <class S>
double AdjointBlockLoss<S>::value_and_gradient(std::span<const S> theta, std::span<S> gradient) const {
  const double scale = this->reduction_scale();
  const double loss = run(theta, gradient, kNothing, nullptr, [&](Shard& shard, const Matrix<S>& z, const Targets& targets, Matrix<S>& gz) {
    const auto& head = *this->block_.head;
    shard.work.gs.resize(z.rows(), shard.work.scores.cols());
    this->block_.loss->gradient(shard.work.scores, head.classes(), targets, shard.work.gs);
    if (scale != 1.0) shard.work.gs *= static_cast<S>(scale);
    head.pullback(z, shard.work.gs, gz);
  });
  this->bill_training(1);
  return loss;
}

template <class S>
double AdjointBlockLoss<S>::activity_gradient(std::span<const S> theta, const ActivityPerturbation& perturbation,
                                              const RandomStream& random, std::span<S> gradient) const {
  const double scale = this->reduction_scale();
  const auto& block = this->block_;
  const ActivityOptions<S> options{.head = *block.head, .loss = *block.exact_loss, .perturbation = perturbation};
  double loss = 0.0;
  if (Exchange& ranks = this->executor_.ranks(); ranks.alone()) {
    loss = run(theta, gradient, kNothing, nullptr, [&](Shard& shard, const Matrix<S>& z, const Targets& targets, Matrix<S>& gz) {
      activity_output_gradient<S>(options, z, targets, random, shard.first, gz);
      if (scale != 1.0) gz *= static_cast<S>(scale);
    });
  } else {
    // A unit is a sample.
    const Index rows = this->batch_size(), each = ActivityReading<S>::slopes_of_sample(options);
    const RankPart part = ranks.part_of(rows);
    readings_.clear();
    for (std::size_t i = 0; i < this->shards_.size(); ++i) readings_.emplace_back(options);
    slopes_.resize(usize(rows * each));
    const auto reading_of = [&](const Shard& shard) -> ActivityReading<S>& { return readings_[usize(&shard - this->shards_.data())]; };
    loss = run(
        theta, gradient,
        [&](const Shard& shard, const Matrix<S>& z, const Targets& targets) {
          reading_of(shard).begin(z, random, shard.first);
          const Index first = std::max(part.first, shard.first), last = std::min(part.last, shard.first + shard.rows);
          if (first >= last) return;
          reading_of(shard).measure(z, first - shard.first, last - first, targets.rows(first - shard.first, last - first),
                                    Eigen::Map<Matrix<double>>(slopes_.data() + first * each, last - first, each));
        },
        [&] { ranks.gather_units(rows, each, slopes_); },
        [&](Shard& shard, const Matrix<S>& z, const Targets& /*targets*/, Matrix<S>& gz) {
          const Eigen::Map<const Matrix<double>> own(slopes_.data() + shard.first * each, shard.rows, each);
          reading_of(shard).gradient(z, own, gz);
          if (scale != 1.0) gz *= static_cast<S>(scale);
        });
  }
  this->bill_training(activity_cost(perturbation, *block.head, block.loss->joint()));
  return loss;
}

template <class S>
template <class Measure, class Gathered, class OutputGradient>
double AdjointBlockLoss<S>::run(std::span<const S> theta, std::span<S> gradient, Measure measure, Gathered gathered,
                                OutputGradient output_gradient) const {
  auto& shards = this->shards_;
  const auto& chain = this->chain_;
  const bool piecewise = !pieces_.empty();
  const Index count = isize(shards.size());
  if (piecewise)
    first_slopes_.resize(this->batch_size(), chain.steps()[0].outputs);
  else
    shard_gradients_.resize(shards.size());
  chain.prepare(theta, Matrix<S>(0, this->dimension_), this->batch_->x);
  const auto targets_of = [&](const Shard& shard) { return this->batch_->targets.rows(shard.first, shard.rows); };
  const auto look = [&](Index i) {
    Shard& shard = shards[usize(i)];
    const Matrix<S>& z = chain.forward(theta, this->batch_->x.middleRows(shard.first, shard.rows), shard.first, shard.work);
    this->keep_reads(z, shard);
    shard.work.scores.resize(z.rows(), this->block_.head->groups() * this->block_.head->classes());
    this->block_.head->scores(z, shard.work.scores);
    shard.plus_losses.resize(z.rows(), this->loss_groups());
    this->block_.loss->values(shard.work.scores, this->block_.head->classes(), targets_of(shard), shard.plus_losses);
    shard.sums.assign(1, shard.plus_losses.sum());
    measure(shard, z, targets_of(shard));
  };
  const auto pull = [&](Index i) {
    Shard& shard = shards[usize(i)];
    const Matrix<S>& z = shard.work.outputs.back();
    shard.work.gradients.resize(chain.steps().size());
    Matrix<S>& gz = shard.work.gradients.back();
    gz.resize(z.rows(), z.cols());
    output_gradient(shard, z, targets_of(shard), gz);
    if (piecewise) {
      const Index begin = i * this->dimension_ / count, end = (i + 1) * this->dimension_ / count;
      std::fill(gradient.begin() + begin, gradient.begin() + end, S{0});
      return backward(theta, shard, {});
    }
    // The first shard writes into the result, the others into buffers of their own, added in order.
    std::span<S> own = gradient;
    if (i > 0) {
      shard_gradients_[usize(i)].resize(this->dimension_);
      own = as_span(shard_gradients_[usize(i)]);
    }
    std::fill(own.begin(), own.end(), S{0});
    backward(theta, shard, own);
  };
  if constexpr (std::is_null_pointer_v<Gathered>) {
    this->executor_.run(count, [&](Index i) {
      look(i);
      pull(i);
    });
  } else {
    this->executor_.run(count, look);
    gathered();
    this->executor_.run(count, pull);
  }
  this->count_reads(1);
  double loss = 0.0;
  for (const Shard& shard : shards) loss += shard.sums[0] * this->reduction_scale();
  if (piecewise)
    add_pieces(gradient);
  else
    add_shard_gradients(gradient);
  const Index first_layer = this->block_.first_layer;
  this->ledger_.bill(first_layer, first_layer + isize(this->block_.layers.size()), &Evaluations::pullbacks, this->batch_size());
  clear_fixed_parameters(gradient);
  return loss;
}

template <class S>
void AdjointBlockLoss<S>::add_shard_gradients(std::span<S> gradient) const {
  // In pieces that stay in the first cache; the order of the shards is the same for each entry.
  const Index size = isize(gradient.size());
  this->executor_.run(divide_up(size, kPiece), [&](Index piece) {
    const Index first = piece * kPiece, count = std::min(kPiece, size - first);
    for (std::size_t i = 1; i < this->shards_.size(); ++i)
      as_vector(gradient).segment(first, count) += shard_gradients_[i].segment(first, count);
  });
}

template <class S>
void AdjointBlockLoss<S>::add_pieces(std::span<S> gradient) const {
  const auto& steps = this->chain_.steps();
  this->executor_.run(isize(pieces_.size()), [&](Index k) {
    const auto [i, piece] = pieces_[usize(k)];
    const auto own = gradient.subspan(usize(steps[i].theta_begin), usize(steps[i].theta_size));
    if (i == 0) return adjoints_[i]->add_gradient_piece(piece, this->batch_->x, first_slopes_, own);
    for (const Shard& shard : this->shards_)
      adjoints_[i]->add_gradient_piece(piece, shard.work.outputs[i - 1], shard.work.gradients[i], own);
  });
}

template <class S>
void AdjointBlockLoss<S>::backward(std::span<const S> theta, Shard& shard, std::span<S> gradient) const {
  const auto& steps = this->chain_.steps();
  for (std::size_t i = steps.size(); i-- > 0;) {
    const auto& step = steps[i];
    auto& outputs = shard.work.outputs;
    Matrix<S>& gy = shard.work.gradients[i];
    if (step.map == nullptr) {
      shard.work.gradients[i - 1] = gy.cwiseProduct(this->chain_.mask(step.mask).middleRows(shard.first, shard.rows));
      continue;
    }
    const auto slice = theta.subspan(usize(step.theta_begin), usize(step.theta_size));
    const auto gslice = gradient.empty() ? gradient : gradient.subspan(usize(step.theta_begin), usize(step.theta_size));
    if (i == 0 && gradient.empty()) {
      first_slopes_.middleRows(shard.first, shard.rows) = gy;
      continue;
    }
    if (i == 0) {
      adjoints_[0]->pullback(slice, this->batch_->x.middleRows(shard.first, shard.rows), outputs[0], gy, gslice, nullptr);
      continue;
    }
    Matrix<S>& gx = shard.work.gradients[i - 1];
    gx.resize(outputs[i - 1].rows(), outputs[i - 1].cols());
    MatrixRef<S> gx_ref(gx);
    adjoints_[i]->pullback(slice, outputs[i - 1], outputs[i], gy, gslice, &gx_ref);
  }
}

template <class S>
void AdjointBlockLoss<S>::clear_fixed_parameters(std::span<S> gradient) const {
  Index covered = 0;
  for (const Unit& u : this->layout_.units) covered += u.size();
  if (covered == this->dimension_) return;
  Vector<S> kept = Vector<S>::Zero(this->dimension_);
  for (const Unit& u : this->layout_.units)
    for (const Segment& s : u.segments) kept.segment(s.begin, s.size) = as_vector(gradient).segment(s.begin, s.size);
  as_vector(gradient) = kept;
}

template const AdjointMap<float>& require_adjoint(const ForwardMap<float>&, Index);
template const AdjointMap<double>& require_adjoint(const ForwardMap<double>&, Index);
template bool has_adjoint(const Block<float>&);
template bool has_adjoint(const Block<double>&);
template class AdjointBlockLoss<float>;
template class AdjointBlockLoss<double>;

}  // namespace ffzero
