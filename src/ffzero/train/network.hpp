// Layers with their parameters, evaluated in inference.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/executor.hpp"
#include "ffzero/map/front_end.hpp"
#include "ffzero/objective/layer_engine.hpp"
#include "ffzero/tensor/npz.hpp"

namespace ffzero {

/// What one trained layer says about a batch. Kept by the caller: storage is used again.
template <class S>
struct LayerOutput {
  Matrix<S> passed_on;   ///< (B, d) the next layer's input, before dropout
  Matrix<S> head_input;  ///< (B, d) what the head looked at
  Matrix<S> scores;      ///< (B, G K)

  /// Scratch of one piece of the batch, see Network::infer.
  struct Buffers {
    Matrix<S> front, mapped, even, odd;
  };
  std::vector<Buffers> buffers;
};

/// What Network::infer is asked for.
enum class Wanted { passed_on, head, both };

/// What a network is made of.
template <class S>
struct NetworkParts {
  Shape input = {};   ///< of one encoded sample
  Index classes = 0;  ///< K; the number of targets in regression
  /// In the order of the data flow. A layer without a name is called layer0, layer1, ..; one without a head gets the vertices of a
  /// simplex as prototypes (one random direction in regression), drawn from the seed.
  std::vector<Layer<S>> layers;
  bool end_to_end = false;      ///< the last layer's raw outputs are the scores of the whole network
  bool fitted_readout = false;  ///< every layer gets a digital readout when it has been trained
  std::uint64_t seed = 0;       ///< of initial parameters, and of prototypes where none are given
};

template <class S>
class Network {
 public:
  /// fronts: fitted maps before the layers, one a layer, null: none; may be left empty.
  /// Initial parameters as Layer::map->initialise draws them from the seed. No data are needed.
  /// @throws ConfigError if a layer has no map or does not take what the one before it passes on (the first one: `input`), if the
  /// heads differ in their classes, or if K classes do not fit into a layer's outputs.
  Network(NetworkParts<S> parts, std::shared_ptr<const Executor> executor, std::vector<std::shared_ptr<FrontEnd<S>>> fronts = {});

  [[nodiscard]] Index layers() const noexcept { return isize(layers_.size()); }
  [[nodiscard]] const Layer<S>& layer(Index i) const { return layers_.at(usize(i)); }
  /// Fitted front end of a layer, null if there is none.
  [[nodiscard]] FrontEnd<S>* front(Index i) const { return fronts_.at(usize(i)).get(); }
  [[nodiscard]] Shape input_shape() const noexcept { return input_; }
  [[nodiscard]] Index classes() const noexcept { return classes_; }
  /// True if the last layer's raw outputs are the scores of the whole network.
  [[nodiscard]] bool end_to_end() const noexcept { return end_to_end_; }

  /// Parameters of layers [first, last), contiguous.
  [[nodiscard]] std::span<S> theta(Index first, Index last);
  [[nodiscard]] std::span<const S> theta(Index first, Index last) const;

  /// Parameters of layers [first, last) as they are drawn from this seed: those that a network begins with.
  [[nodiscard]] Vector<S> initial_parameters(Index first, Index last, std::uint64_t seed) const;

  /// One layer in inference: front end, map (trained statistics), what is passed on, head (head_input and scores); parts of `out` that are
  /// not wanted are left alone. Rows are evaluated side by side where the maps allow it. front_done: x went through the front end already.
  /// Cost: B forward evaluations, billed by the caller. Any number of threads may call at once, each with an `out` of its own, on maps that
  /// allow it (those of ffzero do), while no thread changes the network.
  void infer(Index layer, const ConstMatrixRef<S>& x, Wanted wanted, LayerOutput<S>& out, bool front_done = false) const;

  /// x becomes what layers [first, last) pass on: `infer` one after another; front_done is about the first of them.
  void pass_on(Index first, Index last, Matrix<S>& x, LayerOutput<S>& out, bool front_done = false) const;
  /// The maps of a layer: its own, those whose outputs are passed on, the readout (if it has one).
  [[nodiscard]] std::vector<ForwardMap<S>*> maps_of(Index layer) const;
  /// seen (B, ..), sized here: what map number `map` of maps_of(layer) gets in inference.   x (B, inputs of the layer)
  /// Cost: B forward evaluations unless it is the first, billed by the caller.
  void infer_until(Index layer, Index map, const ConstMatrixRef<S>& x, Matrix<S>& seen, bool front_done = false) const;

  /// What turns a layer's output into scores: its own head, or that of the whole network for the last layer of an end-to-end one.
  [[nodiscard]] const Head<S>& head_of(Index layer) const;

  /// A digital readout of a layer, (K, d + 1) from fit_readout on readout_features of its head input: from now on it gives that layer's
  /// scores, in the columns of group 0. @throws ShapeError if it does not fit
  void set_readout(Index layer, const Matrix<S>& readout);
  /// (K, d + 1), empty if the layer has none.
  [[nodiscard]] const Matrix<S>& readout(Index layer) const { return readouts_.at(usize(layer)); }
  [[nodiscard]] bool has_readout(Index layer) const { return readouts_.at(usize(layer)).size() > 0 && readout_active_[usize(layer)]; }
  /// True if this layer is to get a readout when it has been trained.
  [[nodiscard]] bool wants_readout(Index layer) const { return readouts_.at(usize(layer)).size() > 0; }

  /// The parameters and readouts of a network with the same layers.
  void take_parameters(const Network& other);

  /// Everything that is not configuration: parameters, prototypes, projections, statistics, components.
  void save(NpzArchive& archive) const;
  /// @throws DataError naming `place` and the array if it is missing or of another size (a checkpoint of another architecture).
  void load(const NpzArchive& archive, const std::string& place);

 private:
  struct StateSlot {
    std::string name;
    std::span<S> values;
  };
  [[nodiscard]] std::vector<StateSlot> slots() const;
  /// Name and head of layer i, where the caller gave none. @throws ConfigError as the constructor
  void complete_layer(Index i, std::uint64_t seed);
  using Buffers = typename LayerOutput<S>::Buffers;
  /// Front end and map, into buffers.mapped.
  void map_rows(Index layer, const ConstMatrixRef<S>& x, bool front_done, Buffers& buffers) const;
  /// What follows the map, for rows [first, first + mapped.rows()) of `out`.
  void finish_rows(Index layer, const ConstMatrixRef<S>& mapped, Wanted wanted, LayerOutput<S>& out, Index first, Buffers& buffers) const;

  Shape input_;
  Index classes_ = 0;
  std::vector<Layer<S>> layers_;
  std::vector<std::shared_ptr<FrontEnd<S>>> fronts_;
  std::vector<std::vector<LayerStep<S>>> passed_on_;  // Layer::passed_on of every layer
  std::vector<Matrix<S>> readouts_;                   ///< empty: none; else with a last row that is not 0 once it is fitted
  std::vector<char> readout_active_;
  std::vector<Index> offsets_;
  Vector<S> theta_;
  std::shared_ptr<Head<S>> end_to_end_head_;
  std::shared_ptr<const Executor> executor_;
  bool end_to_end_ = false;
};

/// Prototypes of layer number `layer` (one matrix a group): the vertices of a randomly rotated simplex of K classes in the outputs of each
/// group, a random unit vector for K = 1. outputs: of the head input, all groups together.
/// @throws ConfigError if K classes need more dimensions than a group has
[[nodiscard]] std::vector<Matrix<double>> layer_prototypes(Index classes, Index outputs, Index groups, std::uint64_t seed, Index layer);

/// Head inputs on a common scale: each row divided by its mean (powers relative to the sample's own), zero rows stay zero.
template <class S>
[[nodiscard]] Matrix<S> readout_features(const ConstMatrixRef<S>& head_input);

extern template class Network<float>;
extern template class Network<double>;

}  // namespace ffzero
