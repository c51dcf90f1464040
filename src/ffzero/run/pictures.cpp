// Pictures that a run keeps.
// SPDX-License-Identifier: MIT
#include "ffzero/run/pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

namespace {

Index step_of(Index height, Index width) { return divide_up(std::max(height, width), ConvolutionPictures::kPixels); }

// Every step-th row and column of a plane.
template <class T>
void append_thinned(std::span<const T> plane, Index width, Index step, std::vector<T>& out) {
  const Index height = isize(plane.size()) / width;
  for (Index y = 0; y < height; y += step)
    for (Index x = 0; x < width; x += step) out.push_back(plane[usize(y * width + x)]);
}

void store_kernels(const Layer<float>& layer, const ConvBatchNorm<float>& conv, std::span<const float> theta, NpzArchive& archive,
                   nlohmann::json& about) {
  const Index count = conv.options().channels, inputs = conv.options().input.channels, side = conv.options().kernel;
  const Index shown = std::min(count, ConvolutionPictures::kKernels), shown_inputs = std::min(inputs, ConvolutionPictures::kInputs);
  std::vector<float> values;
  for (Index c = 0; c < shown; ++c) {
    const auto kernel = theta.subspan(usize(c * inputs * side * side), usize(shown_inputs * side * side));
    values.insert(values.end(), kernel.begin(), kernel.end());
  }
  archive["kernels"] = NpyArray::of<float>(values, {shown, shown_inputs, side, side});
  about["kernels"] = {{"layer", layer.name}, {"count", count}, {"inputs", inputs}};
}

}  // namespace

std::vector<std::uint8_t> grey_picture(const Dataset& data, Index sample) {
  const Index plane = data.shape().height * data.shape().width, channels = data.shape().channels;
  std::vector<std::uint8_t> pixels;
  for (Index pixel = 0; pixel < plane; ++pixel) {
    double sum = 0.0;
    for (Index c = 0; c < channels; ++c) {
      const std::size_t at = usize(c * plane + pixel);
      sum += data.is_bytes() ? data.bytes(sample)[at] : 255.0 * std::clamp(static_cast<double>(data.values(sample)[at]), 0.0, 1.0);
    }
    pixels.push_back(static_cast<std::uint8_t>(std::lround(sum / static_cast<double>(channels))));
  }
  return pixels;
}

ConvolutionPictures::ConvolutionPictures(const Dataset& test, Index count) : test_(test) {
  std::vector<std::int32_t> seen;
  for (Index i = 0; i < count && isize(samples_.size()) < kSamples; ++i) {
    if (test.task() == Task::classification) {
      const std::int32_t label = test.labels()[usize(i)];
      if (std::ranges::find(seen, label) != seen.end()) continue;
      seen.push_back(label);
    }
    samples_.push_back(static_cast<std::int32_t>(i));
  }
}

void ConvolutionPictures::add_layer(const Layer<float>& layer, const ConstMatrixRef<float>& passed_on) {
  const Shape shape = layer.output_shape();
  if (shape.height < 2 || shape.width < 2) return;
  const Index plane = shape.height * shape.width, maps = std::min(shape.channels, kMaps), step = step_of(shape.height, shape.width);
  std::vector<float> values;
  for (const std::int32_t sample : samples_)
    for (Index c = 0; c < maps; ++c)
      append_thinned(std::span<const float>(passed_on.row(sample).data() + c * plane, usize(plane)), shape.width, step, values);
  maps_.push_back(NpyArray::of<float>(values, {isize(samples_.size()), maps, divide_up(shape.height, step), divide_up(shape.width, step)}));
  layers_.push_back({{"name", layer.name}, {"shape", {shape.channels, shape.height, shape.width}}, {"step", step}});
}

void ConvolutionPictures::store(const Network<float>& network, NpzArchive& archive, nlohmann::json& about) const {
  if (maps_.empty()) return;
  for (std::size_t i = 0; i < maps_.size(); ++i) archive[fmt::format("maps.{}", i)] = maps_[i];
  const Index count = isize(samples_.size());
  archive["maps_samples"] = NpyArray::of<std::int32_t>(samples_, {count});
  if (has_pictures(test_)) {
    const Shape shape = test_.shape();
    const Index step = step_of(shape.height, shape.width);
    std::vector<std::uint8_t> pixels;
    for (const std::int32_t sample : samples_) append_thinned<std::uint8_t>(grey_picture(test_, sample), shape.width, step, pixels);
    archive["maps_images"] = NpyArray::of<std::uint8_t>(pixels, {count, divide_up(shape.height, step), divide_up(shape.width, step)});
  }
  about["maps"] = layers_;
  for (Index i = 0; i < network.layers(); ++i)
    if (const auto* conv = dynamic_cast<const ConvBatchNorm<float>*>(&innermost(std::as_const(*network.layer(i).map)))) {
      store_kernels(network.layer(i), *conv, network.theta(i, i + 1), archive, about);
      return;
    }
}

}  // namespace ffzero
