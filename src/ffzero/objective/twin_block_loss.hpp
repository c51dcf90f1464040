// The loss of a block of one device whose slopes come from a twin.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/objective/block_loss.hpp"

namespace ffzero {

/// What an estimator needs that reads a device forwards and asks another map for slopes.
template <class S>
class TwinBlockLoss final : public BlockLoss<S> {
 public:
  using BlockLoss<S>::BlockLoss;

  /// readings (B, head inputs), overwritten: what the head reads of the batch at theta. Cost: one evaluation of the batch, billed as
  /// training.
  void read(std::span<const S> theta, Matrix<S>& readings) const;
  /// The same of any samples, for a calibration.  x (n, input size)   Cost: n evaluations, billed as training.
  void read(std::span<const S> theta, const ConstMatrixRef<S>& x, Matrix<S>& readings) const;
  /// The same at several settings, in their order; an instrument is asked for all of them at once.  thetas (m)   readings (m)
  /// Cost: m n evaluations, billed as training.
  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> readings) const;
  /// The loss of the batch, were these its readings; they are replaced by dL/dreadings. Cost: none.
  double slope(MatrixRef<S> readings) const;
  /// Readings of a model, in place of those of the device, for a readout that learns from readings.
  void keep_modelled(const ConstMatrixRef<S>& readings) const;
  [[nodiscard]] const ConstMatrixRef<S>& inputs() const { return this->batch_->x; }
  /// Slopes of a model are billed as pullbacks.
  void bill_pullback() const {
    const Index first = this->block_.first_layer;
    this->ledger_.bill(first, first + 1, &Evaluations::pullbacks, this->batch_size());
  }
};

extern template class TwinBlockLoss<float>;
extern template class TwinBlockLoss<double>;

}  // namespace ffzero
