// From raw samples to what enters the first layer.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ffzero/base/index.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/base/shape.hpp"
#include "ffzero/encode/feature_scale.hpp"

namespace ffzero {

/// How an image becomes a complex field: not at all (dense and convolutional networks), as amplitudes, or as low frequencies.
enum class OpticalField { none, amplitude, fourier };

/// "none", "amplitude" or "fourier": the spelling of the configuration, and back. @throws ConfigError (dataset.optical_field)
[[nodiscard]] std::string to_string(OpticalField field);
[[nodiscard]] OpticalField optical_field_from(std::string_view text);

/// The keys of [dataset] that decide how a sample enters the network.
struct EncoderOptions {
  Index crop = 0;        ///< side of the central window, pixels; fourier: of the window of frequencies. 0: all
  Index downsample = 0;  ///< side after adaptive average pooling, pixels. 0: as it is
  OpticalField optical_field = OpticalField::none;
  Index shift = 0;    ///< largest displacement of augmented images in each direction, pixels
  bool flip = false;  ///< augmented images may be mirrored left to right
};

/// What is done to an augmented image: mirrored left to right, then moved down and to the right if positive, in pixels.
struct Displacement {
  int dy = 0;
  int dx = 0;
  bool mirrored = false;
  friend constexpr bool operator==(const Displacement&, const Displacement&) = default;
};

/// Encodes one sample at a time; immutable, so any number of threads may share it.
///
/// Order: scale of the features (real numbers only); mirror; shift with zero fill; centre crop; bytes / 255; then
///   none:      bytes: (x - min) / (max - min + 1e-8) per sample, in float; floats: as they are; then average pooling;
///   amplitude: average pooling; divided by the sample's own largest modulus (at least 1e-8), phase 0;
///   fourier:   the central crop x crop frequencies (the image itself is not cropped), scaled to unit power.          [spec section 2]
/// An image is a sample with more than one row. Crop, pooling, shift, mirror and fourier are for images only. Complex vectors {2, 1, n}
/// pass unchanged.
class Encoder {
 public:
  /// raw: shape of a raw sample; scale: of the features of samples of real numbers, empty or one entry a number.
  /// @throws ConfigError naming dataset.crop, .downsample, .shift, .flip or .optical_field; ShapeError if the scale does not fit.
  Encoder(const EncoderOptions& options, const Shape& raw, FeatureScale scale = {});

  [[nodiscard]] const Shape& input_shape() const noexcept { return raw_; }
  /// {C, H, W} or {1, 1, n}; {2, 1, ports} for optical fields, ports row-major over the window.
  [[nodiscard]] const Shape& output_shape() const noexcept { return output_; }
  [[nodiscard]] const EncoderOptions& options() const noexcept { return options_; }
  [[nodiscard]] const FeatureScale& scale() const noexcept;

  /// Whether the options change training images at all.
  [[nodiscard]] bool augments() const noexcept { return options_.shift > 0 || options_.flip; }
  /// Displacement of sample `index`, uniform over -shift .. shift in each direction; mirrored half of the time if options().flip. Nothing
  /// and no random number if the options do not augment.
  [[nodiscard]] Displacement displacement(const RandomStream& stream, Index index) const;

  /// sample: input_shape().size() values, planes row-major; out: output_shape().size() floats.
  /// @throws ShapeError if a size does not fit or `move` goes beyond the options.
  void encode(std::span<const std::uint8_t> sample, std::span<float> out, const Displacement& move = {}) const;
  void encode(std::span<const float> sample, std::span<float> out, const Displacement& move = {}) const;

 private:
  struct Tables;
  [[nodiscard]] Index window_height() const noexcept;
  [[nodiscard]] Index window_width() const noexcept;
  [[nodiscard]] Index cut_height() const noexcept;
  [[nodiscard]] Index cut_width() const noexcept;
  void require_fit(std::size_t in, std::size_t out, const Displacement& move) const;
  template <class T>
  void cut(std::span<const T> sample, std::span<T> out, const Displacement& move) const;
  void finish(std::span<float> image, std::span<float> out) const;

  EncoderOptions options_;
  Shape raw_;
  Shape output_;
  std::shared_ptr<const Tables> tables_;
};

}  // namespace ffzero
