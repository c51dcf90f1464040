// Average pooling.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/average_pool.hpp"

#include <algorithm>

#include "ffzero/map/conv/window.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

std::vector<PoolCell> windows(Index length, Index size, Index stride) {
  std::vector<PoolCell> cells;
  if (size == 0) {
    for (Index i = 0; i < length; ++i) cells.push_back({i, i + 1});
    return cells;
  }
  const Index count = window_count(length, {.size = size, .stride = stride});
  for (Index i = 0; i < count; ++i) cells.push_back({i * stride, i * stride + size});
  return cells;
}

std::vector<PoolCell> adaptive_cells(Index length, Index count) {
  if (count == 0) return windows(length, 0, 1);
  std::vector<PoolCell> cells;
  for (Index i = 0; i < count; ++i) cells.push_back({i * length / count, ((i + 1) * length + count - 1) / count});
  return cells;
}

Shape checked_cells(Shape input, Index cells, std::string_view place) {
  if (cells < 0 || cells > std::min(input.height, input.width))
    throw ConfigError(place, "must be 0 (no pooling) or at most the size of the maps, " + to_string(input), std::to_string(cells),
                      "choose a smaller grid");
  return input;
}

double weight(const PoolCell& row, const PoolCell& column) {
  return 1.0 / static_cast<double>((row.end - row.begin) * (column.end - column.begin));
}

}  // namespace

template <class S>
CellAverage<S>::CellAverage(Shape input, std::vector<PoolCell> rows, std::vector<PoolCell> columns)
    : input_(input), rows_(std::move(rows)), columns_(std::move(columns)) {
  for (const auto* cells : {&rows_, &columns_})
    for (const PoolCell& cell : *cells) identity_ = identity_ && cell.end - cell.begin == 1;
  identity_ = identity_ && output_shape() == input_;
}

template <class S>
void CellAverage<S>::average_plane(const S* x, S* y) const {
  for (const PoolCell& row : rows_) {
    for (const PoolCell& column : columns_) {
      double sum = 0.0;
      for (Index i = row.begin; i < row.end; ++i)
        for (Index k = column.begin; k < column.end; ++k) sum += static_cast<double>(x[i * input_.width + k]);
      *y++ = static_cast<S>(sum * weight(row, column));
    }
  }
}

template <class S>
void CellAverage<S>::spread_plane(const S* gy, S* gx) const {
  std::fill_n(gx, input_.height * input_.width, S{0});
  for (const PoolCell& row : rows_) {
    for (const PoolCell& column : columns_) {
      const S slope = static_cast<S>(static_cast<double>(*gy++) * weight(row, column));
      for (Index i = row.begin; i < row.end; ++i)
        for (Index k = column.begin; k < column.end; ++k) gx[i * input_.width + k] += slope;
    }
  }
}

template <class S>
void CellAverage<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes("average pooling", x, input_, y, output_shape());
  if (identity_) {
    y = x;
    return;
  }
  const Index in = input_.height * input_.width, out = isize(rows_.size() * columns_.size());
  for (Index b = 0; b < x.rows(); ++b)
    for (Index c = 0; c < input_.channels; ++c) average_plane(x.row(b).data() + c * in, y.row(b).data() + c * out);
}

template <class S>
void CellAverage<S>::pullback(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/,
                              const ConstMatrixRef<S>& gy, std::span<S> /*gtheta*/, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  if (identity_) {
    *gx = gy;
    return;
  }
  const Index in = input_.height * input_.width, out = isize(rows_.size() * columns_.size());
  for (Index b = 0; b < x.rows(); ++b)
    for (Index c = 0; c < input_.channels; ++c) spread_plane(gy.row(b).data() + c * out, gx->row(b).data() + c * in);
}

template <class S>
void CellAverage<S>::spread_plane(const ConstMatrixRef<S>& gy, MatrixRef<S> gx) const {
  for (Index i = 0; i < gy.rows(); ++i) spread_plane(gy.row(i).data(), gx.row(i).data());
}

template <class S>
AveragePool<S>::AveragePool(Shape input, Index size, Index stride)
    : CellAverage<S>(checked_window(input, size, stride), windows(input.height, size, stride), windows(input.width, size, stride)) {}

template <class S>
AdaptivePool<S>::AdaptivePool(Shape input, Index cells, std::string_view place)
    : CellAverage<S>(checked_cells(input, cells, place), adaptive_cells(input.height, cells), adaptive_cells(input.width, cells)) {}

template class CellAverage<float>;
template class CellAverage<double>;
template class AveragePool<float>;
template class AveragePool<double>;
template class AdaptivePool<float>;
template class AdaptivePool<double>;

}  // namespace ffzero
