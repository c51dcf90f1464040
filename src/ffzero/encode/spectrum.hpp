// The low frequencies of an image as a complex field.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// Centred n_rows x n_cols window of the shifted two-dimensional discrete Fourier transform
///   F(u, v) = sum over (r, c) of x(r, c) exp(-2 pi i (u r / height + v c / width)),  frequency 0 at (height/2, width/2) before cutting,
/// scaled to unit power (the squared moduli inside the window sum to 1); an image without any power there gives zeros.
class SpectrumWindow {
 public:
  /// Cuts rows height/2 - n/2 .. height/2 + n/2 + (n odd) - 1 and the columns alike. @throws ShapeError unless 1 <= n_rows <= height,
  /// 1 <= n_cols <= width.
  SpectrumWindow(Index height, Index width, Index n_rows, Index n_cols);

  /// image (height, width) row-major; out (2, n_rows n_cols): real parts, then imaginary parts.
  void transform(std::span<const float> image, std::span<float> out) const;

 private:
  Index height_, width_, n_rows_, n_cols_;
  std::vector<float> row_cos_, row_sin_;  ///< (n_rows, height)
  std::vector<float> col_cos_, col_sin_;  ///< (width, n_cols)
};

}  // namespace ffzero
