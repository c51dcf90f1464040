// Devices that the program itself calls, and readings that somebody else takes.
// SPDX-License-Identifier: MIT
#include "ffzero/device/call_map.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

#include "ffzero/base/error.hpp"
#include "ffzero/device/request_queue.hpp"
#include "support/expect_error.hpp"

namespace ffzero::test {
namespace {

CallDescription small() { return {.inputs = 3, .outputs = 2, .parameters = 6, .ranges = {}, .noise = 0.0, .name = "bench"}; }

void product(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys) {
  for (std::size_t i = 0; i < thetas.size(); ++i) ys[i] = x * Eigen::Map<const Matrix<float>>(thetas[i].data(), 3, 2);
}

TEST(CallMap, GivesTheFunctionItsParametersWhereTheyLie) {
  const float* seen = nullptr;
  const CallMap map(small(), [&](auto thetas, const auto& x, auto ys) {
    seen = thetas[0].data();
    product(thetas, x, ys);
  });
  Vector<float> theta(6);
  theta << 1, 2, 3, 4, 5, 6;
  Matrix<float> x = Matrix<float>::Ones(4, 3), y(4, 2);
  map.forward(as_span(std::as_const(theta)), x, y);
  EXPECT_EQ(seen, theta.data());
  EXPECT_EQ(y(3, 0), 9.0F);
  EXPECT_EQ(y(3, 1), 12.0F);
  const DeviceReceipt receipt = map.receipt();
  EXPECT_EQ(receipt.rows, 4);
  EXPECT_EQ(receipt.sets, 1);
  EXPECT_EQ(receipt.values, 6);
  theta(2) = 7;
  map.forward(as_span(std::as_const(theta)), x, y);
  map.forward(as_span(std::as_const(theta)), x, y);
  EXPECT_EQ(map.receipt().sets, 2) << "the third evaluation writes nothing";
  EXPECT_EQ(map.receipt().values, 7);
}

TEST(CallMap, GivesTheSlopesOfItsTwinPerUnitOfTheta) {
  for (const std::vector<ParameterRange>& ranges :
       {std::vector<ParameterRange>{},
        {{.first = 0, .count = 4, .min = 0.0, .max = 5.0}, {.first = 4, .count = 2, .min = 0.0, .max = 6.0, .period = 6.0}}}) {
    CallDescription described = small();
    described.ranges = ranges;
    const CallTwin twin{.pullback = [](std::span<const float>, const auto& x, const auto& gy,
                                       std::span<float> gtheta) { Eigen::Map<Matrix<float>>(gtheta.data(), 3, 2) = x.transpose() * gy; },
                        .forward = {},
                        .learn = {}};
    const CallMap map(described, product, {}, twin);
    ASSERT_NE(map.twin(), nullptr);
    EXPECT_FALSE(map.twin()->says());
    Vector<float> theta(6), slopes = Vector<float>::Constant(6, 1.0F);
    theta << 0.1F, -0.2F, 0.3F, -0.4F, 0.5F, -0.5F;
    Matrix<float> x(4, 3), gy(4, 2);
    for (Index i = 0; i < 12; ++i) x.data()[i] = static_cast<float>(i % 5) - 1.5F;
    for (Index i = 0; i < 8; ++i) gy.data()[i] = static_cast<float>(i % 3) - 0.5F;
    map.twin()->pull(as_span(std::as_const(theta)), x, gy, as_span(slopes));
    const float step = 0.125F;
    for (Index i = 0; i < 6; ++i) {
      const auto loss = [&](float moved) {
        Vector<float> at = theta;
        at(i) += moved;
        Matrix<float> y(4, 2);
        map.forward(as_span(std::as_const(at)), x, y);
        return y.cast<double>().cwiseProduct(gy.cast<double>()).sum();
      };
      EXPECT_NEAR(slopes(i) - 1.0, (loss(step) - loss(-step)) / (2.0 * step), 1e-3) << "they are added";
    }
  }
  EXPECT_EQ(CallMap(small(), product).twin(), nullptr);
}

TEST(CallMap, TurnsRangesIntoTheUnitsOfTheDevice) {
  CallDescription described = small();
  described.ranges = {{.first = 0, .count = 4, .min = 0.0, .max = 5.0, .step = 0.01, .safe = 1.0},
                      {.first = 4, .count = 2, .min = 0.0, .max = 6.0, .period = 6.0}};
  std::vector<float> seen, left;
  const CallMap map(
      described,
      [&](auto thetas, const auto& x, auto ys) {
        seen.assign(thetas[0].begin(), thetas[0].end());
        product(thetas, x, ys);
      },
      [&](std::span<const float> values) { left.assign(values.begin(), values.end()); });
  Vector<float> theta(6);
  theta << -1, 1, 0, 0.5F, 0, 2.0F;
  Matrix<float> y(1, 2);
  map.forward(as_span(std::as_const(theta)), Matrix<float>::Ones(1, 3), y);
  EXPECT_EQ(seen, (std::vector<float>{0, 5, 2.5F, 3.75F, 3, 3}));
  EXPECT_DOUBLE_EQ(map.resolution(), 0.004);
  theta(0) = 3.0F;
  map.keep_inside(as_span(theta), 0.25);
  EXPECT_EQ(theta(0), 0.75F);
  EXPECT_EQ(theta(5), 2.0F) << "phases have no limits";
  map.safe();
  EXPECT_EQ(left, (std::vector<float>{1, 1, 1, 1, 0, 0}));
}

TEST(CallMap, CountsReadingsFromWhereTheyBegin) {
  std::vector<CallAddress> seen;
  CallMap* self = nullptr;
  CallMap map(small(), [&](auto thetas, const auto& x, auto ys) {
    seen.push_back(self->address());
    product(thetas, x, ys);
  });
  self = &map;
  const Vector<float> theta = Vector<float>::Ones(6);
  const std::vector<std::span<const float>> pair{as_span(theta), as_span(theta)};
  std::vector<Matrix<float>> ys(2);
  map.begin_readings(8, 5, false);
  map.read_many(pair, Matrix<float>::Ones(1, 3), ys, false);
  map.read_many(pair, Matrix<float>::Ones(1, 3), ys, false);
  map.begin_readings(8, 6, false);
  map.read_many(pair, Matrix<float>::Ones(1, 3), ys, false);
  EXPECT_EQ(seen, (std::vector<CallAddress>{{{0, 8, 5, 0}}, {{0, 8, 5, 2}}, {{0, 8, 6, 0}}}));
}

TEST(CallMap, RefusesWhatCannotBe) {
  const auto refused = [](const auto& change, const char* part) {
    CallDescription described = small();
    change(described);
    EXPECT_NE(message_of<ConfigError>([&] { const CallMap map(described, product); }).find(part), std::string::npos) << part;
  };
  refused([](CallDescription& d) { d.inputs = 0; }, "CallDescription::inputs: must be at least 1; got 0");
  refused([](CallDescription& d) { d.parameters = -1; }, "CallDescription::parameters");
  refused([](CallDescription& d) { d.noise = -1.0; }, "CallDescription::noise");
  refused([](CallDescription& d) { d.ranges = {{.first = 0, .count = 6, .min = 2.0, .max = 2.0}}; }, "smallest value below the largest");
  refused([](CallDescription& d) { d.ranges = {{.first = 0, .count = 6, .min = 1.0, .max = 2.0}}; }, "contain the safe value");
  refused([](CallDescription& d) { d.ranges = {{.first = 0, .count = 5, .min = 0.0, .max = 2.0}}; }, "all 6 parameters");
  refused([](CallDescription& d) { d.ranges = {{.first = 1, .count = 5, .min = 0.0, .max = 2.0}}; }, "without gaps");
  refused([](CallDescription& d) { d.ranges = {{.first = 0, .count = 6, .min = 0.0, .max = 2.0, .step = -1.0}}; }, "steps of 0 or more");
  EXPECT_THROW(const CallMap map(small(), {}), ConfigError);

  const CallMap dark(small(), [](auto, const auto&, auto ys) { ys[0].setConstant(std::numeric_limits<float>::quiet_NaN()); });
  const Vector<float> theta = Vector<float>::Ones(6);
  Matrix<float> y(1, 2);
  EXPECT_NE(message_of<DeviceError>([&] { dark.forward(as_span(theta), Matrix<float>::Ones(1, 3), y); }).find("bench: output 0 of row 0"),
            std::string::npos);
  EXPECT_THROW(dark.forward(as_span(theta), Matrix<float>::Ones(1, 4), y), ShapeError);
}

// One training thread that asks for `steps` pairs; the answers are the requests' own numbers.
std::vector<float> readings_of(RequestQueue& queue, int steps) {
  std::vector<float> read;
  const Vector<float> theta = Vector<float>::Ones(2);
  const std::vector<std::span<const float>> pair{as_span(theta), as_span(theta)};
  for (int s = 0; s < steps; ++s) {
    std::vector<Matrix<float>> ys(2, Matrix<float>(1, 1));
    queue.read(0, {.key = {.step = static_cast<std::uint64_t>(s)}}, pair, Matrix<float>::Constant(1, 3, 1.0F), ys);
    for (const auto& y : ys) read.push_back(y(0, 0));
  }
  queue.finish();
  return read;
}

Matrix<float> number(double value) { return Matrix<float>::Constant(1, 1, static_cast<float>(value)); }

TEST(RequestQueue, GivesAnswersToTheirRequestsWhateverTheirOrder) {
  RequestQueue queue;
  std::vector<float> read;
  std::thread training([&] { read = readings_of(queue, 50); });
  std::vector<std::thread> workers;
  std::atomic<int> told{0};
  for (int w = 0; w < 4; ++w)
    workers.emplace_back([&, w] {
      while (const auto request = queue.ask()) {
        if (w % 2 == 1) std::this_thread::yield();
        queue.tell(request->id, number(static_cast<double>(request->id)));
        queue.tell(request->id, number(static_cast<double>(request->id)));  // the same answer twice
        ++told;
      }
    });
  training.join();
  for (auto& worker : workers) worker.join();
  ASSERT_EQ(read.size(), 100U);
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], static_cast<float>(i));
  EXPECT_EQ(told.load(), 100);
  EXPECT_TRUE(queue.finished());
}

TEST(RequestQueue, RefusesAnswersThatDoNotFit) {
  RequestQueue queue;
  std::thread training([&] { EXPECT_THROW(static_cast<void>(readings_of(queue, 2)), DeviceError); });
  const auto first = queue.ask(), second = queue.ask();
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(queue.ask(0.0)) << "both are worked on";
  EXPECT_EQ(queue.outstanding(), 2U);
  EXPECT_THROW(queue.tell(7, number(1.0)), UsageError) << "never asked";
  EXPECT_THROW(queue.tell(first->id, Matrix<float>::Ones(2, 1)), DataError);
  EXPECT_THROW(queue.tell(first->id, number(std::numeric_limits<double>::infinity())), DataError);
  queue.tell(second->id, number(2.0));
  EXPECT_THROW(queue.tell(second->id, number(3.0)), UsageError) << "another answer";
  queue.fail(first->id, true);
  const auto again = queue.ask();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->id, first->id);
  queue.tell(first->id, number(1.0));
  const auto third = queue.ask();
  ASSERT_TRUE(third);
  EXPECT_THROW(queue.tell(second->id, number(3.0)), UsageError) << "training has gone on, and still";
  queue.tell(second->id, number(2.0));
  queue.close("a lab that closes");
  training.join();
  EXPECT_TRUE(queue.finished());
  EXPECT_FALSE(queue.ask(0.0));
}

TEST(RequestQueue, GoesOnFromKeptAnswers) {
  RequestQueue queue;
  std::atomic<bool> thrown{false};
  std::thread training([&] {
    try {
      static_cast<void>(readings_of(queue, 5));
    } catch (const DeviceError& e) {
      thrown = e.reason() == DeviceFailure::disconnected;
    }
  });
  for (int i = 0; i < 5; ++i) {
    const auto request = queue.ask();
    ASSERT_TRUE(request);
    queue.tell(request->id, number(10.0 + i));
  }
  const RequestQueue::Kept kept = queue.kept();
  queue.close("power");
  training.join();
  EXPECT_TRUE(thrown.load());
  EXPECT_EQ(kept.next, 6U);
  EXPECT_EQ(kept.answers.size(), 5U);

  RequestQueue resumed(kept);
  std::vector<float> read;
  std::thread more([&] { read = readings_of(resumed, 5); });
  double next = 15.0;
  while (const auto request = resumed.ask()) resumed.tell(request->id, number(next++));
  more.join();
  ASSERT_EQ(read.size(), 10U);
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], 10.0F + static_cast<float>(i));

  resumed.mark();
  EXPECT_EQ(resumed.kept().answers.size(), 2U) << "those of the last step";
}

}  // namespace
}  // namespace ffzero::test
