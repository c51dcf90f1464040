// Writing ONNX. Part of builds that found libonnx (FFZERO_ONNX); not installed, since programs that embed ffzero would need its protocol
// buffers. SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/export/network_graph.hpp"

namespace ffzero {

/// The bytes of an ONNX model (operators of version 10) that computes the graph's predictions in float.
///   input  "sample"  (batch, C, H, W) pixels 0 .. 255 or numbers, or (batch, F) features, as Predictor takes them; batch: any number
///   output "scores"  (batch, K), as `ffzero predict` prints them, and "class" (batch) int64: 0 .. K-1 in the order of graph.classes, whose
///                    names are the model's metadata ("class.0", ..); in regression "values" (batch, T) in the units of the training data
/// A part of length 0 becomes 0, as in ffzero.
/// @throws ConfigError for votes that count decisions (majority, majority_early), for a digital readout, and for a model of 2 GB or more.
[[nodiscard]] std::string onnx_model(const NetworkGraph& graph);

}  // namespace ffzero
