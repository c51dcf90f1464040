// Speed of the interferometer mesh: checked against the definition first, then timed.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "ffzero/map/mesh/reference_mesh.hpp"

namespace {

using namespace ffzero;

/// Multiplications and additions of one interferometer on one sample, as the textbook counts them: a real rotation of two complex
/// numbers (8 products, 4 sums) and a phase (4 products, 2 sums), hence 12 vector operations with fused multiply-add.
constexpr double kOperations = 18.0;

struct Setup {
  Index ports, rows;
  InterferometerMesh<float> mesh;
  Vector<float> theta;
  Matrix<float> x, y, gy, directions;

  Setup(Index n, Index batch, int threads)
      : ports(n),
        rows(batch),
        mesh(MeshLayout(n), threads > 1 ? std::make_shared<Executor>(threads) : nullptr),
        theta(mesh.parameter_count()),
        x(batch, 2 * n),
        y(batch, 2 * n),
        gy(batch, 2 * n),
        directions(1, mesh.parameter_count()) {
    const RandomStream random(1, Stream::test);
    mesh.initialise(as_span(theta), random);
    random.of(1).fill_normal(std::span<float>(x.data(), usize(x.size())));
    random.of(2).fill_normal(std::span<float>(gy.data(), usize(gy.size())));
    random.of(3).fill_normal(std::span<float>(directions.data(), usize(directions.size())));
    x.rowwise().normalize();
    directions.normalize();
  }

  /// Compares the first and the last sample with the definition in double.
  void verify() {
    mesh.forward(as_span(theta), x, y);
    const Vector<double> exact_theta = theta.cast<double>();
    for (const Index row : {Index{0}, rows - 1}) {
      const Matrix<double> exact_x = x.row(row).cast<double>();
      Matrix<double> exact(1, 2 * ports);
      reference_forward<double>(mesh.layout(), as_span(exact_theta), exact_x, exact);
      const double error = (y.row(row).cast<double>() - exact).cwiseAbs().maxCoeff();
      if (error < 1e-5) continue;
      std::fprintf(stderr, "mesh of %td ports differs from the definition by %g\n", ports, error);
      std::exit(1);
    }
  }

  void report(benchmark::State& state, double evaluations) const {
    const double devices = static_cast<double>(mesh.layout().interferometers()) * static_cast<double>(rows) * evaluations;
    using benchmark::Counter;
    state.counters["GFLOP/s"] = Counter(devices * kOperations * 1e-9, Counter::kIsIterationInvariantRate);
    state.counters["s_per_interferometer"] = Counter(devices, Counter::kIsIterationInvariantRate | Counter::kInvert);
  }
};

void evaluation(benchmark::State& state) {
  Setup s(state.range(0), state.range(1), static_cast<int>(state.range(2)));
  s.verify();
  for (auto _ : state) s.mesh.forward(as_span(s.theta), s.x, s.y);
  s.report(state, 1.0);
}

void pair(benchmark::State& state) {
  Setup s(state.range(0), state.range(1), static_cast<int>(state.range(2)));
  s.verify();
  const Intensity<float> intensity(s.ports);
  for (auto _ : state) {
    s.mesh.forward_pairs(
        as_span(s.theta), s.directions, 1e-3, s.x, &intensity,
        [](Index, const ConstMatrixRef<float>& plus, const ConstMatrixRef<float>&) { benchmark::DoNotOptimize(plus.data()); });
  }
  s.report(state, 2.0);
}

void pullback(benchmark::State& state) {
  Setup s(state.range(0), state.range(1), static_cast<int>(state.range(2)));
  s.verify();
  Vector<float> gtheta = Vector<float>::Zero(s.theta.size());
  for (auto _ : state) s.mesh.pullback(as_span(s.theta), s.x, s.y, s.gy, as_span(gtheta), nullptr);
  s.report(state, 1.0);
}

// The same on a chip with errors of couplers, phases and losses.
ChipMesh<float> chip_of(const Setup& s) {
  ChipOptions options;
  options.coupler = options.phase = 0.06;
  options.loss_db = 0.1;
  return {s.mesh.layout(), {draw_chip(s.mesh.layout(), options, 0)}};
}

void chip_evaluation(benchmark::State& state) {
  Setup s(state.range(0), state.range(1), static_cast<int>(state.range(2)));
  const ChipMesh<float> chip = chip_of(s);
  for (auto _ : state) chip.forward(as_span(s.theta), s.x, s.y);
  s.report(state, 1.0);
}

void chip_pair(benchmark::State& state) {
  Setup s(state.range(0), state.range(1), static_cast<int>(state.range(2)));
  const ChipMesh<float> chip = chip_of(s);
  const Intensity<float> intensity(s.ports);
  for (auto _ : state) {
    chip.forward_pairs(
        as_span(s.theta), s.directions, 1e-3, s.x, &intensity,
        [](Index, const ConstMatrixRef<float>& plus, const ConstMatrixRef<float>&) { benchmark::DoNotOptimize(plus.data()); });
  }
  s.report(state, 2.0);
}

void chip_pullback(benchmark::State& state) {
  Setup s(state.range(0), state.range(1), static_cast<int>(state.range(2)));
  const ChipMesh<float> chip = chip_of(s);
  chip.forward(as_span(s.theta), s.x, s.y);
  Vector<float> gtheta = Vector<float>::Zero(s.theta.size());
  for (auto _ : state) chip.pullback(as_span(s.theta), s.x, s.y, s.gy, as_span(gtheta), nullptr);
  s.report(state, 1.0);
}

/// One thread: processor time, which other programs do not disturb. Several: wall time.
void one_thread(benchmark::internal::Benchmark* b) {
  b->ArgNames({"ports", "batch", "threads"})->Unit(benchmark::kMillisecond);
  for (const int ports : {64, 100, 784}) b->Args({ports, 128, 1});
}
void two_threads(benchmark::internal::Benchmark* b) {
  b->ArgNames({"ports", "batch", "threads"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const int ports : {64, 784}) b->Args({ports, 128, 2});
}

BENCHMARK(evaluation)->Apply(one_thread);
BENCHMARK(pair)->Apply(one_thread);
BENCHMARK(pullback)->Apply(one_thread);
BENCHMARK(chip_evaluation)->Apply(one_thread);
BENCHMARK(chip_pair)->Apply(one_thread);
BENCHMARK(chip_pullback)->Apply(one_thread);
BENCHMARK(evaluation)->Apply(two_threads);
BENCHMARK(pair)->Apply(two_threads);
BENCHMARK(pullback)->Apply(two_threads);

}  // namespace

BENCHMARK_MAIN();
