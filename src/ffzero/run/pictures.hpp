// Pictures of samples, and what convolutional layers make of them.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "ffzero/dataset/dataset.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// True if samples have rows to be drawn.
[[nodiscard]] inline bool has_pictures(const Dataset& data) { return data.shape().height > 1; }

/// A sample as grey bytes (height x width), row-major; channels are averaged, real numbers are taken from 0 .. 1.
[[nodiscard]] std::vector<std::uint8_t> grey_picture(const Dataset& data, Index sample);

/// Collects, layer by layer, what is kept of a network with convolutions, for the figures of its report.
class ConvolutionPictures {
 public:
  /// Samples whose maps are kept; maps of a layer, kernels, input channels of a kernel; pixels in a row or column of a map.
  static constexpr Index kSamples = 3, kMaps = 16, kKernels = 64, kInputs = 4, kPixels = 32;

  /// Takes the first sample of each of kSamples classes among the first `count` samples of `test` (regression: the first samples).
  /// test: outlives this
  ConvolutionPictures(const Dataset& test, Index count);

  /// What a layer passed on for the first `count` samples, (count, outputs of the layer). Layers that pass on no maps leave nothing.
  void add_layer(const Layer<float>& layer, const ConstMatrixRef<float>& passed_on);

  /// Adds, unless there was no layer with maps: for the i-th of them maps.i (samples, maps, h, w), maps_samples (samples) and, if samples
  /// are images, maps_images (samples, h, w) as grey bytes; to `about` `maps`: [{"name", "shape": [channels, height, width], "step"}], of
  /// whose rows and columns every step-th is kept. For the first convolution kernels (kernels, inputs, k, k), and to `about` `kernels`:
  /// {"layer", "count", "inputs"}, how many there are.
  void store(const Network<float>& network, NpzArchive& archive, nlohmann::json& about) const;

 private:
  const Dataset& test_;
  std::vector<std::int32_t> samples_;
  std::vector<NpyArray> maps_;
  nlohmann::json layers_ = nlohmann::json::array();
};

}  // namespace ffzero
