// A matrix whose rows begin where vectors do.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <new>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// Storage (rows, columns), every row at a multiple of 64 bytes, so that vectors of any processor never straddle cache lines. Only speed
/// depends on it. Not initialised.
template <class S>
class AlignedMatrix {
 public:
  /// Keeps the storage if it is large enough; the values are lost.
  void resize(Index rows, Index columns) {
    const Index stride = (columns + kLine - 1) / kLine * kLine;
    if (rows * stride > capacity_) {
      data_.reset(new (std::align_val_t{64}) S[usize(rows * stride)]);
      capacity_ = rows * stride;
    }
    rows_ = rows;
    columns_ = columns;
    stride_ = stride;
  }
  [[nodiscard]] Eigen::Map<Matrix<S>, 0, Eigen::OuterStride<>> view() noexcept {
    return {data_.get(), rows_, columns_, Eigen::OuterStride<>(stride_)};
  }

 private:
  static constexpr Index kLine = isize(64 / sizeof(S));
  struct Free {
    void operator()(S* p) const noexcept { ::operator delete[](p, std::align_val_t{64}); }
  };
  std::unique_ptr<S[], Free> data_;
  Index capacity_ = 0, rows_ = 0, columns_ = 0, stride_ = kLine;
};

}  // namespace ffzero
