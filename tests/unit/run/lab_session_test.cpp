// Ask and tell: the same training as through a device, whenever the power goes.
// SPDX-License-Identifier: MIT
#include "ffzero/run/lab_session.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/settings/configured.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

constexpr Index kPortsIn = 4, kPortsOut = 6;

Dataset table(std::uint64_t seed, Index count) {
  std::vector<float> x(usize(kPortsIn * count));
  RandomStream(seed, Stream::data).fill_normal(std::span<float>(x));
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < count; ++i) {
    labels.push_back(static_cast<std::int32_t>(i % 3));
    x[usize(kPortsIn * i + i % 3)] += 3.0F;
  }
  return {{.name = "npz", .classes = 3, .shape = {.width = kPortsIn}, .class_names = {}, .target_scale = {}}, x, labels};
}

Splits splits() { return {.train = table(1, 48), .validation = {}, .test = table(2, 24)}; }

std::vector<CallDescription> benches(std::size_t count) {
  std::vector<CallDescription> all;
  for (std::size_t i = 0; i < count; ++i) {
    const Index inputs = i == 0 ? kPortsIn : kPortsOut;
    all.push_back({.inputs = inputs,
                   .outputs = kPortsOut,
                   .parameters = inputs * kPortsOut,
                   .ranges = {{.first = 0, .count = inputs * kPortsOut, .min = -2.0, .max = 2.0}},
                   .noise = 0.0,
                   .name = "bench"});
  }
  return all;
}

Config config(std::size_t devices) {
  ConfigSources sources;
  sources.overrides = {{"dataset.name", "npz"},       {"dataset.dir", "memory"},     {"model.layers", "[]"},
                       {"training.epochs", "2"},      {"training.batch_size", "16"}, {"training.log_test", "false"},
                       {"training.log_samples", "0"}, {"gradient.directions", "2"},  {"seed", "3"}};
  for (std::size_t i = 0; i < devices; ++i) sources.devices.addresses.emplace_back("call:bench");
  return Config::parse("", "test", sources);
}

Matrix<float> measure(std::span<const float> theta, const Matrix<float>& x) {
  return (x * Eigen::Map<const Matrix<float>>(theta.data(), x.cols(), kPortsOut)).array().tanh();
}

DeviceMaps<float> maps_of(std::size_t devices) {
  DeviceMaps<float> maps;
  for (CallDescription& described : benches(devices))
    maps.push_back(std::make_shared<CallMap>(
        described, [](std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys) {
          for (std::size_t i = 0; i < thetas.size(); ++i) ys[i] = measure(thetas[i], x);
        }));
  return maps;
}

TrainerState trained_directly(std::size_t devices) {
  const Splits data = splits();
  Config settings = config(devices);
  settings.resolve(data_facts(data));
  auto trainer = make_trainer<float>(settings, data, std::make_shared<const Executor>(1), {}, maps_of(devices));
  static_cast<void>(trainer.run());
  return trainer.state();
}

void expect_same(const TrainerState& a, const TrainerState& b) {
  ASSERT_EQ(a.arrays.size(), b.arrays.size());
  for (const auto& [name, array] : a.arrays) EXPECT_EQ(array, b.arrays.at(name)) << name;
  EXPECT_EQ(a.records.size(), b.records.size());
  for (std::size_t i = 0; i < a.records.size(); ++i) EXPECT_EQ(a.records[i].training_loss, b.records[i].training_loss);
}

TEST(LabSession, TrainsAsThroughADeviceAndGoesOnAfterEveryAnswer) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "session.npz";
  for (const std::size_t devices : {std::size_t{1}, std::size_t{2}}) {
    const TrainerState direct = trained_directly(devices);
    int asked = 0, restarts = 0;
    auto session = std::make_unique<LabSession>(config(devices), splits(), benches(devices), 1);
    while (!session->finished()) {
      const auto request = session->ask();
      if (!request) continue;
      ++asked;
      session->tell(request->id, measure(request->theta, request->x));
      session->save(file);
      if (asked % 7 != 0) continue;
      ++restarts;  // the power goes
      session.reset();
      session = std::make_unique<LabSession>(config(devices), splits(), benches(devices), 1, file);
    }
    EXPECT_GE(restarts, 3);
    expect_same(session->result().state, direct);
    const Opinions by_session = session->predictor(maps_of(devices)).predict(splits().test, "test");
    EXPECT_EQ(by_session.decision.size(), 24U);
  }
}

TEST(LabSession, SaysWhyItEnded) {
  LabSession session(config(1), splits(), benches(1), 1);
  const auto request = session.ask();
  ASSERT_TRUE(request);
  session.fail(request->id, false, "a laser that is off");
  EXPECT_NE(message_of<DeviceError>([&] { static_cast<void>(session.result()); }).find("a laser that is off"), std::string::npos);
  EXPECT_TRUE(session.finished());
  EXPECT_FALSE(session.ask(0.0));
}

TEST(LabSession, RefusesFilesThatAreNone) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "x.npz";
  write_npz(file, {{"a", NpyArray::of<float>(std::vector<float>{1.0F}, {1})}});
  EXPECT_NE(message_of<DataError>([&] { const LabSession session(config(1), splits(), benches(1), 1, file); }).find("must be a session"),
            std::string::npos);
}

}  // namespace
}  // namespace ffzero::test
