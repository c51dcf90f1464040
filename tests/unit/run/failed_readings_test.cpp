// What a device has read in a step that fails is on the bill.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/base/error.hpp"
#include "ffzero/device/call_map.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero::test {
namespace {

constexpr Index kInputs = 4, kOutputs = 6, kSamples = 32, kBatch = 16;

Dataset table(std::uint64_t seed) {
  std::vector<float> x(usize(kInputs * kSamples));
  RandomStream(seed, Stream::data).fill_normal(std::span<float>(x));
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < kSamples; ++i) labels.push_back(static_cast<std::int32_t>(i % 3));
  return {{.name = "npz", .classes = 3, .shape = {.width = kInputs}, .class_names = {}, .target_scale = {}}, x, labels};
}

/// A bench that gives up when it is called for the `fails_at`-th time. Calls: one for each vector of parameters.
Network<float> network_of(Index fails_at, bool kept) {
  auto calls = std::make_shared<Index>(0);
  const CallDescription description{
      .inputs = kInputs, .outputs = kOutputs, .parameters = kInputs * kOutputs, .ranges = {}, .noise = 0.0, .name = "bench", .kept = kept};
  auto bench = std::make_shared<CallMap>(description, [calls, fails_at](std::span<const std::span<const float>> thetas,
                                                                        const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys) {
    if (++*calls == fails_at) throw DeviceError(DeviceFailure::disconnected, "bench", "must answer", "nothing", "connect it again");
    for (std::size_t i = 0; i < thetas.size(); ++i) ys[i] = x * Eigen::Map<const Matrix<float>>(thetas[i].data(), kInputs, kOutputs);
  });
  Layer<float> layer;
  layer.map = bench;
  return {{.input = {.width = kInputs}, .classes = 3, .layers = {layer}}, std::make_shared<const Executor>(1)};
}

/// What a run is billed that fails at this call, and the rows that the bench has answered.
std::pair<Evaluations, std::int64_t> bill(Index fails_at, bool kept = false) {
  const Splits splits{.train = table(1), .validation = {}, .test = table(2)};
  TrainOptions options;
  options.block = {.estimator = DirectionalOptions{.directions = 3}, .epochs = 2, .batch_size = kBatch};
  options.log = {.train_samples = 0, .test = true};
  Trainer<float> trainer(make_plan(options, 1, "npz", false), network_of(fails_at, kept), splits, std::make_shared<const Executor>(1));
  try {
    static_cast<void>(trainer.run());
  } catch (const DeviceError&) {
    EXPECT_GT(fails_at, 0);
  }
  const auto& bench = dynamic_cast<const CallMap&>(*trainer.network().layer(0).map);
  return {trainer.state().ledger.total(), bench.receipt().rows};
}

TEST(FailedReadings, AreBilledWhereverTheyHappen) {
  const auto [whole, read] = bill(0);
  EXPECT_EQ(whole.failed, 0);
  EXPECT_EQ(whole.training + whole.propagation + whole.logging, read);
  Index calls = 1;
  bool in_the_middle = false;
  for (;; ++calls) {
    const auto [billed, rows] = bill(calls);
    EXPECT_EQ(billed.training + billed.propagation + billed.logging + billed.failed, rows) << "failed at call " << calls;
    in_the_middle = in_the_middle || billed.failed > 0;
    if (rows == read) break;
    ASSERT_LT(calls, 100);
  }
  EXPECT_GT(calls, 8) << "calls of the steps of two epochs and of the evaluations between them";
  EXPECT_TRUE(in_the_middle);
  EXPECT_EQ(bill(3, true).first.failed, 0) << "whoever goes on gets them from where they are kept";
}

}  // namespace
}  // namespace ffzero::test
