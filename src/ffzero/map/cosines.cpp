// Discrete cosine transform as a front end.
// SPDX-License-Identifier: MIT
#include "ffzero/map/cosines.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace {

struct Frequency {
  Index channel, u, v;  // cycles along the height and along the width, in half periods
};

std::vector<Frequency> by_frequency(const Shape& shape) {
  std::vector<Frequency> all;
  for (Index u = 0; u < shape.height; ++u)
    for (Index v = 0; v < shape.width; ++v)
      for (Index c = 0; c < shape.channels; ++c) all.push_back({c, u, v});
  // (u w)^2 + (v h)^2 in integers: no rounding decides about the order.
  const auto key = [&](const Frequency& f) {
    const Index a = f.u * shape.width, b = f.v * shape.height;
    return std::tuple(a * a + b * b, f.u, f.channel);
  };
  std::sort(all.begin(), all.end(), [&](const Frequency& a, const Frequency& b) { return key(a) < key(b); });
  return all;
}

double cosine(Index frequency, Index at, Index size) {
  const double n = static_cast<double>(size);
  const double scale = std::sqrt((frequency == 0 ? 1.0 : 2.0) / n);
  return scale * std::cos(std::numbers::pi * static_cast<double>(frequency) * (static_cast<double>(at) + 0.5) / n);
}

}  // namespace

template <class S>
Cosines<S>::Cosines(Shape input, Index components, double power) : FrontEnd<S>(input, components, power) {
  const std::vector<Frequency> frequencies = by_frequency(input);
  axes_ = Matrix<S>::Zero(components, input.size());
  for (Index i = 0; i < components; ++i) {
    const Frequency& f = frequencies[usize(i)];
    for (Index y = 0; y < input.height; ++y)
      for (Index x = 0; x < input.width; ++x)
        axes_(i, (f.channel * input.height + y) * input.width + x) =
            static_cast<S>(cosine(f.u, y, input.height) * cosine(f.v, x, input.width));
  }
}

template <class S>
void Cosines<S>::begin_statistics() {
  count_ = 0;
  sum_.setZero(axes_.cols());
  parts_.setZero(axes_.rows());
  squares_.setZero(axes_.rows());
}

template <class S>
void Cosines<S>::absorb(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x) {
  if (x.rows() == 0) return;
  Matrix<S> projected(x.rows(), axes_.rows());
  gemm_nt<S>(x, axes_, projected);
  if (count_ == 0) shift_ = projected.row(0).transpose().template cast<double>();
  const Matrix<double> shifted = projected.template cast<double>().rowwise() - shift_.transpose();
  parts_ += shifted.colwise().sum().transpose();
  squares_ += shifted.colwise().squaredNorm().transpose();
  // Along rows of memory, not down the columns.
  Vector<double> sum = Vector<double>::Zero(x.cols());
  for (Index r = 0; r < x.rows(); ++r) sum += x.row(r).transpose().template cast<double>();
  sum_ += sum;
  count_ += x.rows();
}

template <class S>
void Cosines<S>::finish_statistics() {
  if (count_ == 0) throw DataError("model.pca", "needs at least one sample to fit");
  const double n = static_cast<double>(count_);
  const Vector<double> variances = (squares_ / n).array() - (parts_ / n).array().square();
  this->set_mean(sum_ / n);
  const double least = this->least_variance(variances.maxCoeff());
  for (Index c = 0; c < axes_.rows(); ++c) this->set_axis(c, axes_.row(c).transpose().template cast<double>(), variances(c), least);
}

template class Cosines<float>;
template class Cosines<double>;

}  // namespace ffzero
