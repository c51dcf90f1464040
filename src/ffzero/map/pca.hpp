// Principal components of a layer's inputs: label-free statistics of forward passes.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/front_end.hpp"

namespace ffzero {

/// The directions of largest variance, signs fixed by their largest entry.
template <class S>
class Pca final : public FrontEnd<S> {
 public:
  /// power in [0, 1]: 0 leaves the variances, 1 makes them equal. @throws ConfigError if components > D or < 1.
  Pca(Shape input, Index components, double power) : FrontEnd<S>(input, components, power) {}

  [[nodiscard]] std::string kind() const override { return "pca"; }
  void begin_statistics() override;
  void absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) override;
  void absorb_many(std::span<const Matrix<S>> batches, const Executor& executor) override;
  void finish_statistics() override;

 private:
  // Sums over one batch, about shift_.
  struct Sums {
    Vector<double> values;
    Matrix<S> products;  // upper triangle
  };
  [[nodiscard]] Sums sums_of(const ConstMatrixRef<S>& x) const;

  Index count_ = 0;
  Vector<double> sum_;
  Matrix<double> products_;  // of x - shift with itself
  Vector<S> shift_;          // the first sample: keeps the products small
};

extern template class Pca<float>;
extern template class Pca<double>;

}  // namespace ffzero
