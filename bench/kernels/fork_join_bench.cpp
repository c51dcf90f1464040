// What it costs to hand work to threads: our executor beside OpenMP and oneTBB. Rows `empty`: a round of shards that do nothing. Rows
// `step`: three rounds over the same 78,500 numbers, as a training step draws directions, combines them and updates the parameters; beside
// them `step/alone`, the same without threads. Sums are checked before anything is timed. SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "ffzero/base/executor.hpp"
#ifdef FFZERO_BENCH_OPENMP
#include <omp.h>
#endif
#ifdef FFZERO_BENCH_TBB
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#endif

namespace ffzero {
namespace {

constexpr Index kNumbers = 78500, kPiece = 4096, kPieces = (kNumbers + kPiece - 1) / kPiece;  // parameters of 784 -> 100
constexpr int kThreads = 2;

struct Alone {
  template <class Work>
  void run(Index shards, Work&& work) {
    for (Index i = 0; i < shards; ++i) work(i);
  }
};

#ifdef FFZERO_BENCH_OPENMP
struct OpenMp {
  template <class Work>
  void run(Index shards, Work&& work) {
#pragma omp parallel for schedule(static) num_threads(kThreads)
    for (Index i = 0; i < shards; ++i) work(i);
  }
};
#endif

#ifdef FFZERO_BENCH_TBB
/// Its partitioner that keeps shards with their threads: one for each loop, as its documentation asks for.
struct Tbb {
  oneapi::tbb::global_control threads{oneapi::tbb::global_control::max_allowed_parallelism, kThreads};
  oneapi::tbb::affinity_partitioner partitioner;
  template <class Work>
  void run(Index shards, Work&& work) {
    oneapi::tbb::parallel_for(Index{0}, shards, Index{1}, work, partitioner);
  }
};
#endif

struct Ours {
  Executor executor{kThreads};
  template <class Work>
  void run(Index shards, Work&& work) {
    executor.run(shards, work);
  }
};

template <class Pool>
void empty(benchmark::State& state) {
  Pool pool;
  for (auto _ : state) pool.run(kThreads, [](Index i) { benchmark::DoNotOptimize(i); });
}

template <class Pool>
void step(benchmark::State& state) {
  Pool pool;
  std::vector<float> directions(usize(kNumbers)), gradient(usize(kNumbers)), theta(usize(kNumbers), 0.0F);
  float drawn = 0.0F;
  const auto piece = [](Index i, auto&& work) {
    for (Index k = i * kPiece; k < std::min(kNumbers, (i + 1) * kPiece); ++k) work(usize(k));
  };
  const auto one_step = [&] {
    drawn += 1.0F;
    pool.run(kPieces, [&](Index i) { piece(i, [&](std::size_t k) { directions[k] = drawn; }); });
    pool.run(kPieces, [&](Index i) { piece(i, [&](std::size_t k) { gradient[k] = 0.5F * directions[k]; }); });
    pool.run(kPieces, [&](Index i) { piece(i, [&](std::size_t k) { theta[k] -= 2.0F * gradient[k]; }); });
  };
  one_step();
  one_step();
  if (std::accumulate(theta.begin(), theta.end(), 0.0) != -3.0 * kNumbers) return state.SkipWithError("a step has the wrong sum");
  for (auto _ : state) one_step();
}

BENCHMARK(step<Alone>)->Name("step/alone")->UseRealTime();
BENCHMARK(empty<Ours>)->Name("empty/executor")->UseRealTime();
BENCHMARK(step<Ours>)->Name("step/executor")->UseRealTime();
#ifdef FFZERO_BENCH_OPENMP
BENCHMARK(empty<OpenMp>)->Name("empty/openmp")->UseRealTime();
BENCHMARK(step<OpenMp>)->Name("step/openmp")->UseRealTime();
#endif
#ifdef FFZERO_BENCH_TBB
BENCHMARK(empty<Tbb>)->Name("empty/onetbb")->UseRealTime();
BENCHMARK(step<Tbb>)->Name("step/onetbb")->UseRealTime();
#endif

}  // namespace
}  // namespace ffzero

BENCHMARK_MAIN();
