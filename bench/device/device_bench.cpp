// What the host takes for a device: processor time of an evaluation over exec: with binary frames, and steps a second over a link with
// latency. 1568 parameters, all of them new, 64 rows of 49 inputs. Outputs are checked before they are timed.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/device/client.hpp"
#include "ffzero/map/dense.hpp"

namespace ffzero {
namespace {

constexpr Index kInputs = 49, kOutputs = 32, kParameters = kInputs * kOutputs, kRows = 64, kDirections = 4;
constexpr double kBytes = 4.0 * (kParameters + kRows * kInputs + kRows * kOutputs);
constexpr double kLimit_us = 30.0 + kBytes / 1e3;  // 30 us and 1 GB/s

Matrix<float> normal(Index rows, Index cols, std::uint64_t seed) {
  Matrix<float> m(rows, cols);
  RandomStream(seed, Stream::test).fill_normal(std::span<float>(m.data(), usize(m.size())));
  return m;
}

/// Of this process alone: the device is another one.
double processor_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// The sides of a step's pairs.
struct Step {
  std::vector<Matrix<float>> thetas, ys;
  Matrix<float> x = normal(kRows, kInputs, 1);
  explicit Step(Index parameters) {
    for (Index j = 0; j < 2 * kDirections; ++j) {
      thetas.push_back(normal(1, parameters, 2 + static_cast<std::uint64_t>(j)));
      ys.emplace_back(kRows, kOutputs);
    }
  }
  void run(DeviceClient& client) {
    std::vector<DeviceJob> jobs;
    for (std::size_t i = 0; i < thetas.size(); ++i)
      jobs.push_back({.theta = {thetas[i].data(), usize(thetas[i].size())}, .x = x, .y = ys[i], .address = std::nullopt});
    client.evaluate(jobs);
  }
};

void processor_time(benchmark::State& state) {
  ClientOptions options;
  options.pipeline = state.range(0);
  DeviceClient client(std::string("exec:") + FFZERO_ECHO, options);
  Step step(kParameters);
  step.run(client);
  for (std::size_t i = 0; i < step.ys.size(); ++i) {
    Matrix<float> expected = step.x.leftCols(kOutputs);
    expected.col(0).array() += step.thetas[i](0, 0) + step.thetas[i](0, kParameters - 1);
    if (step.ys[i] != expected) return state.SkipWithError("the device does not echo");
  }
  const double begun = processor_s();
  for (auto _ : state) step.run(client);
  const double evaluations = static_cast<double>(state.iterations()) * 2.0 * kDirections;
  state.counters["host_us"] = 1e6 * (processor_s() - begun) / evaluations;
  state.counters["limit_us"] = kLimit_us;
}

void steps_over_latency(benchmark::State& state) {
  ClientOptions options;
  options.pipeline = state.range(0);
  DeviceClient client(std::string("exec:'") + FFZERO_PROGRAM + "' device serve --inputs 49 --outputs 32 --pipeline 4 --latency-ms 10",
                      options);
  Step step(client.description().parameters);  // with one for each output besides
  step.run(client);
  Matrix<float> expected(kRows, kOutputs);
  const Dense<float> map({.width = kInputs}, kOutputs);
  map.forward({step.thetas[3].data(), usize(step.thetas[3].size())}, step.x, expected);
  if (!step.ys[3].isApprox(expected, 1e-5F)) return state.SkipWithError("the device gives something else");
  for (auto _ : state) step.run(client);
  state.counters["steps/s"] = benchmark::Counter(1.0, benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(processor_time)->ArgName("pipeline")->Arg(1)->Arg(4)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(steps_over_latency)->ArgName("pipeline")->Arg(1)->Arg(4)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ffzero

BENCHMARK_MAIN();
