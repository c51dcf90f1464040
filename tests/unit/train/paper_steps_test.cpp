// The first twenty steps of the paper's settings against a loop written out in double.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "small_runs.hpp"

namespace ffzero::test {
namespace {

constexpr Index kPaperBatch = 64, kPaperSteps = 20, kWidth = 100, kClasses = 10;

/// ff_dd on one dense layer, as plain as it can be written: every sum in double, losses of both sides from the definition.
class PlainLoop {
 public:
  PlainLoop(const Splits& splits, std::span<const double> prototypes, std::uint64_t seed)
      : splits_(splits), r_(Eigen::Map<const Matrix<double>>(prototypes.data(), kClasses, kWidth)), seed_(seed) {
    const Encoder encoder({}, splits.train.shape());
    std::vector<float> buffer(usize(encoder.output_shape().size()));
    x_.resize(splits.train.size(), encoder.output_shape().size());
    for (Index i = 0; i < x_.rows(); ++i) {
      encoder.encode(splits.train.bytes(i), buffer);
      for (Index k = 0; k < x_.cols(); ++k) x_(i, k) = static_cast<double>(buffer[usize(k)]);
    }
  }

  Vector<double> run() {
    const Index inputs = x_.cols(), size = kWidth * (inputs + 1);
    Vector<double> theta(size);
    RandomStream(seed_, Stream::initial).fill_uniform(as_span(theta));
    theta = (2.0 * theta.array() - 1.0) / std::sqrt(static_cast<double>(inputs));
    std::vector<std::uint32_t> order(usize(x_.rows()));
    RandomStream(seed_, Stream::order, 0, 0).permutation(order);
    for (Index step = 0; step < kPaperSteps; ++step) {
      Vector<double> d(size);
      RandomStream(seed_, Stream::direction, 0, static_cast<std::uint64_t>(step)).fill_normal(as_span(d));
      d /= d.norm();
      const std::span<const std::uint32_t> rows = std::span(order).subspan(usize(step * kPaperBatch), usize(kPaperBatch));
      const double eps = 1e-3, lr = 1e-3;
      const double slope = (loss(theta + eps * d, rows) - loss(theta - eps * d, rows)) / (2.0 * eps);
      theta -= lr * static_cast<double>(size) * slope * d;
    }
    return theta;
  }

 private:
  double loss(const Vector<double>& theta, std::span<const std::uint32_t> rows) const {
    const Index inputs = x_.cols();
    double sum = 0.0;
    for (const std::uint32_t row : rows) {
      Vector<double> z(kWidth);
      for (Index h = 0; h < kWidth; ++h) z[h] = theta[kWidth * inputs + h] + theta.segment(h * inputs, inputs).dot(x_.row(row).transpose());
      const Vector<double> s = r_ * z / z.norm();
      const double own = s[splits_.train.labels()[row]];
      for (Index k = 0; k < kClasses; ++k) sum += std::max(0.0, 0.3 + s[k] - own);
    }
    return sum;
  }

  const Splits& splits_;
  Matrix<double> x_, r_;
  std::uint64_t seed_;
};

template <class S>
double relative_distance(std::uint64_t seed) {
  const Splits splits = make_glyphs(3, static_cast<int>(kPaperBatch * kPaperSteps), 20);
  const Config config = resolved({{"preset", "paper"},
                                  {"seed", std::to_string(seed)},
                                  {"model.layers", "[100]"},
                                  {"training.epochs", "1"},
                                  {"training.batch_size", std::to_string(kPaperBatch)},
                                  {"training.log_samples", "0"}},
                                 splits);
  auto trainer = make_trainer<S>(config, splits, std::make_shared<const Executor>(2));
  trainer.run();
  const Vector<double> theta = as_vector(trainer.network().theta(0, 1)).template cast<double>();
  std::vector<double> prototypes;
  for (const S v : trainer.network().layer(0).head->state()) prototypes.push_back(static_cast<double>(v));
  const Vector<double> plain = PlainLoop(splits, prototypes, seed).run();
  EXPECT_GT((plain - theta).size(), 0);
  return (theta - plain).norm() / plain.norm();
}

TEST(PaperPreset, FirstTwentyStepsEqualThePlainLoopInDouble) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) EXPECT_LT(relative_distance<double>(seed), 1e-9) << "seed " << seed;
}

TEST(PaperPreset, FirstTwentyStepsInFloatStayWithinOnePartInTenThousand) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) EXPECT_LT(relative_distance<float>(seed), 1e-4) << "seed " << seed;
}

}  // namespace
}  // namespace ffzero::test
