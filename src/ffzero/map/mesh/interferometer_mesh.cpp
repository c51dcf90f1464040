// A mesh of interferometers as a trainable map.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/interferometer_mesh.hpp"

#include <numbers>
#include <vector>

#include "ffzero/map/mesh/fast_mesh.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/reference_mesh.hpp"
#include "ffzero/map/mesh/scratch.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

constexpr std::string_view kPlace = "InterferometerMesh";

template <class S>
void require_parameters(const MeshLayout& layout, std::span<const S> theta) {
  if (isize(theta.size()) == layout.parameter_count()) return;
  throw ShapeError(kPlace, "theta must have " + std::to_string(layout.parameter_count()) + " entries", std::to_string(theta.size()));
}

mesh_kernel::Output output_of(const FieldTarget<float>& t) {
  return {.re = t.re->data(),
          .im = t.im == nullptr ? nullptr : t.im->data(),
          .re_stride = t.re->outerStride(),
          .im_stride = t.im == nullptr ? 0 : t.im->outerStride()};
}

/// Copies fields, or their powers, to where the caller wants them.
void deliver(const Matrix<double>& y, const FieldTarget<double>& target) {
  const Index n = y.cols() / 2;
  if (target.im == nullptr) {
    *target.re = y.leftCols(n).array().square() + y.rightCols(n).array().square();
  } else {
    *target.re = y.leftCols(n);
    *target.im = y.rightCols(n);
  }
}

}  // namespace

template <class S>
InterferometerMesh<S>::InterferometerMesh(const MeshLayout& layout, std::shared_ptr<const Executor> executor)
    : layout_(layout), executor_(std::move(executor)) {}

template <class S>
void InterferometerMesh<S>::initialise(std::span<S> theta, const RandomStream& random) const {
  require_parameters<S>(layout_, theta);
  std::vector<double> u(theta.size());
  random.fill_uniform(u);
  for (std::size_t i = 0; i < usize(layout_.block_size()); ++i) theta[i] = S{0};
  for (std::size_t i = usize(layout_.phi_begin()); i < theta.size(); ++i) theta[i] = static_cast<S>(2.0 * std::numbers::pi * u[i]);
  for (Index l = 0; l < layout_.columns(); ++l) {
    for (Index k = 0; k < layout_.pairs(l); ++k) {
      const std::size_t i = usize(layout_.offset(l) + k);
      theta[i] = static_cast<S>(layout_.haar_theta(l, k, u[i]));
    }
  }
}

template <class S>
void InterferometerMesh<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_parameters<S>(layout_, theta);
  require_shapes<S>(kPlace, x, input_shape(), y, output_shape());
  if (x.rows() == 0) return;
  MatrixRef<S> re = y.leftCols(layout_.ports());
  MatrixRef<S> im = y.rightCols(layout_.ports());
  forward_to(theta, x, {&re, &im});
}

template <class S>
void InterferometerMesh<S>::forward_to(std::span<const S> theta, const ConstMatrixRef<S>& x, const FieldTarget<S>& target) const {
  if constexpr (std::is_same_v<S, float>) {
    const mesh_kernel::Phases phases{.theta = theta.data()};
    const mesh_kernel::Output output = output_of(target);
    mesh_kernel::evaluate(layout_, {&phases, 1}, mesh_kernel::batch_of(x), {&output, 1}, executor_.get());
  } else {
    Matrix<S> y(x.rows(), x.cols());
    reference_forward<S>(layout_, theta, x, y);
    deliver(y, target);
  }
}

template <class S>
bool InterferometerMesh<S>::fuses(const ForwardMap<S>& readout) const {
  return dynamic_cast<const Intensity<S>*>(&readout) != nullptr;
}

template <class S>
void InterferometerMesh<S>::forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps,
                                          const ConstMatrixRef<S>& x, const ForwardMap<S>* readout, const PairSink<S>& sink) const {
  require_parameters<S>(layout_, theta);
  const Index n = layout_.ports();
  const Index width = readout == nullptr ? 2 * n : n;
  const Scratch<S> memory(2 * x.rows() * width);
  MatrixRef<S> plus = Eigen::Map<Matrix<S>>(memory.data(), x.rows(), width);
  MatrixRef<S> minus = Eigen::Map<Matrix<S>>(memory.data() + x.rows() * width, x.rows(), width);
  MatrixRef<S> plus_re = plus.leftCols(n), plus_im = plus.rightCols(n);
  MatrixRef<S> minus_re = minus.leftCols(n), minus_im = minus.rightCols(n);
  const auto target = [&](MatrixRef<S>& re, MatrixRef<S>& im) { return FieldTarget<S>{&re, readout == nullptr ? &im : nullptr}; };
  for (Index j = 0; j < directions.rows(); ++j) {
    const std::span<const S> direction(directions.data() + j * directions.outerStride(), theta.size());
    pair_to(theta, direction, eps, x, target(plus_re, plus_im), target(minus_re, minus_im));
    sink(j, plus, minus);
  }
}

template <class S>
void InterferometerMesh<S>::pair_to(std::span<const S> theta, std::span<const S> direction, double eps, const ConstMatrixRef<S>& x,
                                    const FieldTarget<S>& plus, const FieldTarget<S>& minus) const {
  if constexpr (std::is_same_v<S, float>) {
    const float step = static_cast<float>(eps);
    const mesh_kernel::Phases phases[2] = {{theta.data(), direction.data(), step}, {theta.data(), direction.data(), -step}};
    const mesh_kernel::Output outputs[2] = {output_of(plus), output_of(minus)};
    mesh_kernel::evaluate(layout_, phases, mesh_kernel::batch_of(x), outputs, executor_.get());
  } else {
    const Vector<S> up = as_vector(theta) + eps * as_vector(direction);
    const Vector<S> down = as_vector(theta) - eps * as_vector(direction);
    forward_to(as_span(up), x, plus);
    forward_to(as_span(down), x, minus);
  }
}

template <class S>
void InterferometerMesh<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y,
                                     const ConstMatrixRef<S>& gy, std::span<S> gtheta, MatrixRef<S>* gx) const {
  require_parameters<S>(layout_, theta);
  require_parameters<S>(layout_, gtheta);
  require_shapes<S>(kPlace, x, input_shape(), y, output_shape());
  require_shapes<S>(kPlace, x, input_shape(), gy, output_shape());
  if constexpr (std::is_same_v<S, float>) {
    mesh_kernel::Output output;
    if (gx != nullptr) output = {gx->data(), gx->data() + layout_.ports(), gx->outerStride(), gx->outerStride()};
    mesh_kernel::pull_back(layout_, theta.data(), mesh_kernel::batch_of(y), mesh_kernel::batch_of(gy), gtheta.data(), output,
                           executor_.get());
  } else {
    reference_pullback<S>(layout_, theta, y, gy, gtheta, gx);
  }
}

template <class S>
Matrix<S> InterferometerMesh<S>::fields(std::span<const S> theta, std::span<const S> x_row) const {
  require_parameters<S>(layout_, theta);
  if (isize(x_row.size()) != input_shape().size())
    throw ShapeError(kPlace, "x_row must have " + std::to_string(input_shape().size()) + " entries", std::to_string(x_row.size()));
  return reference_fields<S>(layout_, theta, x_row);
}

template <class S>
Matrix<S> InterferometerMesh<S>::matrix(std::span<const S> theta) const {
  const Index n = layout_.ports();
  Matrix<S> x = Matrix<S>::Zero(n, 2 * n);
  x.leftCols(n).setIdentity();
  Matrix<S> u(n, 2 * n);
  forward(theta, x, u);
  return u;
}

template class InterferometerMesh<float>;
template class InterferometerMesh<double>;

}  // namespace ffzero
