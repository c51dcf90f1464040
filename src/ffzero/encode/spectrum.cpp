// A separable direct transform: for small windows of small images it beats a fast one, and zero pixels cost nothing.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/spectrum.hpp"

#include <cmath>
#include <numbers>
#include <string>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

// exp(-2 pi i (frequency * position mod size) / size): reduced first, so that the angle is exact.
void twiddle(Index frequency, Index position, Index size, float& cosine, float& sine) {
  const Index turn = ((frequency * position) % size + size) % size;
  const double angle = -2.0 * std::numbers::pi * static_cast<double>(turn) / static_cast<double>(size);
  cosine = static_cast<float>(std::cos(angle));
  sine = static_cast<float>(std::sin(angle));
}

// out += factor * in, vectorised by the compiler.
void add_scaled(float factor, const float* in, float* out, Index n) {
  for (Index i = 0; i < n; ++i) out[i] += factor * in[i];
}

}  // namespace

SpectrumWindow::SpectrumWindow(Index height, Index width, Index n_rows, Index n_cols)
    : height_(height), width_(width), n_rows_(n_rows), n_cols_(n_cols) {
  if (n_rows < 1 || n_rows > height || n_cols < 1 || n_cols > width)
    throw ShapeError("SpectrumWindow", "the window must lie inside the spectrum", std::to_string(n_rows) + " x " + std::to_string(n_cols));
  row_cos_.resize(usize(n_rows * height));
  row_sin_.resize(usize(n_rows * height));
  col_cos_.resize(usize(width * n_cols));
  col_sin_.resize(usize(width * n_cols));
  for (Index u = 0; u < n_rows; ++u)
    for (Index r = 0; r < height; ++r) twiddle(u - n_rows / 2, r, height, row_cos_[usize(u * height + r)], row_sin_[usize(u * height + r)]);
  for (Index c = 0; c < width; ++c)
    for (Index v = 0; v < n_cols; ++v) twiddle(v - n_cols / 2, c, width, col_cos_[usize(c * n_cols + v)], col_sin_[usize(c * n_cols + v)]);
}

void SpectrumWindow::transform(std::span<const float> image, std::span<float> out) const {
  const Index ports = n_rows_ * n_cols_;
  if (isize(image.size()) != height_ * width_ || isize(out.size()) != 2 * ports)
    throw ShapeError("SpectrumWindow::transform", "sizes must fit", std::to_string(image.size()) + " to " + std::to_string(out.size()));
  std::vector<float> along(usize(2 * n_cols_));  // one row of the image, transformed along itself
  float* const along_re = along.data();
  float* const along_im = along.data() + n_cols_;
  std::fill(out.begin(), out.end(), 0.0F);
  double energy = 0.0;
  for (Index r = 0; r < height_; ++r) {
    std::fill(along.begin(), along.end(), 0.0F);
    double row_energy = 0.0;
    for (Index c = 0; c < width_; ++c) {
      const float pixel = image[usize(r * width_ + c)];
      if (pixel == 0.0F) continue;
      row_energy += static_cast<double>(pixel) * static_cast<double>(pixel);
      add_scaled(pixel, &col_cos_[usize(c * n_cols_)], along_re, n_cols_);
      add_scaled(pixel, &col_sin_[usize(c * n_cols_)], along_im, n_cols_);
    }
    if (row_energy == 0.0) continue;
    energy += row_energy;
    for (Index u = 0; u < n_rows_; ++u) {
      const float cosine = row_cos_[usize(u * height_ + r)], sine = row_sin_[usize(u * height_ + r)];
      float* const re = &out[usize(u * n_cols_)];
      float* const im = &out[usize(ports + u * n_cols_)];
      for (Index v = 0; v < n_cols_; ++v) {
        re[v] += cosine * along_re[v] - sine * along_im[v];
        im[v] += cosine * along_im[v] + sine * along_re[v];
      }
    }
  }
  double power = 0.0;
  for (const float f : out) power += static_cast<double>(f) * static_cast<double>(f);
  // The whole spectrum has the power height * width * energy; far below it there is only rounding, which must not be blown up.
  const double rounding = 1e-12 * static_cast<double>(height_ * width_) * energy;
  const auto scale = static_cast<float>(power > rounding ? 1.0 / std::sqrt(power) : 0.0);
  for (float& f : out) f *= scale;
}

}  // namespace ffzero
