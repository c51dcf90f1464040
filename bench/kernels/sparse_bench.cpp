// Products that skip zeros, all Hadamard directions at once, and the cosine head. Every row is checked against double and then timed on one
// thread. GFLOP/s count what is computed; "dense" rows of bench_dense of the same shape tell what skipping saves.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "bench/kernels/limits.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/tensor/sparse.hpp"

namespace ffzero {
namespace {

constexpr Index kRows = 64;  // of a shard

Matrix<float> uniforms(Index rows, Index columns, std::uint32_t part) {
  Matrix<float> m(rows, columns);
  RandomStream(1, Stream::test, part).fill_uniform(std::span<float>(m.data(), usize(m.size())));
  return m;
}

/// As sparse as digits: 19 of 100 are not 0.
Matrix<float> digits(Index columns) { return ((uniforms(kRows, columns, 0).array() - 0.81F).max(0.0F) * 5.0F).matrix(); }

void report(benchmark::State& state, double multiply_adds) {
  using benchmark::Counter;
  state.counters["GFLOP/s"] = Counter(2e-9 * multiply_adds, Counter::kIsIterationInvariantRate);
  state.counters["of_gemm_peak"] = Counter(2.0 * multiply_adds / bench::gemm_peak(), Counter::kIsIterationInvariantRate);
}

bool close(const Matrix<float>& a, const Matrix<double>& b) { return (a.cast<double>() - b).norm() <= 1e-6 * b.norm(); }

/// range: outputs, inputs. Taking the entries out of a shard is part of the time.
void skip_zeros_forward(benchmark::State& state) {
  const Index outputs = state.range(0), inputs = state.range(1);
  const Matrix<float> x = digits(inputs), w = uniforms(outputs, inputs, 1), offset = uniforms(1, outputs, 2);
  Matrix<float> y(kRows, outputs);
  SparseLines<float> lines;
  const auto run = [&] {
    lines.assign_rows(x);
    lines.affine_nt(w, {offset.data(), usize(outputs)}, y);
  };
  run();
  Matrix<double> expected = x.cast<double>() * w.cast<double>().transpose();
  expected.rowwise() += offset.row(0).cast<double>();
  if (!close(y, expected)) return state.SkipWithError("differs from the product in double");
  for (auto _ : state) {
    run();
    benchmark::DoNotOptimize(y.data());
  }
  report(state, static_cast<double>(lines.entries() * outputs));
}

void skip_zeros_gradient(benchmark::State& state) {
  const Index outputs = state.range(0), inputs = state.range(1);
  const Matrix<float> x = digits(inputs), gy = uniforms(kRows, outputs, 1);
  Matrix<float> g = Matrix<float>::Zero(outputs, inputs);
  SparseLines<float> lines;
  const auto run = [&] {
    lines.assign_columns(x);
    lines.add_gemm_tn(gy, g);
  };
  run();
  if (!close(g, gy.cast<double>().transpose() * x.cast<double>())) return state.SkipWithError("differs from the product in double");
  for (auto _ : state) {
    run();
    benchmark::DoNotOptimize(g.data());
  }
  report(state, static_cast<double>(lines.entries() * outputs));
}

/// range: outputs, inputs, directions, 1: sparse inputs. GFLOP/s count the product and the transform once, not for each direction.
void hadamard_directions(benchmark::State& state) {
  const Index outputs = state.range(0), inputs = state.range(1), m = state.range(2);
  const Matrix<float> x = state.range(3) != 0 ? digits(inputs) : uniforms(kRows, inputs, 3), signs = uniforms(1, outputs * (inputs + 1), 1);
  Matrix<float> p(kRows, m * outputs);
  SparseLines<float> lines;
  const auto run = [&] {
    lines.assign_classes(x);
    lines.hadamard_nt({signs.data(), usize(signs.size())}, outputs, m, p);
  };
  run();
  for (Index j = 0; j < m; ++j) {
    Matrix<double> d = signs.cast<double>();
    for (Index i = 0; i < d.size(); ++i)
      if ((std::popcount(static_cast<std::uint64_t>(i & j)) & 1) != 0) d(0, i) = -d(0, i);
    Matrix<double> expected = x.cast<double>() * Eigen::Map<const Matrix<double>>(d.data(), outputs, inputs).transpose();
    expected.rowwise() += d.row(0).tail(outputs);
    if ((p.middleCols(j * outputs, outputs).cast<double>() - expected).cwiseAbs().maxCoeff() > 1e-3)
      return state.SkipWithError("differs from the products in double");
  }
  for (auto _ : state) {
    run();
    benchmark::DoNotOptimize(p.data());
  }
  report(state, static_cast<double>(lines.entries() * outputs + 32 * kRows * outputs));
  state.counters["directions/s"] = benchmark::Counter(static_cast<double>(m), benchmark::Counter::kIsIterationInvariantRate);
}

/// range: width, groups. Cosine scores of a shard; bytes read and written against memcpy's.
void prototype_scores(benchmark::State& state) {
  const Index width = state.range(0), groups = state.range(1), classes = 10, d = width / groups;
  std::vector<Matrix<double>> prototypes;
  for (Index g = 0; g < groups; ++g)
    prototypes.push_back(simplex_prototypes(classes, d, RandomStream(1, Stream::prototype, static_cast<std::uint32_t>(g))));
  const PrototypeHead<float> head(prototypes);
  const PrototypeHead<double> exact(prototypes);
  const Matrix<float> z = uniforms(kRows, width, 1);
  Matrix<float> scores(kRows, groups * classes);
  Matrix<double> expected(kRows, groups * classes);
  head.scores(z, scores);
  exact.scores(z.cast<double>(), expected);
  if (!close(scores, expected)) return state.SkipWithError("differs from the scores in double");
  for (auto _ : state) {
    head.scores(z, scores);
    benchmark::DoNotOptimize(scores.data());
  }
  report(state, static_cast<double>(kRows * width * (classes + 1)));
  const double bytes = sizeof(float) * static_cast<double>(z.size() + scores.size());
  state.counters["of_memcpy"] =
      benchmark::Counter(bytes / bench::copy_bandwidth(usize(z.size()) * sizeof(float)), benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"outputs", "inputs"})->Unit(benchmark::kMicrosecond);
  for (const Index outputs : {100, 400, 1000}) b->Args({outputs, 784});
}

BENCHMARK(skip_zeros_forward)->Apply(shapes);
BENCHMARK(skip_zeros_gradient)->Apply(shapes);
BENCHMARK(hadamard_directions)
    ->ArgNames({"outputs", "inputs", "m", "sparse"})
    ->Args({100, 784, 10, 1})
    ->Args({100, 784, 16, 1})
    ->Args({100, 100, 10, 0})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(prototype_scores)->ArgNames({"width", "groups"})->Args({100, 1})->Args({1280, 20})->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ffzero

BENCHMARK_MAIN();
