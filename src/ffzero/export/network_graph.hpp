// A trained network as plain operations on one sample: what other programs need to compute its predictions.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ffzero/map/conv/average_pool.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/predictor.hpp"

namespace ffzero {

/// y = W x + b.
struct AffineOperation {
  Matrix<float> weight;  ///< (outputs, inputs)
  Vector<float> bias;    ///< (outputs)
};
/// 2-d cross-correlation with zero padding, plus a bias; the batch normalisation of the training set is folded in.
struct ConvolutionOperation {
  Index kernel = 1, stride = 1, padding = 0;
  Matrix<float> weight;  ///< (channels out, channels in * kernel * kernel)
  Vector<float> bias;    ///< (channels out)
};
struct ReluOperation {};
struct TanhOperation {};
/// Each of `groups` equal parts divided by its length, after its mean was taken off (centred); a part of length 0 becomes 0.
struct LengthOperation {
  Index groups = 1;
  bool centred = false;
};
struct MaxPoolOperation {
  Index size = 1, stride = 1;
};
/// Output (i, j) of a plane is the mean of the inputs in rows[i] x columns[j].
struct MeanPoolOperation {
  std::vector<PoolCell> rows, columns;
};
/// Each channel (a plane of n numbers) times a matrix of its own.
struct ProjectionOperation {
  Index size = 1;          ///< d, numbers that become of a channel
  Matrix<float> matrices;  ///< (channels * d, n)
};

struct Operation {
  std::string name;  ///< "dense0.map", "conv1.passed_on0", "conv1.readout"
  Shape input, output;
  std::variant<AffineOperation, ConvolutionOperation, ReluOperation, TanhOperation, LengthOperation, MaxPoolOperation, MeanPoolOperation,
               ProjectionOperation>
      what;
};

/// Group g of z times its prototypes, over its length (at least `floor`; a z of length 0 gives 0).
struct PrototypeScoring {
  Index groups = 1, classes = 1;
  double floor = 0.0;
  Matrix<float> prototypes;  ///< (groups * classes, d)
};
/// The first numbers of z.
struct OutputScoring {
  Index classes = 1;
};
/// W (z / mean of z) + b: a digital readout. A z of mean 0 stays as it is.
struct ReadoutScoring {
  Matrix<float> weight;  ///< (K, d)
  Vector<float> bias;    ///< (K)
};
using Scoring = std::variant<PrototypeScoring, OutputScoring, ReadoutScoring>;

struct GraphLayer {
  std::string name;
  std::vector<Operation> map;        ///< front end and map
  std::vector<Operation> passed_on;  ///< what follows, one after another
  Index scored_after = 0;            ///< the scores look at the output of this many of `passed_on`
  std::optional<Operation> readout;  ///< between there and the scores
  std::optional<Scoring> scoring;    ///< of a layer that has a say in the decision
};

/// Everything between a sample (as Predictor takes it) and a decision. Layers that have no say are left out.
struct NetworkGraph {
  Shape raw;           ///< of a sample
  bool bytes = false;  ///< samples are pixels 0 .. 255
  EncoderOptions encoder;
  FeatureScale scale;  ///< of samples of real numbers; empty: none
  Shape input;         ///< of the first layer
  std::vector<GraphLayer> layers;
  Index columns = 1;  ///< K classes, T targets
  Task task = Task::classification;
  VoteRule rule = VoteRule::last;
  double temperature = 1.0;          ///< of VoteRule::sum_log_softmax
  std::vector<TargetScale> targets;  ///< (T); regression
  std::vector<std::string> classes;  ///< what the data call class k; classification
};

/// @throws ConfigError naming the layer if one of its maps has no such form (a mesh, a device, an imperfect map, statistics of the batch
/// at hand), or if samples enter as optical fields.
[[nodiscard]] NetworkGraph network_graph(const Predictor& predictor);

/// What the encoder keeps of a sample: `shape` from (top, left) on, then averages of it.
struct InputWindow {
  Index top = 0, left = 0;
  Shape shape;                    ///< cut out of graph.raw; equal to it if nothing is
  std::optional<Operation> pool;  ///< a MeanPoolOperation from there to graph.input
};
[[nodiscard]] InputWindow input_window(const NetworkGraph& graph);

/// All arrays of a graph by name: "<operation>.weight", ".bias", ".matrices", "<layer>.prototypes", "<layer>.readout.weight", ..; float32,
/// shapes as in the structs above, convolutions (C_out, C_in, k, k).
[[nodiscard]] NpzArchive graph_arrays(const NetworkGraph& graph);

}  // namespace ffzero
