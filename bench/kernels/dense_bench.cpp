// Speed of what dense layers are trained with: products, one step of each estimator, losses, Adam. Every row is checked first, against
// double or against plain evaluations, and then timed on one thread; products also say which share of the machine's own limit they reach.
// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "bench/kernels/limits.hpp"
#include "ffzero/gradient/directional.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "ffzero/update/rule.hpp"
#include "tests/support/test_block.hpp"

namespace ffzero {
namespace {

constexpr Index kBatch = 256;
constexpr Index kClasses = 10;
constexpr double kEps = 1e-3;

void report(benchmark::State& state, double multiply_adds) {
  using benchmark::Counter;
  state.counters["GFLOP/s"] = Counter(2e-9 * multiply_adds, Counter::kIsIterationInvariantRate);
  state.counters["of_gemm_peak"] = Counter(2.0 * multiply_adds / bench::gemm_peak(), Counter::kIsIterationInvariantRate);
}

Matrix<float> uniforms(Index rows, Index columns, std::uint32_t part) {
  Matrix<float> m(rows, columns);
  RandomStream(1, Stream::test, part).fill_uniform(std::span<float>(m.data(), usize(m.size())));
  return m;
}

/// Pixels as sparse as those of digits: one in five is not 0.
Matrix<float> digits(Index rows, Index columns) { return ((uniforms(rows, columns, 0).array() - 0.8F).max(0.0F) * 5.0F).matrix(); }

std::vector<std::int32_t> labels(Index rows) {
  std::vector<std::int32_t> out(usize(rows));
  for (Index i = 0; i < rows; ++i) out[usize(i)] = static_cast<std::int32_t>(i % kClasses);
  return out;
}

void product_nt(benchmark::State& state) {
  const Index m = state.range(0), n = state.range(1), k = state.range(2);
  const Matrix<float> a = uniforms(m, k, 1), b = uniforms(n, k, 2);
  Matrix<float> c(m, n);
  gemm_nt<float>(a, b, c);
  if ((c.cast<double>() - a.cast<double>() * b.cast<double>().transpose()).norm() > 1e-6 * c.cast<double>().norm()) {
    state.SkipWithError("differs from the product in double");
    return;
  }
  for (auto _ : state) {
    gemm_nt<float>(a, b, c);
    benchmark::DoNotOptimize(c.data());
  }
  report(state, static_cast<double>(m * n * k));
}

/// A dense layer with its prototypes, the same numbers in float and double.
template <class S>
test::TestBlock<S> local_block(Index inputs, Index outputs, bool relu) {
  test::TestBlock<S> block;
  block.layers.push_back(test::dense_layer<S>({1, 1, inputs}, outputs, kClasses,
                                              {.activation = relu ? ActivationKind::relu : ActivationKind::none, .loss_after_all = relu}));
  return block.set_loss(test::kMargin, Reduction::sum).draw_parameters(1);
}

/// range: inputs, outputs, directions, relu. One step of the directional estimator.
void directional_step(benchmark::State& state, Distribution distribution) {
  const Index inputs = state.range(0), outputs = state.range(1), m = state.range(2);
  const bool relu = state.range(3) != 0;
  const Executor executor(1);
  const Matrix<float> x = digits(kBatch, inputs);
  const Matrix<double> exact_x = x.cast<double>();
  const auto y = labels(kBatch);
  const auto block = local_block<float>(inputs, outputs, relu);
  auto exact_block = local_block<double>(inputs, outputs, relu);
  exact_block.theta = block.theta.cast<double>();
  Ledger ledger(1), exact_ledger(1);
  BlockLoss<float> loss(block.view(), executor, ledger);
  BlockLoss<double> exact(exact_block.view(), executor, exact_ledger);
  loss.set_batch({.x = x, .targets = {y, {}}});
  exact.set_batch({.x = exact_x, .targets = {y, {}}});

  Matrix<float> directions(m, loss.dimension());
  const RandomStream random(1, Stream::direction);
  fill_directions<float>(loss.layout(), distribution, random, executor, directions);
  Differences fast, plain;
  loss.differences(as_span(block.theta), directions, kEps, fast);
  exact.ScalarFunction<double>::differences(as_span(exact_block.theta), directions.cast<double>(), kEps, plain);
  if ((fast.delta - plain.delta).norm() > 1e-3 * plain.delta.norm()) {
    state.SkipWithError("differences differ from plain evaluations in double");
    return;
  }
  Directional<float> estimator({.directions = m, .eps = kEps, .distribution = distribution});
  Vector<float> gradient(loss.dimension());
  for (auto _ : state) benchmark::DoNotOptimize(estimator.estimate(loss, as_span(block.theta), random, executor, as_span(gradient)));
  report(state, static_cast<double>(kBatch * inputs * outputs * (1 + m)));
}

/// Backpropagation through 784-100-100-100-10 with relu and cross-entropy on the outputs.
template <class S>
test::TestBlock<S> network() {
  test::TestBlock<S> block;
  Index inputs = 784;
  for (const Index width : {100, 100, 100, 10}) {
    block.layers.push_back(
        test::dense_layer<S>({1, 1, inputs}, width, kClasses, {.activation = width > 10 ? ActivationKind::relu : ActivationKind::none}));
    inputs = width;
  }
  block.head = std::make_shared<LogitsHead<S>>(10, kClasses);
  block.end_to_end = true;
  return block.set_loss(test::kLogitsCrossEntropy, Reduction::mean).draw_parameters(1);
}

void backprop_step(benchmark::State& state) {
  const Executor executor(1);
  const Matrix<float> x = digits(kBatch, 784);
  const Matrix<double> exact_x = x.cast<double>();
  const auto y = labels(kBatch);
  auto block = network<float>();
  auto exact_block = network<double>();
  exact_block.theta = block.theta.cast<double>();
  Ledger ledger(4), exact_ledger(4);
  AdjointBlockLoss<float> loss(block.view(), executor, ledger);
  AdjointBlockLoss<double> exact(exact_block.view(), executor, exact_ledger);
  loss.set_batch({.x = x, .targets = {y, {}}});
  exact.set_batch({.x = exact_x, .targets = {y, {}}});
  Vector<float> gradient(loss.dimension());
  Vector<double> exact_gradient(loss.dimension());
  loss.value_and_gradient(as_span(block.theta), as_span(gradient));
  exact.value_and_gradient(as_span(exact_block.theta), as_span(exact_gradient));
  if ((gradient.cast<double>() - exact_gradient).norm() > 1e-4 * exact_gradient.norm()) {
    state.SkipWithError("differs from the gradient in double");
    return;
  }
  const auto rule = make_adam<float>(loss.dimension());
  for (auto _ : state) {
    benchmark::DoNotOptimize(loss.value_and_gradient(as_span(block.theta), as_span(gradient)));
    rule->step(as_span(block.theta), as_span(std::as_const(gradient)), 1e-6);
  }
  report(state, static_cast<double>(kBatch * (2 * 784 * 100 + 3 * (100 * 100 * 2 + 100 * 10))));
}

void adam(benchmark::State& state) {
  const Index parameters = state.range(0);
  const auto rule = make_adam<float>(parameters);
  const Matrix<float> drawn = uniforms(1, parameters, 3);
  const Vector<float> gradient = (drawn.row(0).transpose().array() + 0.5F).matrix();
  Vector<float> theta = Vector<float>::Zero(parameters);
  // The first step of Adam has length lr in each coordinate, whatever the gradient.
  rule->step(as_span(theta), as_span(gradient), 1e-3);
  if ((theta.array() + 1e-3F).abs().maxCoeff() > 1e-6F) {
    state.SkipWithError("the first step is wrong");
    return;
  }
  for (auto _ : state) {
    rule->step(as_span(theta), as_span(gradient), 1e-6);
    benchmark::DoNotOptimize(theta.data());
  }
  const double bytes = 7.0 * sizeof(float) * static_cast<double>(parameters);  // reads 4, writes 3
  state.counters["GB/s"] = benchmark::Counter(1e-9 * bytes, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_memcpy"] =
      benchmark::Counter(bytes / bench::copy_bandwidth(usize(parameters) * 8), benchmark::Counter::kIsIterationInvariantRate);
}

/// Values on double scores, as differences need them.
void loss_values(benchmark::State& state, const std::shared_ptr<Loss<double>>& loss) {
  const Matrix<double> scores = uniforms(kBatch, kClasses, 4).cast<double>();
  const auto y = labels(kBatch);
  const Targets targets{y, {}};
  Matrix<double> losses(kBatch, 1), gradient(kBatch, kClasses);
  // A small step along the gradient raises the loss by its squared length.
  loss->gradient(scores, kClasses, targets, gradient);
  Matrix<double> moved(kBatch, 1);
  loss->values(scores, kClasses, targets, losses);
  loss->values(scores + 1e-6 * gradient, kClasses, targets, moved);
  if (std::abs((moved - losses).sum() * 1e6 - gradient.squaredNorm()) > 1e-3 * gradient.squaredNorm()) {
    state.SkipWithError("values and gradient disagree");
    return;
  }
  for (auto _ : state) {
    loss->values(scores, kClasses, targets, losses);
    benchmark::DoNotOptimize(losses.data());
  }
  state.counters["samples/s"] = benchmark::Counter(static_cast<double>(kBatch), benchmark::Counter::kIsIterationInvariantRate);
}

void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"inputs", "outputs", "m", "relu"})->Unit(benchmark::kMicrosecond);
  for (const Index m : {1, 10}) b->Args({784, 100, m, 0})->Args({100, 100, m, 0})->Args({100, 10, m, 0})->Args({784, 100, m, 1});
}

BENCHMARK(product_nt)
    ->Args({64, 100, 784})
    ->Args({256, 100, 784})
    ->Args({64, 100, 100})
    ->Args({64, 1000, 784})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(directional_step, gaussian, Distribution::gaussian)->Apply(layers);
BENCHMARK_CAPTURE(directional_step, rademacher, Distribution::rademacher)->Apply(layers);
BENCHMARK_CAPTURE(directional_step, hadamard, Distribution::hadamard)->Apply(layers);
BENCHMARK(backprop_step)->Unit(benchmark::kMicrosecond);
BENCHMARK(adam)->Arg(99710)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(loss_values, margin, std::shared_ptr<Loss<double>>(make_margin_loss<double>()))->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(loss_values, cross_entropy, std::shared_ptr<Loss<double>>(make_cross_entropy_loss<double>(0.1)))
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ffzero

BENCHMARK_MAIN();
