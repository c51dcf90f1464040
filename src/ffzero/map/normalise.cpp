// Rows of unit length, centred or not.
// SPDX-License-Identifier: MIT
#include "ffzero/map/normalise.hpp"

#include <cmath>
#include <span>
#include <string>

#include "ffzero/map/shape_check.hpp"
#include "ffzero/tensor/reduce.hpp"

namespace ffzero {

namespace {

/// What is subtracted from a row before it is scaled, and the length of the rest.
struct RowScale {
  double centre = 0.0;
  double length = 0.0;
};

template <class S>
RowScale row_scale(std::span<const S> x, bool centred) {
  if (!centred) return {.length = std::sqrt(squared_norm(x))};
  const Moments m = moments(x);
  const double centre = m.sum / static_cast<double>(x.size()), rest = std::sqrt(squared_distance(x, centre));
  // A constant row leaves only the rounding of its mean.
  return {.centre = centre, .length = rest <= 1e-15 * std::sqrt(m.squares) ? 0.0 : rest};
}

}  // namespace

NormaliseKind normalise_kind(std::string_view word) {
  for (const NormaliseKind kind : {NormaliseKind::none, NormaliseKind::length, NormaliseKind::centre_length})
    if (word == to_string(kind)) return kind;
  throw ConfigError("model.normalise", "must be none, length or centre_length", "\"" + std::string(word) + "\"", "choose one of them");
}

std::string_view to_string(NormaliseKind kind) noexcept {
  switch (kind) {
    case NormaliseKind::length:
      return "length";
    case NormaliseKind::centre_length:
      return "centre_length";
    case NormaliseKind::none:
      break;
  }
  return "none";
}

template <class S>
Normalise<S>::Normalise(Shape shape, NormaliseKind function, Index groups) : shape_(shape), function_(function), groups_(groups) {
  if (groups < 1 || shape.size() % groups != 0)
    throw ConfigError("model.groups", "the number of groups must divide the width " + std::to_string(shape.size()), std::to_string(groups),
                      "choose a divisor of the width");
}

template <class S>
void Normalise<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes("normalise", x, shape_, y, shape_);
  if (function_ == NormaliseKind::none) {
    y = x;
    return;
  }
  const Index size = shape_.size() / groups_;
  for (Index b = 0; b < x.rows(); ++b)
    for (Index first = 0; first < shape_.size(); first += size) {
      const auto row = x.row(b).segment(first, size);
      const RowScale r = row_scale(std::span<const S>(row.data(), usize(size)), function_ == NormaliseKind::centre_length);
      const double factor = r.length == 0.0 ? 0.0 : 1.0 / r.length;
      y.row(b).segment(first, size) = ((row.template cast<double>().array() - r.centre) * factor).template cast<S>().matrix();
    }
}

template <class S>
void Normalise<S>::pullback(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y,
                            const ConstMatrixRef<S>& gy, std::span<S> /*gtheta*/, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  if (function_ == NormaliseKind::none) {
    *gx = gy;
    return;
  }
  const bool centred = function_ == NormaliseKind::centre_length;
  const Index size = shape_.size() / groups_;
  for (Index b = 0; b < x.rows(); ++b)
    for (Index first = 0; first < shape_.size(); first += size) {
      const RowScale r = row_scale(std::span<const S>(x.row(b).data() + first, usize(size)), centred);
      const double factor = r.length == 0.0 ? 0.0 : 1.0 / r.length;
      const auto g = gy.row(b).segment(first, size).template cast<double>();
      const auto unit = y.row(b).segment(first, size).template cast<double>();
      const double radial = g.dot(unit);
      const double mean = centred ? g.mean() : 0.0;  // the unit vector is centred already
      gx->row(b).segment(first, size) = ((g.array() - mean - radial * unit.array()) * factor).template cast<S>().matrix();
    }
}

template class Normalise<float>;
template class Normalise<double>;

}  // namespace ffzero
