// Differences of an instrument that does not give everything.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "ffzero/map/instrument.hpp"
#include "ffzero/objective/block_loss.hpp"
#include "ffzero/objective/one_sided_loss.hpp"
#include "ffzero/objective/twin_block_loss.hpp"
#include "support/many_blocks.hpp"

namespace ffzero {
namespace {

/// A dense layer behind which something loses rows: (reading, row).
class Losing final : public ForwardMap<double>, public Instrument<double> {
 public:
  explicit Losing(std::shared_ptr<ForwardMap<double>> map) : map_(std::move(map)) {}
  [[nodiscard]] Shape input_shape() const override { return map_->input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return map_->output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return map_->parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return map_->parameter_layout(); }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& x, MatrixRef<double> y) const override {
    map_->forward(theta, x, y);
  }
  [[nodiscard]] InstrumentInfo info() const override { return {}; }
  [[nodiscard]] DeviceReceipt receipt() const override { return {}; }
  [[nodiscard]] std::vector<std::string> log() const override { return {}; }
  void safe() const override {}
  void begin_readings(std::uint64_t /*stream*/, std::uint64_t /*step*/, bool /*lasting*/) const override {}
  void read_many(std::span<const std::span<const double>> thetas, const ConstMatrixRef<double>& x, std::span<Matrix<double>> ys,
                 bool may_miss) const override {
    asked_may_miss = may_miss;
    ++calls;
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      ys[i].resize(x.rows(), output_shape().size());
      map_->forward(thetas[i], x, ys[i]);
      for (Index b = 0; b < x.rows(); ++b)
        if (may_miss && lost.contains({isize(i), b})) ys[i].row(b).setConstant(NAN);
    }
  }
  [[nodiscard]] Matrix<double> reference_readings(std::span<const double> /*theta*/, Index /*repeats*/) const override { return {}; }
  void keep_inside(std::span<double> /*theta*/, double /*margin*/) const override {}
  [[nodiscard]] double resolution() const override { return 0.0; }

  std::set<std::pair<Index, Index>> lost;
  mutable bool asked_may_miss = false;
  mutable Index calls = 0;

 private:
  std::shared_ptr<ForwardMap<double>> map_;
};

class MissingReadings : public ::testing::Test {
 protected:
  MissingReadings() {
    instrument_ = std::make_shared<Losing>(case_.block.layers[0].map);
    case_.block.layers[0].map = instrument_;
  }
  Differences measure(const Batch<double>& batch, bool may_miss) {
    BlockLoss<double> loss(case_.block.view(), executor_, ledger_);
    loss.set_batch(batch);
    Differences out;
    out.may_miss = may_miss;
    loss.differences(as_span(case_.block.theta), directions_, 0.1, out);
    return out;
  }

  test::Case<double> case_ = test::dense_case<double>(
      "cross_entropy", Reduction::mean, {.activation = ActivationKind::relu, .normalise = NormaliseKind::length, .loss_after_all = true});
  std::shared_ptr<Losing> instrument_;
  Executor executor_{1};
  Ledger ledger_{1};
  Matrix<double> directions_ = test::normal_matrix<double>(3, case_.block.theta.size(), 5);
};

TEST_F(MissingReadings, InvalidateASampleInThatPairOnly) {
  const Differences whole = measure(case_.batch(), true);
  EXPECT_TRUE(whole.came.empty());
  // Readings in the order + - - + + -: the second pair loses sample 0 on one side, the third samples 0 and 1.
  instrument_->lost = {{2, 0}, {4, 0}, {5, 1}};
  const Differences some = measure(case_.batch(), true);
  EXPECT_EQ(some.pairs(), 3);
  EXPECT_EQ(some.delta(0, 0), whole.delta(0, 0));
  const auto of_rest = [&](Index first) {
    const Batch<double> all = case_.batch();
    const Index rows = all.x.rows() - first;
    const Differences rest = measure({.x = all.x.bottomRows(rows), .targets = all.targets.rows(first, rows)}, false);
    return rest.delta;
  };
  instrument_->lost.clear();
  EXPECT_NEAR(some.delta(1, 0), of_rest(1)(1, 0), 1e-14);
  EXPECT_NEAR(some.delta(2, 0), of_rest(2)(2, 0), 1e-14);
  EXPECT_TRUE(std::isfinite(some.mean_loss));
}

TEST_F(MissingReadings, SettingsThatAreReadTogetherAreOneRequest) {
  TwinBlockLoss<double> loss(case_.block.view(), executor_, ledger_);
  loss.set_batch(case_.batch());
  const Matrix<double> x = case_.batch().x.topRows(2);
  std::vector<Vector<double>> settings;
  for (const double factor : {1.0, 0.5, -2.0}) settings.push_back(factor * case_.block.theta);
  std::vector<std::span<const double>> asked;
  for (const auto& setting : settings) asked.push_back(as_span(setting));
  std::vector<Matrix<double>> together(3);
  loss.read_many(asked, x, together);
  EXPECT_EQ(instrument_->calls, 1);
  EXPECT_FALSE(instrument_->asked_may_miss);
  EXPECT_EQ(ledger_.layer(0).training, 6);
  for (std::size_t i = 0; i < settings.size(); ++i) {
    Matrix<double> alone;
    loss.read(as_span(std::as_const(settings[i])), x, alone);
    EXPECT_EQ(together[i], alone) << i;
  }
  EXPECT_NE(together[0], together[2]);
  EXPECT_EQ(ledger_.layer(0).training, 12);
}

TEST(InstrumentInGroups, GetsADifferenceForEachGroupFromTheSameReadings) {
  auto made = test::dense_case<double>("cross_entropy", Reduction::mean, {.groups = 3});
  const Executor executor{1};
  Ledger ledger{1};
  const Matrix<double> directions = test::normal_matrix<double>(3, made.block.theta.size(), 5);
  const auto measure = [&](bool may_miss) {
    BlockLoss<double> loss(made.block.view(), executor, ledger);
    loss.set_batch(made.batch());
    Differences out;
    out.may_miss = may_miss;
    loss.differences(as_span(made.block.theta), directions, 0.1, out);
    return out;
  };
  const Differences simulated = measure(false);
  const std::int64_t cost = ledger.layer(0).training;
  const auto instrument = std::make_shared<Losing>(made.block.layers[0].map);
  made.block.layers[0].map = instrument;
  const Differences read = measure(true);
  EXPECT_TRUE(instrument->asked_may_miss) << "read together";
  ASSERT_EQ(read.delta.cols(), 3);
  EXPECT_LT((read.delta - simulated.delta).cwiseAbs().maxCoeff(), 1e-12);
  EXPECT_NEAR(read.mean_loss, simulated.mean_loss, 1e-12);
  EXPECT_EQ(ledger.layer(0).training, 2 * cost) << "one evaluation moves all groups";
  // A row that one side lacks is left out of every group.
  instrument->lost = {{0, 0}};
  const Differences some = measure(true);
  for (Index g = 0; g < 3; ++g) EXPECT_NE(some.delta(0, g), read.delta(0, g));
  EXPECT_EQ(some.delta.bottomRows(2), read.delta.bottomRows(2));
}

TEST_F(MissingReadings, LeaveOutAPairThatHasNone) {
  const Differences whole = measure(case_.batch(), true);
  for (Index b = 0; b < case_.x.rows(); ++b) instrument_->lost.insert({3, b});
  const Differences some = measure(case_.batch(), true);
  EXPECT_EQ(some.came, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(some.delta(1, 0), 0.0);
  EXPECT_EQ(some.delta(0, 0), whole.delta(0, 0));
  EXPECT_EQ(some.delta(2, 0), whole.delta(2, 0));
  EXPECT_NEAR(some.mean_loss, whole.mean_loss, 0.1);
  EXPECT_EQ(ledger_.layer(0).training, 2 * 6 * case_.x.rows()) << "failed readings are billed";
  for (const Index reading : {0, 4})
    for (Index b = 0; b < case_.x.rows(); ++b) instrument_->lost.insert({reading, b});
  EXPECT_EQ(measure(case_.batch(), true).pairs(), 0);
}

TEST_F(MissingReadings, AreAskedForWhereNobodyCanDoWithoutThem) {
  static_cast<void>(measure(case_.batch(), false));
  EXPECT_FALSE(instrument_->asked_may_miss);
  Reads<double> reads;
  Batch<double> batch = case_.batch();
  batch.reads = &reads;
  static_cast<void>(measure(batch, true));
  EXPECT_FALSE(instrument_->asked_may_miss);
}

TEST_F(MissingReadings, LeaveOneSidedSlopesToTheSamplesThatCame) {
  const auto measure_some = [&](const Batch<double>& batch) {
    OneSidedBlockLoss<double> loss(case_.block.view(), executor_, ledger_);
    loss.set_batch(batch);
    Vector<double> gradient = Vector<double>::Constant(case_.block.theta.size(), -7.0);
    const std::vector<std::vector<Index>> moves{{0}, {3}, {5}};
    const OneSidedSlopes slopes = loss.slopes(as_span(case_.block.theta), moves, 0.1, as_span(gradient));
    EXPECT_EQ(gradient[1], -7.0) << "not asked for";
    return std::pair{slopes, gradient};
  };
  const Batch<double> all = case_.batch();
  const Index rows = all.x.rows();
  const auto [whole, exact] = measure_some(all);
  EXPECT_EQ(whole.missing(), 0);
  // The second move loses sample 0, the third all of them.
  instrument_->lost = {{2, 0}};
  for (Index b = 0; b < rows; ++b) instrument_->lost.insert({3, b});
  const auto [some, slopes] = measure_some(all);
  EXPECT_TRUE(instrument_->asked_may_miss);
  EXPECT_EQ(some.came, (std::vector<bool>{true, true, false}));
  EXPECT_EQ(some.loss, whole.loss);
  EXPECT_EQ(slopes[0], exact[0]);
  EXPECT_EQ(slopes[5], 0.0);
  instrument_->lost.clear();
  const auto [rest, without] = measure_some({.x = all.x.bottomRows(rows - 1), .targets = all.targets.rows(1, rows - 1)});
  EXPECT_NEAR(slopes[3], without[3], 1e-13);
  EXPECT_NE(slopes[3], exact[3]);
  // Without the reading that all others are held against a sample says nothing.
  instrument_->lost = {{0, 0}};
  const auto [less, same] = measure_some(all);
  EXPECT_NEAR(less.loss, rest.loss, 1e-13);
  EXPECT_NEAR(same[0], without[0], 1e-13);
  EXPECT_EQ(ledger_.layer(0).training, 4 * (3 * rows + rows - 1)) << "failed readings are billed";
}

TEST_F(MissingReadings, SayNothingOfTheSlopeOfASample) {
  const OneSidedBlockLoss<double> loss = [&] {
    OneSidedBlockLoss<double> made(case_.block.view(), executor_, ledger_);
    made.set_batch(case_.batch());
    return made;
  }();
  const SampleSlopes whole = loss.sample_slopes(as_span(case_.block.theta));
  instrument_->lost = {{0, 1}, {0, 3}};
  const SampleSlopes part = loss.sample_slopes(as_span(case_.block.theta));
  double sum = 0.0;
  for (std::size_t b = 0; b < whole.lengths.size(); ++b) {
    EXPECT_GT(whole.lengths[b], 0.0);
    EXPECT_EQ(part.lengths[b], b == 1 || b == 3 ? -1.0 : whole.lengths[b]);
    sum += whole.lengths[b];
  }
  EXPECT_GT(sum, 0.0);
  EXPECT_TRUE(std::isfinite(part.loss));
  EXPECT_NE(part.loss, whole.loss);
  EXPECT_NEAR(part.loss, whole.loss, 0.5 * whole.loss);
}

}  // namespace
}  // namespace ffzero
