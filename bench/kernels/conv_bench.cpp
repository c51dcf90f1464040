// Convolutional layers of the two presets on batches of 256: forward, pairs, gradient, pooling; each checked before it is timed.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "ffzero/map/activation.hpp"
#include "ffzero/map/conv/channel_projection.hpp"
#include "ffzero/map/conv/conv_batch_norm.hpp"
#include "ffzero/map/conv/max_pool.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {
namespace {

constexpr Index kBatch = 256;
constexpr Index kProjection = 10;
constexpr double kEps = 1e-3;
constexpr double kTolerance = 2e-4;  // of normalised maps in float

/// Floating-point operations a second of a 512 x 512 x 512 product in float, the limit that results are compared with.
double gemm_peak() {
  static const double peak = [] {
    const Index n = 512;
    const Matrix<float> a = Matrix<float>::Random(n, n), b = Matrix<float>::Random(n, n);
    Matrix<float> c(n, n);
    double best = 0.0;
    for (int i = 0; i < 30; ++i) {
      const auto start = std::chrono::steady_clock::now();
      gemm_nn<float>(a, b, c);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      best = std::max(best, 2.0 * static_cast<double>(n * n * n) / taken.count());
    }
    return best;
  }();
  return peak;
}

/// A layer with parameters, a batch with the sparseness of digits, and directions of unit length per channel's order of size.
template <class S>
struct Setup {
  explicit Setup(const ConvOptions& options, Index directions)
      : map(options),
        projection(map.output_shape(), kProjection, RandomStream(1, Stream::projection)),
        x(kBatch, options.input.size()),
        theta(map.parameter_count()),
        moves(directions, map.parameter_count()) {
    RandomStream(1, Stream::test).fill_uniform(std::span<S>(x.data(), usize(x.size())));
    x = (x.array() - S(0.8)).max(S{0}) * S{5};
    map.initialise(as_span(theta), RandomStream(1, Stream::initial));
    RandomStream(1, Stream::direction).fill_normal(std::span<S>(moves.data(), usize(moves.size())));
    moves /= std::sqrt(static_cast<S>(moves.cols() / options.channels));
  }
  ConvBatchNorm<S> map;
  ChannelProjection<S> projection;
  Matrix<S> x;
  Vector<S> theta;
  Matrix<S> moves;
};

/// The same layer by windows gathered into a matrix, a product in double and batch norm as it stands in the specification.
Matrix<double> reference_forward(const ConvOptions& o, const Vector<double>& theta, const Matrix<double>& x, Shape out) {
  const Index positions = out.height * out.width, taps = o.input.channels * o.kernel * o.kernel;
  const Eigen::Map<const Matrix<double>> kernels(theta.data(), o.channels, taps);
  Matrix<double> y(x.rows(), out.size());
  Matrix<double> windows(taps, positions);
  for (Index b = 0; b < x.rows(); ++b) {
    for (Index t = 0; t < taps; ++t) {
      const Index c = t / (o.kernel * o.kernel), ky = t / o.kernel % o.kernel, kx = t % o.kernel;
      for (Index i = 0; i < positions; ++i) {
        const Index u = i / out.width * o.stride + ky - o.padding, v = i % out.width * o.stride + kx - o.padding;
        const bool inside = u >= 0 && v >= 0 && u < o.input.height && v < o.input.width;
        windows(t, i) = inside ? x(b, (c * o.input.height + u) * o.input.width + v) : 0.0;
      }
    }
    Eigen::Map<Matrix<double>>(y.row(b).data(), o.channels, positions) = kernels * windows;
  }
  for (Index c = 0; c < o.channels; ++c) {
    auto map = y.middleCols(c * positions, positions);
    const double mean = map.mean(), variance = (map.array() - mean).square().mean();
    map = ((map.array() - mean) / std::sqrt(variance + o.epsilon) * theta[o.channels * taps + c] + theta[o.channels * (taps + 1) + c])
              .matrix();
  }
  return y;
}

bool close(const Matrix<double>& a, const Matrix<double>& b) { return (a - b).cwiseAbs().maxCoeff() <= kTolerance; }

ConvOptions options_of(const benchmark::State& state) {
  return {.input = {state.range(0), state.range(2), state.range(2)}, .channels = state.range(1), .kernel = state.range(3), .padding = 2};
}

double multiply_adds(const ConvOptions& o, Shape out) {
  return static_cast<double>(kBatch * out.size() * o.input.channels * o.kernel * o.kernel);
}

void report(benchmark::State& state, double products) {
  const double per_iteration = 2.0 * products;
  state.counters["GFLOP/s"] = benchmark::Counter(per_iteration * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_gemm_peak"] = benchmark::Counter(per_iteration / gemm_peak(), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["samples/s"] = benchmark::Counter(static_cast<double>(kBatch), benchmark::Counter::kIsIterationInvariantRate);
}

void conv_forward(benchmark::State& state) {
  const ConvOptions o = options_of(state);
  const Setup<float> s(o, 1);
  const Shape out = s.map.output_shape();
  Matrix<float> y(kBatch, out.size());
  s.map.forward(as_span(s.theta), s.x, y);
  if (!close(y.cast<double>(), reference_forward(o, s.theta.cast<double>(), s.x.cast<double>(), out))) {
    state.SkipWithError("differs from the reference");
    return;
  }
  for (auto _ : state) {
    s.map.forward(as_span(s.theta), s.x, y);
    benchmark::DoNotOptimize(y.data());
  }
  report(state, multiply_adds(o, out));
}

void conv_infer(benchmark::State& state) {
  const ConvOptions o = options_of(state);
  Setup<float> s(o, 1);
  const Shape out = s.map.output_shape();
  Matrix<float> y(kBatch, out.size());
  s.map.begin_statistics();
  s.map.absorb(as_span(s.theta), s.x);
  s.map.finish_statistics();
  s.map.infer(as_span(s.theta), s.x, y);
  if (!close(y.cast<double>(), reference_forward(o, s.theta.cast<double>(), s.x.cast<double>(), out))) {
    state.SkipWithError("differs from the reference");
    return;
  }
  for (auto _ : state) {
    s.map.infer(as_span(s.theta), s.x, y);
    benchmark::DoNotOptimize(y.data());
  }
  report(state, multiply_adds(o, out));
}

/// range(4) directions, projection fused.
void conv_pairs(benchmark::State& state) {
  const ConvOptions o = options_of(state);
  const Index directions = state.range(4);
  const Setup<float> s(o, directions);
  const Shape out = s.map.output_shape();
  bool equal = true;
  Matrix<double> expected(kBatch, s.projection.output_shape().size());
  const ChannelProjection<double> exact(out, kProjection, RandomStream(1, Stream::projection));
  s.map.forward_pairs(as_span(s.theta), s.moves, kEps, s.x, &s.projection,
                      [&](Index j, const ConstMatrixRef<float>& plus, const ConstMatrixRef<float>& minus) {
                        for (const double side : {kEps, -kEps}) {
                          const Vector<double> moved = s.theta.cast<double>() + side * s.moves.row(j).transpose().cast<double>();
                          exact.forward({}, reference_forward(o, moved, s.x.cast<double>(), out), expected);
                          equal = equal && close((side > 0.0 ? plus : minus).cast<double>(), expected);
                        }
                      });
  if (!equal) {
    state.SkipWithError("differs from the reference");
    return;
  }
  for (auto _ : state) {
    s.map.forward_pairs(as_span(s.theta), s.moves, kEps, s.x, &s.projection,
                        [](Index, const ConstMatrixRef<float>& plus, const ConstMatrixRef<float>& minus) {
                          benchmark::DoNotOptimize(plus.data());
                          benchmark::DoNotOptimize(minus.data());
                        });
  }
  const double maps = static_cast<double>(1 + directions);
  report(state, maps * (multiply_adds(o, out) + static_cast<double>(kBatch * out.size() * kProjection)));
}

/// range(4): with the gradient of the input or without.
void conv_pullback(benchmark::State& state) {
  const ConvOptions o = options_of(state);
  const Setup<float> s(o, 1);
  const Setup<double> exact(o, 1);
  const bool with_input = state.range(4) != 0;
  const Matrix<float> gy = Matrix<float>::Random(kBatch, s.map.output_shape().size());
  Vector<float> g = Vector<float>::Zero(s.theta.size());
  Vector<double> exact_g = Vector<double>::Zero(s.theta.size());
  Matrix<float> gx(kBatch, s.x.cols());
  MatrixRef<float> view(gx);
  const Vector<double> theta = s.theta.cast<double>();
  s.map.pullback(as_span(s.theta), s.x, gy, gy, as_span(g), with_input ? &view : nullptr);
  exact.map.pullback(as_span(theta), s.x.cast<double>(), gy.cast<double>(), gy.cast<double>(), as_span(exact_g), nullptr);
  if ((g.cast<double>() - exact_g).norm() > 1e-4 * exact_g.norm()) {
    state.SkipWithError("differs from the reference");
    return;
  }
  for (auto _ : state) {
    s.map.pullback(as_span(s.theta), s.x, gy, gy, as_span(g), with_input ? &view : nullptr);
    benchmark::DoNotOptimize(g.data());
  }
  report(state, (with_input ? 3.0 : 2.0) * multiply_adds(o, s.map.output_shape()));
}

/// ReLU and 2 x 2 max pooling of maps of range(0) channels, range(1) x range(1).
void relu_and_pool(benchmark::State& state) {
  const Shape maps{state.range(0), state.range(1), state.range(1)};
  const Activation<float> relu(maps, ActivationKind::relu);
  const MaxPool<float> pool(maps, 2, 2);
  const Matrix<float> x = Matrix<float>::Random(kBatch, maps.size());
  Matrix<float> active(kBatch, maps.size()), y(kBatch, pool.output_shape().size());
  for (auto _ : state) {
    relu.forward({}, x, active);
    pool.forward({}, active, y);
    benchmark::DoNotOptimize(y.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(sizeof(float)) * (3 * x.size() + y.size()));
  state.counters["samples/s"] = benchmark::Counter(static_cast<double>(kBatch), benchmark::Counter::kIsIterationInvariantRate);
}

/// Input channels, output channels, image size, kernel; the last number is the case's own.
void layers(benchmark::internal::Benchmark* b, const std::vector<std::int64_t>& last) {
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{1, 4, 28, 6}, {4, 4, 13, 6}, {1, 16, 28, 5}, {16, 16, 14, 5}, {16, 32, 14, 5}})
    for (const std::int64_t l : last) {
      auto arguments = shape;
      arguments.push_back(l);
      b->Args(arguments);
    }
  b->Unit(benchmark::kMicrosecond);
}

BENCHMARK(conv_forward)->Apply([](auto* b) { layers(b, {0}); });
BENCHMARK(conv_infer)->Apply([](auto* b) { layers(b, {0}); });
BENCHMARK(conv_pairs)->Apply([](auto* b) { layers(b, {1, 10}); });
BENCHMARK(conv_pullback)->Apply([](auto* b) { layers(b, {0, 1}); });
BENCHMARK(relu_and_pool)->Args({4, 27})->Args({16, 28})->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ffzero

BENCHMARK_MAIN();
