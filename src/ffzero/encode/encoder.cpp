// Cuts, scales and pools one sample.
// SPDX-License-Identifier: MIT
#include "ffzero/encode/encoder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/encode/byte_kernel-inl.hpp"
#include "ffzero/encode/pooling.hpp"
#include "ffzero/encode/spectrum.hpp"

namespace ffzero {

namespace {

constexpr float kFloor = 1e-8F;

bool is_image(const Shape& s) { return s.height > 1; }
bool is_complex_vector(const Shape& s) { return s.channels == 2 && s.height == 1; }
void require_image(const char* key, Index value, const Shape& raw) {
  if (value == 0) return;
  if (value < 0) throw ConfigError(key, "must not be negative", std::to_string(value), "use 0 to switch it off");
  if (!is_image(raw)) throw ConfigError(key, "applies to images", "samples of shape " + to_string(raw), "remove it");
}

void require_at_most(const char* key, Index value, Index height, Index width, const char* what) {
  if (value <= std::min(height, width)) return;
  throw ConfigError(key, std::string("must not exceed the ") + what + ", " + std::to_string(height) + " x " + std::to_string(width),
                    std::to_string(value), "lower it");
}

}  // namespace

std::string to_string(OpticalField field) {
  return field == OpticalField::none ? "none" : field == OpticalField::amplitude ? "amplitude" : "fourier";
}

OpticalField optical_field_from(std::string_view text) {
  for (const OpticalField field : {OpticalField::none, OpticalField::amplitude, OpticalField::fourier})
    if (text == to_string(field)) return field;
  throw ConfigError("dataset.optical_field", "must be none, amplitude or fourier", "\"" + std::string(text) + "\"");
}

struct Encoder::Tables {
  std::optional<SpectrumWindow> spectrum;
  FeatureScale scale;
};

Encoder::Encoder(const EncoderOptions& options, const Shape& raw, FeatureScale scale) : options_(options), raw_(raw) {
  if (!scale.empty() && (isize(scale.offset.size()) != raw.size() || isize(scale.factor.size()) != raw.size()))
    throw ShapeError("Encoder", "the scale must have an entry for each of the " + std::to_string(raw.size()) + " features",
                     std::to_string(scale.offset.size()) + " and " + std::to_string(scale.factor.size()));
  require_image("dataset.crop", options.crop, raw);
  require_image("dataset.downsample", options.downsample, raw);
  require_image("dataset.shift", options.shift, raw);
  require_image("dataset.flip", options.flip ? 1 : 0, raw);
  require_at_most("dataset.crop", options.crop, raw.height, raw.width, "size of the images");
  const bool fourier = options.optical_field == OpticalField::fourier;
  if (fourier && (!is_image(raw) || raw.channels != 1))
    throw ConfigError("dataset.optical_field", "fourier needs images of one channel", "samples of shape " + to_string(raw),
                      "use \"amplitude\"");
  if (fourier && options.downsample != 0)
    throw ConfigError("dataset.downsample", "has no effect with dataset.optical_field = \"fourier\"", std::to_string(options.downsample),
                      "set dataset.crop, the number of frequencies in each direction");
  if (options.shift > 0) require_at_most("dataset.shift", options.shift, raw.height - 1, raw.width - 1, "size of the images less one");
  if (options.downsample > 0)
    require_at_most("dataset.downsample", options.downsample, window_height(), window_width(), "size of the (cropped) images");

  output_ = {raw.channels, window_height(), window_width()};
  if (options.downsample > 0) output_.height = output_.width = options.downsample;
  if (options.optical_field != OpticalField::none && !is_complex_vector(raw)) output_ = {2, 1, output_.size()};

  auto tables = std::make_shared<Tables>();
  if (fourier) tables->spectrum.emplace(raw.height, raw.width, window_height(), window_width());
  tables->scale = std::move(scale);
  tables_ = std::move(tables);
}

const FeatureScale& Encoder::scale() const noexcept { return tables_->scale; }

Index Encoder::window_height() const noexcept { return options_.crop > 0 ? options_.crop : raw_.height; }
Index Encoder::window_width() const noexcept { return options_.crop > 0 ? options_.crop : raw_.width; }
Index Encoder::cut_height() const noexcept { return tables_->spectrum ? raw_.height : window_height(); }
Index Encoder::cut_width() const noexcept { return tables_->spectrum ? raw_.width : window_width(); }

Displacement Encoder::displacement(const RandomStream& stream, Index index) const {
  if (!augments()) return {};
  std::array<std::uint32_t, 2> words{};
  stream.fill_bits(words, 2 * index);
  const auto pick = [this](std::uint32_t word) {
    const auto places = static_cast<std::uint64_t>(2 * options_.shift + 1);
    return static_cast<int>(static_cast<Index>(word * places >> 32) - options_.shift);
  };
  // A displacement is decided by the upper bits of its word, the mirror by the lowest of one.
  return {pick(words[0]), pick(words[1]), options_.flip && (words[0] & 1U) != 0};
}

void Encoder::require_fit(std::size_t in, std::size_t out, const Displacement& move) const {
  if (isize(in) != raw_.size() || isize(out) != output_.size())
    throw ShapeError("Encoder::encode", "samples must go from " + to_string(raw_) + " to " + to_string(output_),
                     std::to_string(in) + " to " + std::to_string(out));
  if (std::max(std::abs(move.dy), std::abs(move.dx)) > options_.shift)
    throw ShapeError("Encoder::encode", "displacements must not exceed dataset.shift = " + std::to_string(options_.shift),
                     std::to_string(move.dy) + ", " + std::to_string(move.dx));
  if (move.mirrored && !options_.flip)
    throw ShapeError("Encoder::encode", "images are mirrored only if dataset.flip is set", "a mirrored one");
}

// The central window of the mirrored and displaced sample. Fourier cuts frequencies, not pixels.
template <class T>
void Encoder::cut(std::span<const T> sample, std::span<T> out, const Displacement& move) const {
  const Index height = cut_height(), width = cut_width();
  const Index top = raw_.height / 2 - height / 2 - move.dy, left = raw_.width / 2 - width / 2 - move.dx;
  const Index first = std::clamp<Index>(-left, 0, width), last = std::clamp<Index>(raw_.width - left, first, width);
  auto to = out.begin();
  for (Index c = 0; c < raw_.channels; ++c)
    for (Index r = top; r < top + height; ++r, to += width) {
      if (r < 0 || r >= raw_.height || first == last) {
        std::fill(to, to + width, T{});
        continue;
      }
      const auto row = sample.begin() + (c * raw_.height + r) * raw_.width;
      std::fill(to, to + first, T{});
      if (move.mirrored)
        std::reverse_copy(row + raw_.width - left - last, row + raw_.width - left - first, to + first);
      else
        std::copy(row + left + first, row + left + last, to + first);
      std::fill(to + last, to + width, T{});
    }
}

// From a cut image, already scaled for dense networks, to the output.
void Encoder::finish(std::span<float> image, std::span<float> out) const {
  if (tables_->spectrum) return tables_->spectrum->transform(image, out);
  const bool optical = options_.optical_field != OpticalField::none && !is_complex_vector(raw_);
  const auto pooled = out.first(optical ? out.size() / 2 : out.size());
  if (options_.downsample > 0) {
    const auto n_in = usize(window_height() * window_width()), n_out = usize(options_.downsample * options_.downsample);
    for (std::size_t c = 0; c < usize(raw_.channels); ++c)
      adaptive_average_pool<float>(image.subspan(c * n_in, n_in), window_height(), window_width(), options_.downsample,
                                   pooled.subspan(c * n_out, n_out));
  } else {
    std::copy(image.begin(), image.end(), pooled.begin());
  }
  if (!optical) return;
  float largest = kFloor;
  for (const float x : pooled) largest = std::max(largest, std::abs(x));
  for (float& x : pooled) x /= largest;
  std::fill(out.begin() + isize(pooled.size()), out.end(), 0.0F);
}

void Encoder::encode(std::span<const std::uint8_t> sample, std::span<float> out, const Displacement& move) const {
  require_fit(sample.size(), out.size(), move);
  std::vector<std::uint8_t> window;
  if (move != Displacement{} || cut_height() != raw_.height || cut_width() != raw_.width) {
    window.resize(usize(raw_.channels * cut_height() * cut_width()));
    cut<std::uint8_t>(sample, window, move);
    sample = window;
  }
  const auto scale = [&](float low, float range, std::span<float> to) {
    byte_kernel::scale(sample.data(), isize(sample.size()), low, range, to.data());
  };
  if (options_.optical_field == OpticalField::none) {
    std::uint8_t darkest = 255, brightest = 0;
    for (const std::uint8_t v : sample) {
      darkest = std::min(darkest, v);
      brightest = std::max(brightest, v);
    }
    const float low = static_cast<float>(darkest) / 255.0F, range = static_cast<float>(brightest) / 255.0F - low + kFloor;
    if (options_.downsample == 0) return scale(low, range, out);
    std::vector<float> image(sample.size());
    scale(low, range, image);
    return finish(image, out);
  }
  std::vector<float> image(sample.size());
  scale(0.0F, 1.0F, image);
  finish(image, out);
}

void Encoder::encode(std::span<const float> sample, std::span<float> out, const Displacement& move) const {
  require_fit(sample.size(), out.size(), move);
  std::vector<float> scaled;
  if (!tables_->scale.empty()) {
    scaled.resize(sample.size());
    tables_->scale.apply(sample, scaled);
    sample = scaled;
  }
  std::vector<float> image(usize(raw_.channels * cut_height() * cut_width()));
  cut<float>(sample, image, move);
  finish(image, out);
}

}  // namespace ffzero
