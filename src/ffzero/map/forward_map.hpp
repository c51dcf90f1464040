// The interface that a trainable device implements.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

#include "ffzero/base/parameter_layout.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/base/shape.hpp"
#include "ffzero/map/fixed_state.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// A function of parameters and a batch that can only be evaluated: a layer of a network, a chip, a bench in a laboratory. Shapes,
/// `parameter_count` and `forward` are all that a device has to say; the rest has defaults. S is float or double.
template <class S>
class ForwardMap {
 public:
  virtual ~ForwardMap() = default;

  [[nodiscard]] virtual Shape input_shape() const = 0;
  [[nodiscard]] virtual Shape output_shape() const = 0;
  /// Number of real parameters; 0 for fixed maps.
  [[nodiscard]] virtual Index parameter_count() const = 0;

  /// y = f(theta, x).  theta (parameter_count)   x (B, input size)   y (B, output size), overwritten, never aliases x.
  /// Cost: B forward evaluations. theta is never changed. @throws ShapeError if sizes do not fit, DeviceError if it cannot answer.
  virtual void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const = 0;

  /// How the parameters split into groups and units, see ParameterLayout. Default: one group, one unit.
  [[nodiscard]] virtual ParameterLayout parameter_layout() const { return ParameterLayout::whole(parameter_count()); }

  /// First parameters. Default: uniform in +-1/sqrt(input size).
  virtual void initialise(std::span<S> theta, const RandomStream& random) const;

  /// True if every row of y depends on its row of x alone AND forward may be called from several threads at once: then a batch may
  /// be evaluated in pieces, side by side. The default is the safe answer for an instrument.
  [[nodiscard]] virtual bool independent_rows() const { return false; }

  /// Word for messages and reports: "dense", "conv", "mesh".
  [[nodiscard]] virtual std::string kind() const { return "device"; }
};

/// A map whose state() is fixed by the training set: running statistics, fitted components. `forward` is what training evaluates;
/// `infer` is what a trained network evaluates (they differ, for example, when batch statistics give way to the training set's).
template <class S>
class StatefulMap : public FixedState<S> {
 public:
  virtual void infer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const = 0;
  /// ForwardMap::independent_rows of `infer`. The default is the safe answer.
  [[nodiscard]] virtual bool infers_rows_apart() const { return false; }

  /// False if inference has no use for statistics of the training set: then the pass is saved.
  [[nodiscard]] virtual bool needs_statistics() const { return true; }
  /// One pass over the training set fixes the state: begin, absorb every batch, finish. Cost: one forward evaluation a sample,
  /// counted by the caller. Summation in double, in the order of the calls.
  virtual void begin_statistics() = 0;
  virtual void absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) = 0;
  virtual void finish_statistics() = 0;
};

extern template class ForwardMap<float>;
extern template class ForwardMap<double>;

}  // namespace ffzero
