// The loss of a block of one device whose slopes come from a twin.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/twin_block_loss.hpp"

#include <vector>

namespace ffzero {

template <class S>
void TwinBlockLoss<S>::read(std::span<const S> theta, Matrix<S>& readings) const {
  readings.resize(this->batch_size(), this->chain_.output_size());
  this->chain_.prepare(theta, Matrix<S>(0, this->dimension_), this->batch_->x);
  // One after the other: readings have their order.
  for (auto& shard : this->shards_) {
    const Matrix<S>& z = this->chain_.forward(theta, this->batch_->x.middleRows(shard.first, shard.rows), shard.first, shard.work);
    this->keep_reads(z, shard);
    readings.middleRows(shard.first, shard.rows) = z;
  }
  this->count_reads(1);
  this->bill_training(1);
}

template <class S>
void TwinBlockLoss<S>::read(std::span<const S> theta, const ConstMatrixRef<S>& x, Matrix<S>& readings) const {
  read_many(std::span(&theta, 1), x, std::span(&readings, 1));
}

template <class S>
void TwinBlockLoss<S>::read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x,
                                 std::span<Matrix<S>> readings) const {
  const ForwardMap<S>& map = *this->block_.layers[0]->map;
  std::vector<Matrix<S>> outputs(thetas.size(), Matrix<S>(x.rows(), map.output_shape().size()));
  if (const auto* many = dynamic_cast<const ManyReadings<S>*>(&map); many != nullptr)
    many->read_many(thetas, x, outputs, false);
  else
    for (std::size_t i = 0; i < thetas.size(); ++i) map.forward(thetas[i], x, outputs[i]);
  std::vector<Matrix<S>> buffers;
  for (std::size_t i = 0; i < thetas.size(); ++i) {
    const Matrix<S>* head_input = nullptr;
    this->chain_.run_tail(outputs[i], buffers, head_input);
    readings[i] = *head_input;
  }
  const Index first = this->block_.first_layer;
  this->ledger_.bill(first, first + 1, &Evaluations::training, isize(thetas.size()) * x.rows());
}

template <class S>
double TwinBlockLoss<S>::slope(MatrixRef<S> readings) const {
  const auto& head = *this->block_.head;
  const double scale = this->reduction_scale();
  double sum = 0.0;
  for (auto& shard : this->shards_) {
    const Targets targets = this->batch_->targets.rows(shard.first, shard.rows);
    const Matrix<S> z = readings.middleRows(shard.first, shard.rows);
    this->score_side(z, shard, shard.plus_losses);
    sum += shard.plus_losses.sum() * scale;
    shard.work.gs.resize(z.rows(), shard.work.scores.cols());
    this->block_.loss->gradient(shard.work.scores, head.classes(), targets, shard.work.gs);
    if (scale != 1.0) shard.work.gs *= static_cast<S>(scale);
    Matrix<S> slopes(z.rows(), z.cols());
    head.pullback(z, shard.work.gs, slopes);
    readings.middleRows(shard.first, shard.rows) = slopes;
  }
  return sum;
}

template <class S>
void TwinBlockLoss<S>::keep_modelled(const ConstMatrixRef<S>& readings) const {
  if (this->batch_->reads == nullptr) return;
  this->batch_->reads->sum = readings;
  this->batch_->reads->evaluations = 1;
}

template class TwinBlockLoss<float>;
template class TwinBlockLoss<double>;

}  // namespace ffzero
