// Element-wise nonlinearities and their slopes.
// SPDX-License-Identifier: MIT
#include "ffzero/map/activation.hpp"

#include <cmath>

#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

/// Not max(): a NaN must stay visible.
template <class S>
void relu_row(const S* __restrict x, Index size, S* __restrict y) {
  for (Index i = 0; i < size; ++i) y[i] = x[i] < S{0} ? S{0} : x[i];
}

}  // namespace

ActivationKind activation_kind(std::string_view word) {
  for (const ActivationKind kind : {ActivationKind::none, ActivationKind::relu, ActivationKind::tanh})
    if (word == to_string(kind)) return kind;
  throw ConfigError("model.activation", "must be none, relu or tanh", "\"" + std::string(word) + "\"", "choose one of them");
}

std::string_view to_string(ActivationKind kind) noexcept {
  switch (kind) {
    case ActivationKind::relu:
      return "relu";
    case ActivationKind::tanh:
      return "tanh";
    case ActivationKind::none:
      break;
  }
  return "none";
}

template <class S>
void Activation<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes("activation", x, shape_, y, shape_);
  switch (function_) {
    case ActivationKind::none:
      y = x;
      break;
    // Not max(): a NaN must stay visible.
    case ActivationKind::relu:
      y = x.unaryExpr([](S v) { return v < S{0} ? S{0} : v; });
      break;
    case ActivationKind::tanh:
      y = x.unaryExpr([](S v) { return std::tanh(v); });
      break;
  }
}

template <class S>
void Activation<S>::pullback(std::span<const S> /*theta*/, const ConstMatrixRef<S>& /*x*/, const ConstMatrixRef<S>& y,
                             const ConstMatrixRef<S>& gy, std::span<S> /*gtheta*/, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  switch (function_) {
    case ActivationKind::none:
      *gx = gy;
      break;
    case ActivationKind::relu:
      *gx = y.binaryExpr(gy, [](S v, S g) { return v > S{0} ? g : S{0}; });
      break;
    case ActivationKind::tanh:
      *gx = y.binaryExpr(gy, [](S v, S g) { return g * (S{1} - v * v); });
      break;
  }
}

template class Activation<float>;
template class Activation<double>;

}  // namespace ffzero
