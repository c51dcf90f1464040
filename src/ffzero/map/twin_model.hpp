// A model of a device, as its owner gives it.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// What stands beside a device and knows slopes that the device cannot give. Its parameters are the device's; what else it knows (errors,
/// gains) is its own. Called by one thread at a time.
template <class S>
class TwinModel {
 public:
  virtual ~TwinModel() = default;
  /// What the model says of a batch.  theta (parameters)   x (B, inputs)   y (B, outputs), overwritten. Cost: none.
  virtual void model(std::span<const S> theta, const ConstMatrixRef<S>& x, Matrix<S>& y) const = 0;
  /// gtheta += (dy/dtheta)^T gy.  gy (B, outputs)   gtheta (parameters)
  virtual void pull(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gy, std::span<S> gtheta) const = 0;
  /// The device has said y of x at theta: a model that learns from readings does so here.
  virtual void learn(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y) const = 0;
  /// False: `model` cannot be called.
  [[nodiscard]] virtual bool says() const = 0;
};

/// A map whose owner may have given it a model.
template <class S>
class Twinned {
 public:
  virtual ~Twinned() = default;
  /// Null: none. Lives as long as the map.
  [[nodiscard]] virtual const TwinModel<S>* twin() const = 0;
};

}  // namespace ffzero
