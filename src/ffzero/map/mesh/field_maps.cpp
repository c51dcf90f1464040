// What happens to light between two meshes and behind the last one.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/field_maps.hpp"

#include <algorithm>
#include <cmath>

#include "ffzero/map/shape_check.hpp"

namespace ffzero {

template <class S>
ElectroOptic<S>::ElectroOptic(Index ports, const Options& options) : FieldMap<S>(ports), options_(options) {
  if (!(options.tapped >= 0.0 && options.tapped < 1.0))
    throw ConfigError("electro-optic nonlinearity", "the tapped share of the power must lie in [0, 1)", std::to_string(options.tapped));
}

template <class S>
void ElectroOptic<S>::forward(std::span<const S>, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("ElectroOptic", x, this->input_shape(), y, this->output_shape());
  const Index n = this->ports();
  const S amplitude = static_cast<S>(std::sqrt(1.0 - options_.tapped));
  const S half_gain = static_cast<S>(options_.phase_gain_rad / 2.0);
  const S half_bias = static_cast<S>(options_.bias_rad / 2.0);
  for (Index b = 0; b < x.rows(); ++b) {
    for (Index w = 0; w < n; ++w) {
      const S re = x(b, w);
      const S im = x(b, n + w);
      const S psi = half_gain * (re * re + im * im) + half_bias;
      const S c = std::cos(psi);
      const S s = std::sin(psi);
      y(b, w) = amplitude * c * (c * re + s * im);
      y(b, n + w) = amplitude * c * (c * im - s * re);
    }
  }
}

template <class S>
void ElectroOptic<S>::pullback(std::span<const S>, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>&, const ConstMatrixRef<S>& gy,
                               std::span<S>, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  const Index n = this->ports();
  const S amplitude = static_cast<S>(std::sqrt(1.0 - options_.tapped));
  const S gain = static_cast<S>(options_.phase_gain_rad);
  const S half_bias = static_cast<S>(options_.bias_rad / 2.0);
  for (Index b = 0; b < x.rows(); ++b) {
    for (Index w = 0; w < n; ++w) {
      const S re = x(b, w);
      const S im = x(b, n + w);
      const S psi = gain / 2 * (re * re + im * im) + half_bias;
      const S c = std::cos(psi);
      const S s = std::sin(psi);
      const S g_re = gy(b, w);
      const S g_im = gy(b, n + w);
      // out = A cos(psi) exp(-i psi) E = A (1 + exp(-2 i psi)) E / 2, so dout/dpsi = -i A exp(-2 i psi) E.
      const S c2 = c * c - s * s;
      const S s2 = 2 * s * c;
      const S slope = amplitude * (g_re * (c2 * im - s2 * re) - g_im * (c2 * re + s2 * im));
      (*gx)(b, w) = amplitude * c * (c * g_re - s * g_im) + slope * gain * re;
      (*gx)(b, n + w) = amplitude * c * (s * g_re + c * g_im) + slope * gain * im;
    }
  }
}

template <class S>
void Detect<S>::forward(std::span<const S>, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("Detect", x, this->input_shape(), y, this->output_shape());
  const Index n = this->ports();
  y.leftCols(n) = x.leftCols(n).array().square() + x.rightCols(n).array().square();
  y.rightCols(n).setZero();
}

template <class S>
void Detect<S>::pullback(std::span<const S>, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>&, const ConstMatrixRef<S>& gy,
                         std::span<S>, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  const Index n = this->ports();
  gx->leftCols(n) = S{2} * x.leftCols(n).cwiseProduct(gy.leftCols(n));
  gx->rightCols(n) = S{2} * x.rightCols(n).cwiseProduct(gy.leftCols(n));
}

template <class S>
void Intensity<S>::forward(std::span<const S>, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("Intensity", x, this->input_shape(), y, this->output_shape());
  const Index n = this->ports();
  y = x.leftCols(n).array().square() + x.rightCols(n).array().square();
}

template <class S>
void Intensity<S>::pullback(std::span<const S>, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>&, const ConstMatrixRef<S>& gy,
                            std::span<S>, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  const Index n = this->ports();
  gx->leftCols(n) = S{2} * x.leftCols(n).cwiseProduct(gy);
  gx->rightCols(n) = S{2} * x.rightCols(n).cwiseProduct(gy);
}

template <class S>
Gain<S> Gain<S>::fixed(Index ports, double power_factor) {
  if (!(power_factor > 0.0 && std::isfinite(power_factor)))
    throw ConfigError("model.mesh.gain", "must be none, unit_power or a positive power factor", std::to_string(power_factor));
  return Gain(ports, power_factor);
}

namespace {

/// Largest modulus of a row, then its norm: light of any strength is scaled without overflow or underflow.
template <class Row>
double norm_of(const Row& row) {
  const double largest = static_cast<double>(row.cwiseAbs().maxCoeff());
  return largest > 0.0 ? largest * (row.template cast<double>() / largest).norm() : 0.0;
}

}  // namespace

template <class S>
void Gain<S>::forward(std::span<const S>, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("Gain", x, this->input_shape(), y, this->output_shape());
  if (power_factor_ > 0.0) {
    y = static_cast<S>(std::sqrt(power_factor_)) * x;
    return;
  }
  for (Index b = 0; b < x.rows(); ++b) {
    const double norm = norm_of(x.row(b));
    if (norm > 0.0) {
      y.row(b) = (x.row(b).template cast<double>() / norm).template cast<S>();
    } else {
      y.row(b) = x.row(b);  // dark, or not a number
    }
  }
}

template <class S>
void Gain<S>::pullback(std::span<const S>, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>&, const ConstMatrixRef<S>& gy, std::span<S>,
                       MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  if (power_factor_ > 0.0) {
    *gx = static_cast<S>(std::sqrt(power_factor_)) * gy;
    return;
  }
  for (Index b = 0; b < x.rows(); ++b) {
    const double norm = norm_of(x.row(b));
    if (!(norm > 0.0)) {
      gx->row(b).setZero();
      continue;
    }
    const Vector<double> unit = x.row(b).template cast<double>().transpose() / norm;
    const Vector<double> g = gy.row(b).template cast<double>().transpose();
    gx->row(b) = ((g - g.dot(unit) * unit) / norm).transpose().template cast<S>();
  }
}

template class ElectroOptic<float>;
template class ElectroOptic<double>;
template class Detect<float>;
template class Detect<double>;
template class Intensity<float>;
template class Intensity<double>;
template class Gain<float>;
template class Gain<double>;

}  // namespace ffzero
