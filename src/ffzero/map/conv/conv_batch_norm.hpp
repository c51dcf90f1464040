// Convolution with batch norm.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "ffzero/base/executor.hpp"
#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/paired_map.hpp"

namespace ffzero {

/// What a trained network's batch norm uses: the training set's statistics, or those of the batch at hand (the paper).
enum class BatchnormMode { running, batch };

/// "running" or "batch". @throws ConfigError (place "model.conv.batchnorm") for any other word.
[[nodiscard]] BatchnormMode batchnorm_mode(std::string_view word);
[[nodiscard]] std::string_view to_string(BatchnormMode mode) noexcept;

struct ConvOptions {
  Shape input;         ///< of one sample
  Index channels = 1;  ///< output channels C
  Index kernel = 3;    ///< k: windows of k x k pixels
  Index stride = 1;
  Index padding = 0;      ///< zeros on every side
  double epsilon = 1e-5;  ///< added to the variance
  BatchnormMode batchnorm = BatchnormMode::running;
  bool train_batchnorm = true;  ///< false: weights and biases of the norm are in no unit, so they stay (end to end in the paper)
};

/// y_c = weight_c (z_c - mean_c) / sqrt(variance_c + epsilon) + bias_c, z = 2-d cross-correlation of x with the kernels, zero padding,
/// no bias. Mean and biased variance over the batch and the map, in double.
/// theta: kernels (C, C_in, k, k) row-major, weights (C), biases (C); {kernel c, weight c, bias c} is group c, one unit.
/// x (B, C_in H W)   y (B, C H' W'), H' = floor((H + 2 padding - k) / stride) + 1.
/// state(): mean (C), biased variance (C) of z over the training set; 0 and 1 before finish_statistics.
/// Parallel inside, over fixed shards of samples: same bits for any number of threads. One caller at a time, for buffers are kept (infer
/// in mode running keeps none); a sink of forward_pairs may call forward.
template <class S>
class ConvBatchNorm final : public AdjointMap<S>, public StatefulMap<S>, public PairedMap<S> {
 public:
  /// executor: null means serial. @throws ConfigError (model.conv.*) if a size is out of range or the kernel exceeds the padded image
  explicit ConvBatchNorm(const ConvOptions& options, std::shared_ptr<const Executor> executor = nullptr);
  ~ConvBatchNorm() override;

  [[nodiscard]] Shape input_shape() const override { return options_.input; }
  [[nodiscard]] Shape output_shape() const override { return output_; }
  [[nodiscard]] Index parameter_count() const override { return options_.channels * (taps() + 2); }
  [[nodiscard]] ParameterLayout parameter_layout() const override;
  /// Kernels uniform in +-1/sqrt(C_in k k), weights 1, biases 0.
  void initialise(std::span<S> theta, const RandomStream& random) const override;
  [[nodiscard]] std::string kind() const override { return "conv"; }
  [[nodiscard]] const ConvOptions& options() const noexcept { return options_; }

  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override;

  [[nodiscard]] std::span<const S> state() const override { return as_span(state_); }
  [[nodiscard]] std::span<S> state() override { return as_span(state_); }
  /// Mode running: with state(); mode batch: forward.
  void infer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override;
  [[nodiscard]] bool infers_rows_apart() const override { return options_.batchnorm == BatchnormMode::running; }
  [[nodiscard]] bool needs_statistics() const override { return options_.batchnorm == BatchnormMode::running; }
  void begin_statistics() override;
  void absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) override;
  void finish_statistics() override;

  /// True for a ChannelProjection of this map's output: then the maps are never written, only their projections.
  [[nodiscard]] bool fuses(const ForwardMap<S>& readout) const override;
  void forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                     const ForwardMap<S>* readout, const PairSink<S>& sink) const override;
  void forward_some_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, Index first, Index last, double eps,
                          const ConstMatrixRef<S>& x, const ForwardMap<S>* readout, const PairSink<S>& sink) const override;

 private:
  struct Workspace;
  struct Moments;
  [[nodiscard]] Index taps() const noexcept { return options_.input.channels * options_.kernel * options_.kernel; }
  [[nodiscard]] Index positions() const noexcept { return output_.height * output_.width; }
  template <class Work>
  void shards(Index rows, Index shard_rows, Work&& work) const;
  void require(std::span<const S> theta, const ConstMatrixRef<S>& x) const;
  void mean_patch(const ConstMatrixRef<S>& x) const;
  void stack_kernels(std::span<const S> theta, const ConstMatrixRef<S>* directions, const ConstMatrixRef<S>& x) const;
  void centred_maps(const ConstMatrixRef<S>& x, MatrixRef<S> maps) const;
  void add_shard_sums(Index shards, Index outputs) const;
  [[nodiscard]] Moments moments(Index plane, Index rows) const;
  /// first: number of the first one   of_group: directions that are convolved together where all of them are
  void run_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                 const ForwardMap<S>* readout, Index first, Index of_group, const PairSink<S>& sink) const;

  ConvOptions options_;
  Shape output_;
  std::shared_ptr<const Executor> executor_;
  Vector<S> state_;
  std::vector<double> running_mean_, running_square_;  // of the samples absorbed so far: mean, sum of squared deviations
  double running_count_ = 0.0;
  std::unique_ptr<Workspace> work_;
};

extern template class ConvBatchNorm<float>;
extern template class ConvBatchNorm<double>;

}  // namespace ffzero
