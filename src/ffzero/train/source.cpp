// Samples of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/train/source.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "ffzero/base/error.hpp"
#include "ffzero/base/huge_pages.hpp"
#include "ffzero/map/linear_map.hpp"
#include "ffzero/map/repeats.hpp"
#include "ffzero/metric/metric.hpp"

namespace ffzero {

namespace {
constexpr Index kGatherRows = 32;
constexpr int kMostBatches = 8;  // that a front end is fitted to at once: each holds a matrix of products
// Samples lie in memory in another order than they are drawn in: those a few places ahead are on their way while one is copied.
constexpr Index kAhead = 4;

void fetch_ahead(const void* data, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(data) + at);
}

constexpr const char* kOffsets = "encoder.offset";
constexpr const char* kFactors = "encoder.factor";
}  // namespace

Encoder fitted_encoder(const EncoderOptions& options, ScaleKind kind, const Dataset& train) {
  const Shape& raw = train.shape();
  if (kind == ScaleKind::none) return {options, raw};
  if (train.is_bytes() || (raw.channels == 2 && raw.height == 1))
    throw ConfigError("dataset.scale", "scales samples of real numbers", train.is_bytes() ? "pixels" : "complex numbers",
                      "use \"none\", or save the samples as real numbers");
  return {options, raw, fit_feature_scale(kind, raw.size(), train.size(), [&](Index i) { return train.values(i); })};
}

Encoder restored_encoder(const EncoderOptions& options, ScaleKind kind, const Shape& raw, const NpzArchive& checkpoint,
                         const std::string& place) {
  if (kind == ScaleKind::none) return {options, raw};
  const auto read = [&](const char* name) {
    const auto found = checkpoint.find(name);
    auto numbers = found == checkpoint.end() ? std::vector<double>() : found->second.to<double>();
    const bool finite = std::all_of(numbers.begin(), numbers.end(), [](double v) { return std::isfinite(v); });
    if (isize(numbers.size()) != raw.size() || !finite)
      throw DataError(
          place,
          "must hold the array " + std::string(name) + " with a finite number for each of the " + std::to_string(raw.size()) + " features",
          found == checkpoint.end() ? "none" : std::to_string(numbers.size()), "the file is damaged");
    return numbers;
  };
  return {options, raw, FeatureScale{.offset = read(kOffsets), .factor = read(kFactors)}};
}

void save_encoder(const Encoder& encoder, NpzArchive& checkpoint) {
  const FeatureScale& scale = encoder.scale();
  if (scale.empty()) return;
  checkpoint[kOffsets] = NpyArray::of<double>(scale.offset, {isize(scale.offset.size())});
  checkpoint[kFactors] = NpyArray::of<double>(scale.factor, {isize(scale.factor.size())});
}

std::span<const double> batch_weights(const Dataset& data, std::span<const std::uint32_t> rows, bool mean, std::vector<double>& buffer) {
  buffer.clear();
  if (data.weights().empty()) return {};
  double sum = 0.0;
  for (const std::uint32_t row : rows) {
    buffer.push_back(static_cast<double>(data.weights()[row]));
    sum += buffer.back();
  }
  if (mean && sum > 0.0)
    for (double& w : buffer) w *= static_cast<double>(rows.size()) / sum;
  return buffer;
}

std::vector<double> r_squared_of_outputs(const Matrix<float>& scores, const Dataset& data) {
  const Index outputs = data.outputs();
  std::vector<double> result;
  std::vector<float> predicted(usize(scores.rows())), wanted(usize(scores.rows()));
  for (Index t = 0; t < outputs; ++t) {
    for (Index i = 0; i < scores.rows(); ++i) {
      predicted[usize(i)] = scores(i, t);
      wanted[usize(i)] = data.targets()[usize(i * outputs + t)];
    }
    result.push_back(r_squared(predicted, wanted));
  }
  return result;
}

double mean_r_squared(const Matrix<float>& scores, const Dataset& data) {
  const auto each = r_squared_of_outputs(scores, data);
  return std::accumulate(each.begin(), each.end(), 0.0) / static_cast<double>(each.size());
}

void encode_sample(const Encoder& encoder, const Dataset& data, Index i, std::span<float> out, const Displacement& move) {
  if (data.is_bytes())
    encoder.encode(data.bytes(i), out, move);
  else
    encoder.encode(data.values(i), out, move);
}

Matrix<float> encode_samples(const Encoder& encoder, const Dataset& data, Index first, Index count) {
  Matrix<float> x(count, encoder.output_shape().size());
  for (Index i = 0; i < count; ++i) encode_sample(encoder, data, first + i, {x.row(i).data(), usize(x.cols())});
  return x;
}

template <class S>
SampleSource<S>::SampleSource(const Dataset& data, const Encoder& encoder, const Network<S>& network, const Executor& executor,
                              const Options& options)
    : data_(data),
      encoder_(encoder),
      network_(network),
      executor_(executor),
      options_(options),
      values_(data.targets().begin(), data.targets().end()) {}

template <class S>
Index SampleSource<S>::width() const {
  if (front_done_) return network_.front(depth_)->output_shape().size();
  return depth_ == 0 ? encoder_.output_shape().size() : network_.layer(depth_ - 1).output_shape().size();
}

template <class S>
bool SampleSource<S>::may_cache(Index columns) const noexcept {
  return !options_.augment && usize(size()) * usize(columns) * sizeof(S) <= options_.cache_bytes;
}

template <class S>
void SampleSource<S>::advance(std::optional<Matrix<S>> outputs) {
  cache_ = std::move(outputs);
  if (cache_) encoded_ = {};
  through_ = false;
  front_done_ = false;
  ++depth_;
}

template <class S>
bool SampleSource<S>::may_go_through() const {
  if (depth_ + 1 >= network_.layers() || network_.front(depth_ + 1) == nullptr || through_ || recomputes()) return false;
  const auto maps = network_.maps_of(depth_);
  const bool all_repeat = std::all_of(maps.begin(), maps.end(), [](const ForwardMap<S>* map) { return repeats<S>(*map); });
  return all_repeat && dynamic_cast<const LinearMap<S>*>(maps.front()) != nullptr &&
         may_cache(network_.layer(depth_).output_shape().size());
}

template <class S>
void SampleSource<S>::advance_through() {
  through_ = true;
  front_done_before_ = front_done_;
  front_done_ = false;
  ++depth_;
}

template <class S>
void SampleSource<S>::encode(std::span<const std::uint32_t> rows, std::uint64_t epoch, Matrix<S>& x) const {
  const Index columns = encoder_.output_shape().size();
  const RandomStream shifts(options_.seed, Stream::augment, 0, epoch);
  x.resize(isize(rows.size()), columns);
  executor_.run(divide_up(isize(rows.size()), kGatherRows), [&](Index shard) {
    std::vector<float> buffer(std::is_same_v<S, float> ? 0 : usize(columns));
    const Index end = std::min(isize(rows.size()), (shard + 1) * kGatherRows);
    for (Index i = shard * kGatherRows; i < end; ++i) {
      const Index row = rows[usize(i)];
      if (data_.is_bytes() && i + kAhead < end) {
        const auto later = data_.bytes(rows[usize(i + kAhead)]);
        fetch_ahead(later.data(), later.size());
      }
      const Displacement move = options_.augment ? encoder_.displacement(shifts, row) : Displacement{};
      std::span<float> out(buffer);
      if constexpr (std::is_same_v<S, float>) out = {x.row(i).data(), usize(columns)};
      encode_sample(encoder_, data_, row, out, move);
      if constexpr (!std::is_same_v<S, float>) std::copy(out.begin(), out.end(), x.row(i).data());
    }
  });
}

template <class S>
void SampleSource<S>::copy_rows(const Matrix<S>& from, std::span<const std::uint32_t> rows, Matrix<S>& x) const {
  x.resize(isize(rows.size()), from.cols());
  executor_.run(divide_up(isize(rows.size()), kGatherRows), [&](Index shard) {
    const Index end = std::min(isize(rows.size()), (shard + 1) * kGatherRows);
    const std::size_t bytes = usize(x.cols()) * sizeof(S);
    for (Index i = shard * kGatherRows; i < end; ++i) {
      if (i + kAhead < end) fetch_ahead(from.row(rows[usize(i + kAhead)]).data(), std::min<std::size_t>(bytes, 1024));
      std::copy_n(from.row(rows[usize(i)]).data(), x.cols(), x.row(i).data());
    }
  });
}

template <class S>
bool SampleSource<S>::keeps_encoded() const noexcept {
  // Measured on MNIST: with 64 ports a transform takes half of the time, with 196 (twice the memory of the images) a tenth.
  const Index columns = encoder_.output_shape().size(), pixels = encoder_.input_shape().size();
  return encoder_.options().optical_field == OpticalField::fourier && usize(columns) * sizeof(float) <= usize(pixels) && may_cache(columns);
}

template <class S>
void SampleSource<S>::gather_first(std::span<const std::uint32_t> rows, std::uint64_t epoch, Matrix<S>& x) const {
  if (cache_) return copy_rows(*cache_, rows, x);
  if (!keeps_encoded()) return encode(rows, epoch, x);
  if (encoded_.there.empty()) {
    encoded_.x.resize(size(), encoder_.output_shape().size());
    encoded_.there.assign(usize(size()), false);
  }
  std::vector<std::uint32_t> missing;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(missing), [this](std::uint32_t row) { return !encoded_.there[row]; });
  if (!missing.empty()) {
    encode(missing, epoch, fresh_);
    for (Index i = 0; i < fresh_.rows(); ++i) {
      encoded_.x.row(missing[usize(i)]) = fresh_.row(i);
      encoded_.there[missing[usize(i)]] = true;
    }
  }
  copy_rows(encoded_.x, rows, x);
}

template <class S>
void SampleSource<S>::gather(std::span<const std::uint32_t> rows, std::uint64_t epoch, Matrix<S>& x) const {
  if (through_) {
    gather_first(rows, epoch, input_);
    network_.infer(depth_ - 1, input_, Wanted::passed_on, output_, front_done_before_);
    x.swap(output_.passed_on);
    return;
  }
  gather_first(rows, epoch, x);
  if (cache_) return;
  network_.pass_on(0, depth_, x, output_);
  if (front_done_) {
    output_.passed_on.resize(x.rows(), width());
    network_.front(depth_)->forward({}, x, output_.passed_on);
    x.swap(output_.passed_on);
  }
}

template <class S>
void SampleSource<S>::fit_front(Index batch_rows) {
  FrontEnd<S>& front = *network_.front(depth_);
  std::vector<Matrix<S>> batches(usize(std::min(executor_.threads(), kMostBatches)));
  front.begin_statistics();
  for (Index first = 0; first < size();) {
    std::size_t held = 0;
    for (; held < batches.size() && first < size(); first += batch_rows)
      gather_range(first, std::min(batch_rows, size() - first), 0, batches[held++]);
    front.absorb_many({batches.data(), held}, executor_);
  }
  front.finish_statistics();
}

template <class S>
void SampleSource<S>::apply_front(Index batch_rows) {
  const FrontEnd<S>& front = *network_.front(depth_);
  const Index columns = front.output_shape().size();
  if (!may_cache(columns)) {
    cache_.reset();
    through_ = false;
    front_done_ = true;
    return;
  }
  Matrix<S> transformed(size(), columns), x;
  prefer_huge_pages(transformed.data(), usize(transformed.size()) * sizeof(S));
  for (Index first = 0; first < size(); first += batch_rows) {
    const Index count = std::min(batch_rows, size() - first);
    gather_range(first, count, 0, x);
    front.forward({}, x, transformed.middleRows(first, count));
  }
  cache_ = std::move(transformed);
  through_ = false;
  front_done_ = true;
}

template <class S>
void SampleSource<S>::gather_range(Index first, Index count, std::uint64_t epoch, Matrix<S>& x) const {
  std::vector<std::uint32_t> rows(usize(count));
  std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(first));
  gather(rows, epoch, x);
}

template <class S>
Targets SampleSource<S>::targets(std::span<const std::uint32_t> rows, std::vector<std::int32_t>& labels,
                                 std::vector<double>& values) const {
  labels.clear();
  values.clear();
  for (const std::uint32_t row : rows) {
    if (!data_.labels().empty())
      labels.push_back(data_.labels()[row]);
    else
      values.insert(values.end(), values_.begin() + isize(std::size_t{row}) * data_.outputs(),
                    values_.begin() + (isize(std::size_t{row}) + 1) * data_.outputs());
  }
  return {.labels = labels, .values = values, .outputs = data_.outputs()};
}

template class SampleSource<float>;
template class SampleSource<double>;

}  // namespace ffzero
