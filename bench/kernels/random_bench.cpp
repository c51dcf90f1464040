// Speed of random numbers and directions: values checked first, then timed. One row: numbers a second and bytes written against memcpy's.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "bench/kernels/limits.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/gradient/directions.hpp"

namespace ffzero {
namespace {

constexpr Index kDense = 78500;  // parameters of 784 -> 100

void report(benchmark::State& state, Index numbers) {
  const double bytes = static_cast<double>(numbers) * sizeof(float);
  using benchmark::Counter;
  state.counters["numbers/s"] = Counter(static_cast<double>(numbers), Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsIterationInvariantRate);
  state.counters["of_memcpy"] =
      Counter(2.0 * bytes / bench::copy_bandwidth(usize(numbers) * sizeof(float)), Counter::kIsIterationInvariantRate);
}

/// The same numbers drawn one at a time, which runs through the head and tail of a fill and never through its body.
template <class T, class Fill>
bool piecewise_equal(const std::vector<T>& values, Fill fill) {
  std::vector<T> one(1);
  for (std::size_t i = 0; i < values.size(); i += 97) {
    fill(std::span<T>(one), isize(i));
    if (one[0] != values[i]) return false;
  }
  return true;
}

template <class T, class Fill>
void run(benchmark::State& state, Fill fill) {
  std::vector<T> out(usize(state.range(0)));
  fill(std::span<T>(out), Index{0});
  if (!piecewise_equal(out, fill)) {
    state.SkipWithError("differs from single draws");
    return;
  }
  for (auto _ : state) {
    fill(std::span<T>(out), Index{0});
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, state.range(0));
}

const RandomStream kStream(1, Stream::test);

void bits(benchmark::State& state) {
  run<std::uint32_t>(state, [](auto out, Index first) { kStream.fill_bits(out, first); });
}
void uniforms(benchmark::State& state) {
  run<float>(state, [](auto out, Index first) { kStream.fill_uniform(out, first); });
}
void normals(benchmark::State& state) {
  run<float>(state, [](auto out, Index first) { kStream.fill_normal(out, first); });
}
void signs(benchmark::State& state) {
  run<float>(state, [](auto out, Index first) { kStream.fill_sign(out, first); });
}

/// m directions over one layer.
void directions(benchmark::State& state, Distribution distribution) {
  const Index m = state.range(0), size = state.range(1);
  const ParameterLayout layout = ParameterLayout::whole(size);
  const Executor executor(1);
  Matrix<float> out(m, size);
  fill_directions<float>(layout, distribution, kStream, executor, out);
  for (Index j = 0; j < m; ++j) {
    const double length = out.row(j).cast<double>().norm();
    if (std::abs(length - 1.0) < 1e-6) continue;
    state.SkipWithError("not of unit length");
    return;
  }
  for (auto _ : state) {
    fill_directions<float>(layout, distribution, kStream, executor, out);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, m * size);
}

void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "parameters"})->Unit(benchmark::kMicrosecond);
  for (const Index m : {1, 10}) b->Args({m, kDense})->Args({m, 10100});
}

BENCHMARK(bits)->Arg(kDense)->Unit(benchmark::kMicrosecond);
BENCHMARK(uniforms)->Arg(kDense)->Unit(benchmark::kMicrosecond);
BENCHMARK(normals)->Arg(kDense)->Unit(benchmark::kMicrosecond);
BENCHMARK(signs)->Arg(kDense)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(directions, gaussian, Distribution::gaussian)->Apply(layers);
BENCHMARK_CAPTURE(directions, rademacher, Distribution::rademacher)->Apply(layers);
BENCHMARK_CAPTURE(directions, hadamard, Distribution::hadamard)->Apply(layers);

}  // namespace
}  // namespace ffzero

BENCHMARK_MAIN();
