// Where a block's samples come from: the data set, a cache of a frozen layer's outputs, or recomputation.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/base/executor.hpp"
#include "ffzero/base/ledger.hpp"
#include "ffzero/dataset/dataset.hpp"
#include "ffzero/encode/encoder.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// The encoder of these options with its features scaled as `train`, the train split, asks for. @throws ConfigError naming
/// dataset.scale if samples are pixels or complex numbers, which have no features to scale, or another key of [dataset].
[[nodiscard]] Encoder fitted_encoder(const EncoderOptions& options, ScaleKind scale, const Dataset& train);
/// The same as it was saved: raw is the shape of a raw sample. @throws DataError naming `place` if the scale is missing or damaged.
[[nodiscard]] Encoder restored_encoder(const EncoderOptions& options, ScaleKind scale, const Shape& raw, const NpzArchive& checkpoint,
                                       const std::string& place);
/// Adds what the encoder has learnt from the train split to a checkpoint; nothing if features stay as they are.
void save_encoder(const Encoder& encoder, NpzArchive& checkpoint);

/// Weights of these samples of `data`, in a buffer of the caller; empty if it has none. mean: divided by their mean, so that the mean of
/// the weighted losses of the batch is their weighted mean (all 0 if all weights are).
[[nodiscard]] std::span<const double> batch_weights(const Dataset& data, std::span<const std::uint32_t> rows, bool mean,
                                                    std::vector<double>& buffer);
/// R^2 of each target, and their mean.   scores (N, T)   data: N samples of a regression
[[nodiscard]] std::vector<double> r_squared_of_outputs(const Matrix<float>& scores, const Dataset& data);
[[nodiscard]] double mean_r_squared(const Matrix<float>& scores, const Dataset& data);

/// out (encoder.output_shape().size()): sample i of `data`, bytes or values, changed by `move` first.
void encode_sample(const Encoder& encoder, const Dataset& data, Index i, std::span<float> out, const Displacement& move = {});
/// Samples [first, first + count), (count, encoder.output_shape().size()).
[[nodiscard]] Matrix<float> encode_samples(const Encoder& encoder, const Dataset& data, Index first, Index count);

/// The inputs of the block that is being trained. Starts at the encoded data set; advance() passes it through a trained layer. Outputs
/// are kept in memory (4 bytes a number) unless they would exceed `cache_bytes` or training images are augmented: then frozen layers are
/// evaluated again for every batch. Before a front end that leaves few numbers of them they need not be kept (may_go_through).
/// Fourier transforms of images that take no more memory than an image of bytes are kept under the same limit: to make one takes longer
/// than what a mesh of 64 ports does with it.
template <class S>
class SampleSource {
 public:
  struct Options {
    bool augment = false;         ///< training images are shifted and mirrored as the encoder's options say, anew each epoch
    std::size_t cache_bytes = 0;  ///< largest cache
    std::uint64_t seed = 0;
  };
  SampleSource(const Dataset& data, const Encoder& encoder, const Network<S>& network, const Executor& executor, const Options& options);

  [[nodiscard]] Index size() const noexcept { return data_.size(); }
  [[nodiscard]] Index width() const;
  /// Layers that lie between the data and what gather() returns.
  [[nodiscard]] Index depth() const noexcept { return depth_; }
  /// True if gather() evaluates frozen layers: `depth()` evaluations a sample, for the caller to bill.
  [[nodiscard]] bool recomputes() const noexcept { return depth_ > 0 && !cache_ && !through_; }

  /// x (rows.size(), width()); epoch: of the augmentation; only used if the source augments. From one thread at a time.
  void gather(std::span<const std::uint32_t> rows, std::uint64_t epoch, Matrix<S>& x) const;
  /// Rows [first, first + count).
  void gather_range(Index first, Index count, std::uint64_t epoch, Matrix<S>& x) const;
  /// Labels or values of these rows, in buffers of the caller.
  [[nodiscard]] Targets targets(std::span<const std::uint32_t> rows, std::vector<std::int32_t>& labels, std::vector<double>& values) const;
  [[nodiscard]] Targets all_targets() const { return {.labels = data_.labels(), .values = values_, .outputs = data_.outputs()}; }

  /// The next layer's inputs: `outputs` (size, width) of layer `depth()`, taken over as the cache, or recomputation if empty.
  void advance(std::optional<Matrix<S>> outputs);
  /// True if advance_through() may stand for a cache: a front end follows, which reads the outputs twice and leaves fewer numbers, the
  /// outputs would be kept, and they can be computed again to the same bits without asking anything but this computer (a layer that is
  /// affine in its parameters, without noise, with its own inputs at hand).
  [[nodiscard]] bool may_go_through() const;
  /// The next layer's inputs, computed from this layer's whenever they are gathered. To be billed as if they were kept: a device would keep
  /// its answers.
  void advance_through();
  /// Fits the front end of layer `depth()` on this source; does not put it before gather().
  void fit_front(Index batch_rows);
  /// Puts the already fitted front end of layer `depth()` before gather().
  void apply_front(Index batch_rows);
  [[nodiscard]] bool front_done() const noexcept { return front_done_; }
  /// True if a cache of that width may be kept.
  [[nodiscard]] bool may_cache(Index width) const noexcept;

 private:
  // Samples as they leave the encoder, each from when it is asked for first.
  struct Encoded {
    Matrix<S> x;
    std::vector<bool> there;
  };
  void encode(std::span<const std::uint32_t> rows, std::uint64_t epoch, Matrix<S>& x) const;
  void copy_rows(const Matrix<S>& from, std::span<const std::uint32_t> rows, Matrix<S>& x) const;
  /// True if encoding takes longer than fetching, and there is room.
  [[nodiscard]] bool keeps_encoded() const noexcept;
  /// x: these rows of the cache, or without one of the data.
  void gather_first(std::span<const std::uint32_t> rows, std::uint64_t epoch, Matrix<S>& x) const;

  const Dataset& data_;
  const Encoder& encoder_;
  const Network<S>& network_;
  const Executor& executor_;
  Options options_;
  std::vector<double> values_;  // regression targets
  Index depth_ = 0;
  bool front_done_ = false;
  bool through_ = false;  // the cache, or without one the data, is the input of the layer before
  bool front_done_before_ = false;
  std::optional<Matrix<S>> cache_;
  // Of gather(), kept between its calls: fresh memory for each batch would take longer than the layers.
  mutable Matrix<S> input_, fresh_;
  mutable Encoded encoded_;
  mutable LayerOutput<S> output_;
};

extern template class SampleSource<float>;
extern template class SampleSource<double>;

}  // namespace ffzero
