// Low spatial frequencies of a layer's inputs (discrete cosine transform).
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/map/front_end.hpp"

namespace ffzero {

/// The first functions of the orthonormal discrete cosine transform of each channel, lowest frequency (u/h)^2 + (v/w)^2 first, channels in
/// turn: axes that are known before any data are seen; only mean and variances are fitted.
template <class S>
class Cosines final : public FrontEnd<S> {
 public:
  /// power in [0, 1]: 0 leaves the variances, 1 makes them equal. @throws ConfigError if components > D or < 1.
  Cosines(Shape input, Index components, double power);

  [[nodiscard]] std::string kind() const override { return "dct"; }
  void begin_statistics() override;
  void absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) override;
  void finish_statistics() override;

 private:
  Matrix<S> axes_;  // (C, D)
  Index count_ = 0;
  Vector<double> sum_;                      // (D) of x
  Vector<double> shift_, parts_, squares_;  // (C): projection of the first sample; sums of projections minus it, and of their squares
};

extern template class Cosines<float>;
extern template class Cosines<double>;

}  // namespace ffzero
