// Convolution with batch norm: forward, both sides of a difference, exact gradient, statistics of the training set.
// SPDX-License-Identifier: MIT
#include "ffzero/map/conv/conv_batch_norm.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_kernel-inl.hpp"
#include "ffzero/map/conv/row_kernel-inl.hpp"
#include "ffzero/map/conv/window.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

/// Samples of one shard; fixed, so that no number depends on the number of threads.
constexpr Index kShardRows = 32;
constexpr Index kGradientShardRows = 64;
/// Planes that are convolved together: their rows must stay in the cache.
constexpr Index kPlanesAtOnce = 96;
/// Numbers of stacked maps that may be held at once when a difference needs whole maps.
constexpr Index kStackedNumbers = Index{1} << 24;

template <class T>
void grow(std::vector<T>& v, Index size) {
  if (isize(v.size()) < size) v.resize(usize(size));
}

void check_options(const ConvOptions& o) {
  const auto at_least = [](const char* key, Index value, Index least, const char* remedy) {
    if (value < least)
      throw ConfigError(std::string("model.conv.") + key, "must be at least " + std::to_string(least), std::to_string(value), remedy);
  };
  at_least("channels", o.channels, 1, "give every convolution a positive number of channels");
  at_least("kernel", o.kernel, 1, "give a positive kernel size");
  at_least("stride", o.stride, 1, "1 visits every position");
  at_least("padding", o.padding, 0, "0 adds nothing");
  if (o.input.size() < 1) throw ConfigError("model.conv", "the input must not be empty", to_string(o.input));
  const Index smallest = std::min(o.input.height, o.input.width) + 2 * o.padding;
  if (o.kernel > smallest)
    throw ConfigError("model.conv.kernel",
                      "must fit into the padded image: " + to_string(o.input) + " with padding " + std::to_string(o.padding),
                      std::to_string(o.kernel), "use a kernel of at most " + std::to_string(smallest) + " or more padding");
  if (!(o.epsilon > 0.0)) throw ConfigError("model.conv.epsilon", "must be positive", std::to_string(o.epsilon));
}

}  // namespace

BatchnormMode batchnorm_mode(std::string_view word) {
  for (const BatchnormMode mode : {BatchnormMode::running, BatchnormMode::batch})
    if (word == to_string(mode)) return mode;
  throw ConfigError("model.conv.batchnorm", "must be running or batch", "\"" + std::string(word) + "\"", "choose one of them");
}

std::string_view to_string(BatchnormMode mode) noexcept { return mode == BatchnormMode::running ? "running" : "batch"; }

/// Buffers that are kept between calls. Planes: first the C of z = conv(x, theta), then C for each direction.
template <class S>
struct ConvBatchNorm<S>::Workspace {
  std::vector<S> weights;                       // (taps, planes)
  std::vector<S> offset;                        // (planes): minus a mean guessed from the first samples, so that squares do not cancel
  std::vector<Index> mate;                      // (planes): the plane of z that a direction's plane is paired with
  std::vector<double> sums, shard_sums;         // (planes, 3), (shards, planes, 3): of v, v^2, v v_mate
  Vector<S> pixel_sums;                         // (input)
  std::vector<double> window_sums, tap_means;   // (C_in, H, k), (taps)
  std::vector<S> scale, shift;                  // (C)
  std::vector<double> shard_gradient;           // (shards, C, taps)
  Matrix<S> stacked, plus, minus;               // (B, planes * width), (B, C * width) twice
  Matrix<S> slopes;                             // (B, C * positions)
  std::vector<S> readout_state, readout, ones;  // the projection as last seen, by position (C, positions, d), its row sums (C, d)
};

/// Statistics of one plane, relative to its guessed mean.
template <class S>
struct ConvBatchNorm<S>::Moments {
  double mean, variance;
};

template <class S>
ConvBatchNorm<S>::ConvBatchNorm(const ConvOptions& options, std::shared_ptr<const Executor> executor)
    : options_(options), executor_(std::move(executor)), work_(std::make_unique<Workspace>()) {
  check_options(options);
  output_ = window_outputs(options.input, options.channels, {.size = options.kernel, .stride = options.stride, .padding = options.padding});
  state_.resize(2 * options.channels);
  state_.head(options.channels).setZero();
  state_.tail(options.channels).setOnes();
}

template <class S>
ConvBatchNorm<S>::~ConvBatchNorm() = default;

template <class S>
ParameterLayout ConvBatchNorm<S>::parameter_layout() const {
  const Index channels = options_.channels, kernels = channels * taps();
  ParameterLayout layout{.groups = channels, .units = {}};
  for (Index c = 0; c < channels; ++c) {
    Unit unit{.group = c, .segments = {{.begin = c * taps(), .size = taps()}}};
    if (options_.train_batchnorm) {
      unit.segments.push_back({.begin = kernels + c, .size = 1});
      unit.segments.push_back({.begin = kernels + channels + c, .size = 1});
    }
    layout.units.push_back(std::move(unit));
  }
  return layout;
}

template <class S>
void ConvBatchNorm<S>::initialise(std::span<S> theta, const RandomStream& random) const {
  const Index kernels = options_.channels * taps();
  const auto part = theta.first(usize(kernels));
  random.fill_uniform(part);
  const double bound = 1.0 / std::sqrt(static_cast<double>(taps()));
  for (S& t : part) t = static_cast<S>(bound * (2.0 * static_cast<double>(t) - 1.0));
  std::fill_n(theta.begin() + kernels, options_.channels, S{1});
  std::fill_n(theta.begin() + kernels + options_.channels, options_.channels, S{0});
}

template <class S>
template <class Work>
void ConvBatchNorm<S>::shards(Index rows, Index shard_rows, Work&& work) const {
  const Index count = divide_up(rows, shard_rows);
  const auto one = [&](Index i) { work(i, i * shard_rows, std::min(shard_rows, rows - i * shard_rows)); };
  if (executor_ != nullptr)
    executor_->run(count, one);
  else
    for (Index i = 0; i < count; ++i) one(i);
}

template <class S>
void ConvBatchNorm<S>::require(std::span<const S> theta, const ConstMatrixRef<S>& x) const {
  if (isize(theta.size()) != parameter_count())
    throw ShapeError("conv", "theta must have " + std::to_string(parameter_count()) + " entries", std::to_string(theta.size()));
  if (x.cols() != options_.input.size())
    throw ShapeError("conv", "x must have " + std::to_string(options_.input.size()) + " columns", std::to_string(x.cols()));
}

/// tap_means: mean of the pixel under each tap, over all positions and the first samples.
template <class S>
void ConvBatchNorm<S>::mean_patch(const ConstMatrixRef<S>& x) const {
  Workspace& w = *work_;
  const Shape in = options_.input;
  const Index k = options_.kernel, rows = std::min(x.rows(), kShardRows);
  w.pixel_sums.resize(in.size());
  w.pixel_sums.setZero();
  for (Index b = 0; b < rows; ++b) w.pixel_sums += x.row(b).transpose();
  // Along the rows first: window_sums (C_in, H, k) for each tap column.
  const auto inside = [&](Index tap, Index outputs, Index size) {
    const Index start = options_.padding - tap, last = size - 1 - tap + options_.padding;
    return std::pair{start > 0 ? divide_up(start, options_.stride) : 0, last < 0 ? 0 : std::min(outputs, last / options_.stride + 1)};
  };
  w.window_sums.assign(usize(in.channels * in.height * k), 0.0);
  for (Index line = 0; line < in.channels * in.height; ++line)
    for (Index kx = 0; kx < k; ++kx) {
      const auto [first, last] = inside(kx, output_.width, in.width);
      for (Index q = first; q < last; ++q)
        w.window_sums[usize(line * k + kx)] +=
            static_cast<double>(w.pixel_sums[line * in.width + q * options_.stride + kx - options_.padding]);
    }
  w.tap_means.assign(usize(taps()), 0.0);
  const double share = 1.0 / static_cast<double>(std::max<Index>(1, rows) * positions());
  for (Index c = 0; c < in.channels; ++c)
    for (Index ky = 0; ky < k; ++ky) {
      const auto [first, last] = inside(ky, output_.height, in.height);
      for (Index y = first; y < last; ++y)
        for (Index kx = 0; kx < k; ++kx)
          w.tap_means[usize((c * k + ky) * k + kx)] +=
              share * w.window_sums[usize((c * in.height + y * options_.stride + ky - options_.padding) * k + kx)];
    }
}

/// weights and offset of z and, if given, of each direction.
template <class S>
void ConvBatchNorm<S>::stack_kernels(std::span<const S> theta, const ConstMatrixRef<S>* directions, const ConstMatrixRef<S>& x) const {
  Workspace& w = *work_;
  const Index channels = options_.channels, sets = 1 + (directions != nullptr ? directions->rows() : 0), planes = channels * sets;
  grow(w.weights, taps() * planes);
  for (Index j = 0; j < sets; ++j) {
    const S* kernels = j == 0 ? theta.data() : directions->row(j - 1).data();
    for (Index c = 0; c < channels; ++c)
      for (Index t = 0; t < taps(); ++t) w.weights[usize(t * planes + j * channels + c)] = kernels[c * taps() + t];
  }
  w.mate.assign(usize(planes), -1);
  for (Index p = channels; p < planes; ++p) w.mate[usize(p)] = p % channels;

  mean_patch(x);
  grow(w.offset, planes);
  for (Index p = 0; p < planes; ++p) {
    double mean = 0.0;
    for (Index t = 0; t < taps(); ++t) mean += static_cast<double>(w.weights[usize(t * planes + p)]) * w.tap_means[usize(t)];
    w.offset[usize(p)] = static_cast<S>(-mean);
  }
}

/// sums = the shards' sums, in their order.
template <class S>
void ConvBatchNorm<S>::add_shard_sums(Index shard_count, Index planes) const {
  Workspace& w = *work_;
  w.sums.assign(usize(planes * 3), 0.0);
  for (Index s = 0; s < shard_count; ++s)
    for (Index i = 0; i < planes * 3; ++i) w.sums[usize(i)] += w.shard_sums[usize(s * planes * 3 + i)];
}

template <class S>
typename ConvBatchNorm<S>::Moments ConvBatchNorm<S>::moments(Index plane, Index rows) const {
  const double n = static_cast<double>(rows * positions());
  const double mean = work_->sums[usize(plane * 3)] / n;
  return {mean, std::max(0.0, work_->sums[usize(plane * 3 + 1)] / n - mean * mean)};
}

template <class S>
conv::WindowPass forward_pass(const ConvOptions& o, Shape output, Index planes) {
  return {.input = o.input,
          .outputs = planes,
          .out_height = output.height,
          .out_width = output.width,
          .kernel = o.kernel,
          .stride = o.stride,
          .padding = o.padding,
          .dilation = 1};
}

/// maps = conv(x) + offset, and the sums of its planes; after stack_kernels without directions. maps may be empty: sums alone.
template <class S>
void ConvBatchNorm<S>::centred_maps(const ConstMatrixRef<S>& x, MatrixRef<S> maps) const {
  Workspace& w = *work_;
  const Index channels = options_.channels, count = divide_up(x.rows(), kShardRows);
  grow(w.shard_sums, count * channels * 3);
  shards(x.rows(), kShardRows, [&](Index s, Index first, Index rows) {
    conv::ConvTask<S> task{.pass = forward_pass<S>(options_, output_, channels), .weights = w.weights.data(), .offset = w.offset.data()};
    task.maps = maps.size() == 0 ? nullptr : maps.row(first).data();
    task.maps_stride = maps.outerStride();
    task.sums = w.shard_sums.data() + s * channels * 3;
    conv::run_conv(task, x.row(first).data(), x.outerStride(), rows);
  });
  add_shard_sums(count, channels);
}

template <class S>
void ConvBatchNorm<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require(theta, x);
  require_shapes("conv", x, options_.input, y, output_);
  if (x.rows() == 0) return;
  Workspace& w = *work_;
  const Index channels = options_.channels, kernels = channels * taps();
  stack_kernels(theta, nullptr, x);
  centred_maps(x, y);
  grow(w.scale, channels);
  grow(w.shift, channels);
  for (Index c = 0; c < channels; ++c) {
    const Moments m = moments(c, x.rows());
    const double scale = static_cast<double>(theta[usize(kernels + c)]) / std::sqrt(m.variance + options_.epsilon);
    w.scale[usize(c)] = static_cast<S>(scale);
    w.shift[usize(c)] = static_cast<S>(static_cast<double>(theta[usize(kernels + channels + c)]) - scale * m.mean);
  }
  shards(x.rows(), kShardRows, [&](Index, Index first, Index rows) {
    for (Index b = first; b < first + rows; ++b)
      for (Index c = 0; c < channels; ++c) {
        auto map = y.row(b).segment(c * positions(), positions()).array();
        map = map * w.scale[usize(c)] + w.shift[usize(c)];
      }
  });
}

template <class S>
void ConvBatchNorm<S>::infer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  if (options_.batchnorm == BatchnormMode::batch) {
    forward(theta, x, y);
    return;
  }
  require(theta, x);
  require_shapes("conv", x, options_.input, y, output_);
  const Index channels = options_.channels, kernels = channels * taps();
  // Of its own, not of the workspace: several threads may infer.
  std::vector<S> weights(usize(kernels)), offset(usize(channels)), scale(usize(channels));
  for (Index c = 0; c < channels; ++c) {
    for (Index t = 0; t < taps(); ++t) weights[usize(t * channels + c)] = theta[usize(c * taps() + t)];
    offset[usize(c)] = -state_[c];
    scale[usize(c)] = static_cast<S>(static_cast<double>(theta[usize(kernels + c)]) /
                                     std::sqrt(static_cast<double>(state_[channels + c]) + options_.epsilon));
  }
  shards(x.rows(), kShardRows, [&](Index, Index first, Index rows) {
    conv::ConvTask<S> task{.pass = forward_pass<S>(options_, output_, channels), .weights = weights.data(), .offset = offset.data()};
    task.maps = y.row(first).data();
    task.maps_stride = y.outerStride();
    task.scale = scale.data();
    task.shift = theta.data() + kernels + channels;
    conv::run_conv(task, x.row(first).data(), x.outerStride(), rows);
  });
}

template <class S>
void ConvBatchNorm<S>::begin_statistics() {
  running_mean_.assign(usize(options_.channels), 0.0);
  running_square_.assign(usize(options_.channels), 0.0);
  running_count_ = 0.0;
}

template <class S>
void ConvBatchNorm<S>::absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) {
  require(theta, x);
  if (isize(running_mean_.size()) != options_.channels) throw ShapeError("conv", "begin_statistics must come before absorb");
  if (x.rows() == 0) return;
  stack_kernels(theta, nullptr, x);
  Matrix<S> none(0, 0);
  centred_maps(x, none);
  const double n = static_cast<double>(x.rows() * positions()), total = running_count_ + n;
  for (Index c = 0; c < options_.channels; ++c) {
    const Moments m = moments(c, x.rows());
    const double mean = m.mean - static_cast<double>(work_->offset[usize(c)]);
    const double step = mean - running_mean_[usize(c)];
    running_mean_[usize(c)] += step * n / total;
    running_square_[usize(c)] += m.variance * n + step * step * running_count_ * n / total;
  }
  running_count_ = total;
}

template <class S>
void ConvBatchNorm<S>::finish_statistics() {
  if (running_count_ == 0.0) throw ShapeError("conv", "finish_statistics needs at least one sample");
  for (Index c = 0; c < options_.channels; ++c) {
    state_[c] = static_cast<S>(running_mean_[usize(c)]);
    state_[options_.channels + c] = static_cast<S>(running_square_[usize(c)] / running_count_);
  }
}

template <class S>
bool ConvBatchNorm<S>::fuses(const ForwardMap<S>& readout) const {
  const auto* projection = dynamic_cast<const ChannelProjection<S>*>(&readout);
  return projection != nullptr && projection->input_shape() == output_;
}

template <class S>
void ConvBatchNorm<S>::forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                                     const ForwardMap<S>* readout, const PairSink<S>& sink) const {
  forward_some_pairs(theta, directions, 0, directions.rows(), eps, x, readout, sink);
}

template <class S>
void ConvBatchNorm<S>::forward_some_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, Index first, Index last,
                                          double eps, const ConstMatrixRef<S>& x, const ForwardMap<S>* readout,
                                          const PairSink<S>& sink) const {
  require(theta, x);
  if (directions.cols() != parameter_count())
    throw ShapeError("conv", "directions must have " + std::to_string(parameter_count()) + " columns", std::to_string(directions.cols()));
  if (readout != nullptr && !fuses(*readout)) throw ShapeError("conv", "the readout cannot be fused", readout->kind());
  Index sets = kPlanesAtOnce / options_.channels;
  if (readout == nullptr) sets = std::min(sets, kStackedNumbers / std::max<Index>(1, x.rows() * output_.size()));
  const Index at_once = std::max<Index>(1, sets - 1);
  for (Index group = first / at_once * at_once; group < last; group += at_once) {
    const Index of_group = std::min(at_once, directions.rows() - group);
    const Index begin = std::max(first, group), end = std::min(last, group + of_group);
    run_pairs(theta, directions.middleRows(begin, end - begin), eps, x, readout, begin, of_group, sink);
  }
}

template <class S>
void ConvBatchNorm<S>::run_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                                 const ForwardMap<S>* readout, Index first_direction, Index of_group, const PairSink<S>& sink) const {
  Workspace& w = *work_;
  const Index channels = options_.channels, kernels = channels * taps(), planes = channels * (1 + directions.rows());
  const auto* projection = static_cast<const ChannelProjection<S>*>(readout);
  const Index width = projection != nullptr ? projection->size() : positions();
  if (projection != nullptr) {
    const auto state = projection->state();
    if (!std::ranges::equal(state, w.readout_state) || isize(w.readout.size()) != output_.size() * width) {
      w.readout_state.assign(state.begin(), state.end());
      w.readout.resize(usize(output_.size() * width));
      projection->write_by_position(w.readout);
      w.ones.assign(usize(channels * width), S{0});
      for (Index c = 0; c < channels; ++c)
        for (Index i = 0; i < width; ++i) {
          double sum = 0.0;
          for (Index q = 0; q < positions(); ++q) sum += static_cast<double>(w.readout[usize((c * positions() + q) * width + i)]);
          w.ones[usize(c * width + i)] = static_cast<S>(sum);
        }
    }
  }
  stack_kernels(theta, &directions, x);
  w.stacked.resize(x.rows(), planes * width);
  const Index count = divide_up(x.rows(), kShardRows);
  grow(w.shard_sums, count * planes * 3);
  shards(x.rows(), kShardRows, [&](Index s, Index first, Index rows) {
    conv::ConvTask<S> task{.pass = forward_pass<S>(options_, output_, planes), .weights = w.weights.data(), .offset = w.offset.data()};
    task.sums = w.shard_sums.data() + s * planes * 3;
    task.mate = w.mate.data();
    task.outputs_of_chunk = channels * (1 + of_group);
    if (projection != nullptr) {
      task.readout = w.readout.data();
      task.readout_planes = channels;
      task.readout_size = width;
      task.projected = w.stacked.row(first).data();
      task.projected_stride = w.stacked.outerStride();
    } else {
      task.maps = w.stacked.row(first).data();
      task.maps_stride = w.stacked.outerStride();
    }
    conv::run_conv(task, x.row(first).data(), x.outerStride(), rows);
  });
  add_shard_sums(count, planes);

  // Both sides of a difference are combinations of z, p and 1: weight (z +- eps p - mean) / deviation + bias.
  using Side = std::array<S, 3>;
  const double n = static_cast<double>(x.rows() * positions());
  const auto side = [&](Index j, Index c, double step) {
    const S* direction = directions.row(j).data();
    const Index q = channels * (1 + j) + c;
    const Moments z = moments(c, x.rows()), p = moments(q, x.rows());
    const double covariance = w.sums[usize(q * 3 + 2)] / n - z.mean * p.mean;
    const double variance = std::max(0.0, z.variance + 2.0 * step * covariance + step * step * p.variance);
    const double weight = static_cast<double>(theta[usize(kernels + c)]) + step * static_cast<double>(direction[kernels + c]);
    const double bias =
        static_cast<double>(theta[usize(kernels + channels + c)]) + step * static_cast<double>(direction[kernels + channels + c]);
    const double scale = weight / std::sqrt(variance + options_.epsilon);
    return Side{static_cast<S>(scale), static_cast<S>(scale * step), static_cast<S>(bias - scale * (z.mean + step * p.mean))};
  };
  // All of them first: a sink may evaluate this map.
  std::vector<Side> up, down;
  for (Index j = 0; j < directions.rows(); ++j)
    for (Index c = 0; c < channels; ++c) {
      up.push_back(side(j, c, eps));
      down.push_back(side(j, c, -eps));
    }
  w.plus.resize(x.rows(), channels * width);
  w.minus.resize(x.rows(), channels * width);
  for (Index j = 0; j < directions.rows(); ++j) {
    shards(x.rows(), kShardRows, [&](Index, Index first, Index rows) {
      for (Index b = first; b < first + rows; ++b)
        for (Index c = 0; c < channels; ++c) {
          const S* z = w.stacked.row(b).data() + c * width;
          const S* p = w.stacked.row(b).data() + (channels * (1 + j) + c) * width;
          const S* one = projection != nullptr ? w.ones.data() + c * width : nullptr;
          conv::combine_sides(z, p, one, width, up[usize(j * channels + c)].data(), down[usize(j * channels + c)].data(),
                              w.plus.row(b).data() + c * width, w.minus.row(b).data() + c * width);
        }
    });
    sink(first_direction + j, w.plus, w.minus);
  }
}

template <class S>
void ConvBatchNorm<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/,
                                const ConstMatrixRef<S>& gy, std::span<S> gtheta, MatrixRef<S>* gx) const {
  require(theta, x);
  require_shapes("conv", x, options_.input, gy, output_);
  if (x.rows() == 0) return;
  Workspace& w = *work_;
  const Index channels = options_.channels, kernels = channels * taps(), count = divide_up(x.rows(), kShardRows);
  // y does not tell the deviation, so the maps are made once more.
  stack_kernels(theta, nullptr, x);
  w.slopes.resize(x.rows(), output_.size());
  centred_maps(x, w.slopes);
  std::vector<Moments> z;
  for (Index c = 0; c < channels; ++c) z.push_back(moments(c, x.rows()));

  // Sums of gy and of gy times the normalised map: gradients of bias and weight, and what batch statistics feed back.
  shards(x.rows(), kShardRows, [&](Index s, Index first, Index rows) {
    double* sums = w.shard_sums.data() + s * channels * 3;
    std::fill_n(sums, channels * 3, 0.0);
    for (Index b = first; b < first + rows; ++b)
      for (Index c = 0; c < channels; ++c)
        conv::add_slope_sums(gy.row(b).data() + c * positions(), w.slopes.row(b).data() + c * positions(), positions(), sums + c * 3);
  });
  add_shard_sums(count, channels);
  const double n = static_cast<double>(x.rows() * positions());
  struct Back {
    S gy, map, one;
  };
  std::vector<Back> back;
  for (Index c = 0; c < channels; ++c) {
    const double rate = 1.0 / std::sqrt(z[usize(c)].variance + options_.epsilon), mean = z[usize(c)].mean;
    const double sum = w.sums[usize(c * 3)], product = rate * (w.sums[usize(c * 3 + 1)] - mean * sum);
    gtheta[usize(kernels + c)] += static_cast<S>(product);
    gtheta[usize(kernels + channels + c)] += static_cast<S>(sum);
    const double scale = static_cast<double>(theta[usize(kernels + c)]) * rate;
    const double by_map = -scale * rate * product / n;
    back.push_back({static_cast<S>(scale), static_cast<S>(by_map), static_cast<S>(-scale * sum / n - by_map * mean)});
  }
  shards(x.rows(), kShardRows, [&](Index, Index first, Index rows) {
    for (Index b = first; b < first + rows; ++b)
      for (Index c = 0; c < channels; ++c) {
        const Back k = back[usize(c)];
        conv::combine(gy.row(b).data() + c * positions(), positions(), k.gy, k.map, k.one, w.slopes.row(b).data() + c * positions());
      }
  });

  const Index gradient_shards = divide_up(x.rows(), kGradientShardRows);
  grow(w.shard_gradient, gradient_shards * kernels);
  shards(x.rows(), kGradientShardRows, [&](Index s, Index first, Index rows) {
    conv::kernel_gradient(forward_pass<S>(options_, output_, channels), x.row(first).data(), x.outerStride(), w.slopes.row(first).data(),
                          w.slopes.outerStride(), rows, w.shard_gradient.data() + s * kernels);
  });
  for (Index i = 0; i < kernels; ++i) {
    double sum = 0.0;
    for (Index s = 0; s < gradient_shards; ++s) sum += w.shard_gradient[usize(s * kernels + i)];
    gtheta[usize(i)] += static_cast<S>(sum);
  }
  if (gx == nullptr) return;

  // The input's gradient is a convolution of the slopes, spread out by the stride, with the kernels turned by half a turn.
  const Index k = options_.kernel, inputs = options_.input.channels;
  for (Index c = 0; c < channels; ++c)
    for (Index i = 0; i < inputs; ++i)
      for (Index t = 0; t < k * k; ++t)
        w.weights[usize((c * k * k + k * k - 1 - t) * inputs + i)] = theta[usize((c * inputs + i) * k * k + t)];
  shards(x.rows(), kShardRows, [&](Index, Index first, Index rows) {
    conv::ConvTask<S> task{.pass = {.input = output_,
                                    .outputs = inputs,
                                    .out_height = options_.input.height,
                                    .out_width = options_.input.width,
                                    .kernel = k,
                                    .stride = 1,
                                    .padding = k - 1 - options_.padding,
                                    .dilation = options_.stride},
                           .weights = w.weights.data()};
    task.maps = gx->row(first).data();
    task.maps_stride = gx->outerStride();
    conv::run_conv(task, w.slopes.row(first).data(), w.slopes.outerStride(), rows);
  });
}

template class ConvBatchNorm<float>;
template class ConvBatchNorm<double>;

}  // namespace ffzero
