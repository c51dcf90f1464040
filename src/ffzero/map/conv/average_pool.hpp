// Average pooling with a fixed window and to a fixed size.
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <vector>

#include "ffzero/map/adjoint_map.hpp"

namespace ffzero {

/// One axis of a pooling: output cell i averages the inputs [begin, end).
struct PoolCell {
  Index begin = 0, end = 0;
};

/// Mean over a grid of cells, plane by plane; what AveragePool and AdaptivePool share. No parameters, no forward evaluation.
template <class S>
class CellAverage : public AdjointMap<S> {
 public:
  [[nodiscard]] Shape input_shape() const override { return input_; }
  [[nodiscard]] Shape output_shape() const override { return {input_.channels, isize(rows_.size()), isize(columns_.size())}; }
  [[nodiscard]] Index parameter_count() const override { return 0; }
  [[nodiscard]] bool independent_rows() const override { return true; }
  /// True if nothing is averaged.
  [[nodiscard]] bool identity() const noexcept { return identity_; }
  /// Cells of each axis: output (i, j) is the mean over rows()[i] x columns()[j].
  [[nodiscard]] const std::vector<PoolCell>& rows() const noexcept { return rows_; }
  [[nodiscard]] const std::vector<PoolCell>& columns() const noexcept { return columns_; }

  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;
  /// The transpose for one plane: gy (n, cells) -> gx (n, H W), overwritten.
  void spread_plane(const ConstMatrixRef<S>& gy, MatrixRef<S> gx) const;

 protected:
  CellAverage(Shape input, std::vector<PoolCell> rows, std::vector<PoolCell> columns);

 private:
  void average_plane(const S* x, S* y) const;
  void spread_plane(const S* gy, S* gx) const;

  Shape input_;
  std::vector<PoolCell> rows_, columns_;
  bool identity_ = true;
};

/// Mean over size x size windows every `stride` pixels; what does not fill a window is left out (floor). size 0: the identity.
template <class S>
class AveragePool final : public CellAverage<S> {
 public:
  /// @throws ConfigError (model.conv.pool, model.conv.pool_stride) if a window does not fit the planes or the stride is below 1
  AveragePool(Shape input, Index size, Index stride);
  [[nodiscard]] std::string kind() const override { return "average_pool"; }
};

/// Mean over P x P cells that cover the plane: rows floor(i H/P) .. ceil((i+1) H/P) - 1, columns likewise. P = 0: the identity.
template <class S>
class AdaptivePool final : public CellAverage<S> {
 public:
  /// place: the key that messages name. @throws ConfigError if P < 0 or P is larger than the planes
  AdaptivePool(Shape input, Index cells, std::string_view place);
  [[nodiscard]] std::string kind() const override { return "adaptive_pool"; }
};

extern template class CellAverage<float>;
extern template class CellAverage<double>;
extern template class AveragePool<float>;
extern template class AveragePool<double>;
extern template class AdaptivePool<float>;
extern template class AdaptivePool<double>;

}  // namespace ffzero
