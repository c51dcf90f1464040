// How several instruments share a batch, and what becomes of the others when one fails.
// SPDX-License-Identifier: MIT
#include "ffzero/map/replicated.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/map/dense.hpp"
#include "support/expect_error.hpp"

namespace ffzero {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// y = gain (theta_0 + theta_1 x): rows that depend on nothing else. Notes what it is asked for.
class Chip final : public ForwardMap<float>, public Instrument<float>, public AddressedReadings {
 public:
  explicit Chip(float gain = 1.0F, Index inputs = 1) : gain_(gain), inputs_(inputs) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = inputs_}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = 1}; }
  [[nodiscard]] Index parameter_count() const override { return 2; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    for (Index i = 0; i < x.rows(); ++i) y(i, 0) = gain_ * (theta[0] + theta[1] * x(i, 0));
  }
  void read_many(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys,
                 bool may_miss) const override {
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      asked.push_back(thetas[i][0]);
      ys[i].resize(x.rows(), 1);
      forward(thetas[i], x, ys[i]);
      receipt_.rows += x.rows();
      if (may_miss && gone) ys[i].setConstant(std::numeric_limits<float>::quiet_NaN());
      if (may_miss && loses) ys[i].row(0).setConstant(std::numeric_limits<float>::quiet_NaN());
    }
    rows.push_back(x.rows());
    if (broken) throw DeviceError(DeviceFailure::disconnected, "device here", "must answer", "nothing");
    if (mistaken) throw DataError("journal", "must fit", "not");
  }
  [[nodiscard]] InstrumentInfo info() const override { return {.address = "here", .identity = "chip", .noise = gain_}; }
  [[nodiscard]] DeviceReceipt receipt() const override { return receipt_; }
  [[nodiscard]] std::vector<std::string> log() const override { return {"hot"}; }
  void safe() const override {
    ++made_safe;
    if (broken || unsafe) throw DeviceError("device here", "must become safe");
  }
  void begin_readings(std::uint64_t stream, std::uint64_t /*step*/, bool /*lasting*/) const override { streams.push_back(stream); }
  void begin_rows(Index first) const override { firsts.push_back(first); }
  void pass_over(std::size_t readings) const override { passed += readings; }
  [[nodiscard]] Matrix<float> reference_readings(std::span<const float> theta, Index repeats) const override {
    return Matrix<float>::Constant(repeats, 1, gain_ * theta[0]);
  }
  void keep_inside(std::span<float> theta, double margin) const override {
    theta[0] = std::min(theta[0], limit - static_cast<float>(margin));
  }
  [[nodiscard]] double resolution() const override { return resolves; }
  void begin_series(const ReadingSeries& series) const override { streams.push_back(100 + series.stream); }
  [[nodiscard]] bool smooth() const override { return !noisy; }

  bool broken = false, unsafe = false, mistaken = false, loses = false, gone = false, noisy = false;
  float limit = 1.0F;
  double resolves = 0.0;
  mutable std::vector<float> asked;
  mutable std::vector<Index> rows, firsts;
  mutable std::vector<std::uint64_t> streams;
  mutable std::size_t passed = 0;
  mutable int made_safe = 0;

 private:
  float gain_;
  Index inputs_;
  mutable DeviceReceipt receipt_;
};

struct Rack {
  explicit Rack(std::size_t count, float first_gain = 1.0F, float step = 0.0F) {
    for (std::size_t i = 0; i < count; ++i) chips.push_back(std::make_shared<Chip>(first_gain + step * static_cast<float>(i)));
  }
  [[nodiscard]] std::vector<NumberedInstrument<float>> replicas() const {
    std::vector<NumberedInstrument<float>> all;
    for (const auto& chip : chips) all.push_back({.number = 2 + isize(all.size()), .map = chip, .address = "here"});
    return all;
  }
  std::vector<std::shared_ptr<Chip>> chips;
};

Matrix<float> samples(Index rows) {
  Matrix<float> x(rows, 1);
  for (Index i = 0; i < rows; ++i) x(i, 0) = 0.1F * static_cast<float>(i) - 0.3F;
  return x;
}

const std::vector<float> kPlus{0.5F, 0.25F}, kMinus{0.4F, -0.25F};

std::vector<Matrix<float>> read(const Instrument<float>& map, const Matrix<float>& x, bool may_miss = false) {
  const std::vector<std::span<const float>> thetas{kPlus, kMinus, kPlus};
  std::vector<Matrix<float>> ys(thetas.size());
  map.read_many(thetas, x, ys, may_miss);
  return ys;
}

TEST(ReplicatedMap, SharesRowsByTheirNumbersAlone) {
  EXPECT_EQ(share_of(8, 3, 0), (RowShare{0, 3}));
  EXPECT_EQ(share_of(8, 3, 1), (RowShare{3, 3}));
  EXPECT_EQ(share_of(8, 3, 2), (RowShare{6, 2}));
  for (Index shares = 1; shares <= 7; ++shares)
    for (Index rows = 0; rows <= 20; ++rows) {
      Index next = 0;
      for (Index i = 0; i < shares; ++i) {
        const RowShare share = share_of(rows, shares, i);
        EXPECT_EQ(share.first, next);
        EXPECT_LE(std::abs(share.rows * shares - rows), shares - 1);
        next += share.rows;
      }
      EXPECT_EQ(next, rows);
    }
}

TEST(ReplicatedMap, GivesTheBitsOfOneInstrumentForAnyNumberOfThemAndAnyBatch) {
  const Chip one;
  for (std::size_t count = 1; count <= 7; ++count) {
    const Rack rack(count);
    const ReplicatedMap<float> map(rack.replicas());
    for (const Index rows : {0, 1, 2, 3, 5, 6, 7, 8, 20}) {
      const Matrix<float> x = samples(rows);
      EXPECT_EQ(read(map, x), read(one, x)) << count << " instruments, " << rows << " rows";
      Matrix<float> y(rows, 1), wanted(rows, 1);
      map.forward(kPlus, x, y);
      one.forward(kPlus, x, wanted);
      EXPECT_EQ(y, wanted);
    }
  }
}

TEST(ReplicatedMap, ReadsEachRowOnItsOwnInstrumentAndBothSidesOfAPairThere) {
  const Rack rack(3, 1.0F, 1.0F);
  const ReplicatedMap<float> map(rack.replicas());
  const auto ys = read(map, samples(8));
  for (Index i = 0; i < 8; ++i)
    EXPECT_FLOAT_EQ(ys[1](i, 0), static_cast<float>(1 + (i < 3 ? 0 : i < 6 ? 1 : 2)) * (0.4F - 0.25F * samples(8)(i, 0)));
  for (const auto& chip : rack.chips) EXPECT_THAT(chip->asked, ElementsAre(0.5F, 0.4F, 0.5F));
  EXPECT_THAT(rack.chips[1]->rows, ElementsAre(3));
  EXPECT_THAT(rack.chips[2]->firsts, ElementsAre(6));
  // Those for whom there is no row are not asked, but know that readings were taken.
  static_cast<void>(read(map, samples(2)));
  EXPECT_THAT(rack.chips[2]->rows, ElementsAre(2));
  EXPECT_EQ(rack.chips[2]->passed, 3U);
  EXPECT_EQ(map.receipt().rows, 3 * (8 + 2));
  EXPECT_EQ(rack.chips[2]->receipt().rows, 3 * 2);
}

TEST(ReplicatedMap, HandsOnEverythingThatAnInstrumentIsTold) {
  const Rack rack(2, 1.0F, 1.0F);
  rack.chips[1]->limit = 0.5F;
  rack.chips[1]->resolves = 0.125;
  const ReplicatedMap<float> map(rack.replicas());
  map.begin_readings(7, 1, false);
  map.begin_series({.stream = 8});
  for (const auto& chip : rack.chips) EXPECT_THAT(chip->streams, ElementsAre(7U, 108U));
  std::vector<float> theta{2.0F, 0.0F};
  map.keep_inside(theta, 0.25);
  EXPECT_EQ(theta[0], 0.25F);
  EXPECT_EQ(map.resolution(), 0.125);
  EXPECT_EQ(map.info().address, "here, here");
  EXPECT_EQ(map.info().identity, "chip");
  EXPECT_EQ(map.info().noise, 2.0);
  EXPECT_THAT(map.log(), ElementsAre("device 2: hot", "device 3: hot"));
  EXPECT_EQ(map.reference_readings(kPlus, 3), (Matrix<float>(3, 1) << 0.5F, 0.5F, 1.0F).finished());
  EXPECT_TRUE(map.smooth());
  rack.chips[0]->noisy = true;
  EXPECT_FALSE(map.smooth());
  map.safe();
  for (const auto& chip : rack.chips) EXPECT_EQ(chip->made_safe, 1);
  EXPECT_FALSE(map.independent_rows());
}

TEST(ReplicatedMap, OneThatFailsIsNamedAndTheOthersAreMadeSafe) {
  const Rack rack(4);
  rack.chips[1]->broken = true;
  const ReplicatedMap<float> map(rack.replicas());
  std::string line = test::message_of<DeviceError>([&] { read(map, samples(8)); });
  EXPECT_EQ(line,
            "device 3: device here: must answer; got nothing; the others are in their safe state; to go on without: --without-device 3");
  for (const std::size_t i : {std::size_t{0}, std::size_t{2}, std::size_t{3}}) {
    EXPECT_EQ(rack.chips[i]->made_safe, 1);
    EXPECT_THAT(rack.chips[i]->asked, ElementsAre(0.5F, 0.4F, 0.5F)) << "what it had begun is read to its end";
  }
  EXPECT_EQ(rack.chips[1]->made_safe, 0);
  rack.chips[3]->broken = true;
  rack.chips[0]->unsafe = true;
  line = test::message_of<DeviceError>([&] { read(map, samples(8)); });
  EXPECT_TRUE(line.starts_with("devices 3, 5: ")) << line;
  EXPECT_THAT(line, HasSubstr("device 2 did not confirm the safe state; to go on without: --without-device 3 --without-device 5"));
  // What fails on all of them is not said to be the fault of one.
  for (const auto& chip : rack.chips) chip->broken = true;
  line = test::message_of<DeviceError>([&] { read(map, samples(8)); });
  EXPECT_EQ(line, "device here: must answer; got nothing");
  rack.chips[2]->broken = false;
  rack.chips[2]->mistaken = true;
  EXPECT_THAT(test::message_of<DataError>([&] { read(map, samples(8)); }), HasSubstr("journal: must fit"));
  EXPECT_THROW(map.safe(), DeviceError);
}

TEST(ReplicatedMap, DoesWithoutSome) {
  const Rack rack(3, 1.0F, 1.0F);
  auto replicas = rack.replicas();
  replicas[0].map = nullptr;
  const ReplicatedMap<float> map(replicas);
  const auto ys = read(map, samples(4));
  EXPECT_FLOAT_EQ(ys[0](0, 0), 2.0F * (0.5F - 0.25F * 0.3F));
  EXPECT_TRUE(rack.chips[0]->asked.empty());
  EXPECT_EQ(map.instrument(0), nullptr);
  EXPECT_EQ(map.instrument(2), rack.chips[2].get());
  rack.chips[1]->broken = true;
  EXPECT_THAT(test::message_of<DeviceError>([&] { read(map, samples(4)); }), HasSubstr("--without-device 3"));
}

TEST(ReplicatedMap, LosesRowsOfOneAlone) {
  const Rack rack(2);
  rack.chips[1]->loses = true;
  const ReplicatedMap<float> map(rack.replicas());
  const auto ys = read(map, samples(4), true);
  for (const auto& y : ys)
    for (Index i = 0; i < 4; ++i) EXPECT_EQ(std::isnan(y(i, 0)), i == 2);
  EXPECT_TRUE(read(map, samples(4), false)[0].allFinite());
}

TEST(ReplicatedMap, AsksOneThatIsGoneThreeTimesAndNoMoreUntilItIsToldTo) {
  const Rack rack(3);
  Chip& chip = *rack.chips[1];
  const ReplicatedMap<float> map(rack.replicas());
  chip.gone = true;
  for (int call = 0; call < 7; ++call) {
    const auto ys = read(map, samples(8), true);
    for (const auto& y : ys)
      for (Index i = 0; i < 8; ++i) EXPECT_EQ(std::isnan(y(i, 0)), i >= 3 && i < 6) << call << i;
    EXPECT_EQ(isize(chip.rows.size()), std::min(call + 1, 3));
  }
  EXPECT_EQ(map.attendance(1), (ReplicatedMap<float>::Attendance{.lost = 3, .unasked = 4 * 3 * 3}));
  EXPECT_EQ(chip.passed, 4U * 3U) << "its readings keep their numbers";
  EXPECT_EQ(chip.receipt().rows, 3 * 3 * 3);
  EXPECT_EQ(map.attendance(0), ReplicatedMap<float>::Attendance{});
  // What cannot miss a row asks everybody; who is at rest stays so until it is told.
  EXPECT_TRUE(read(map, samples(8), false)[0].allFinite());
  EXPECT_EQ(chip.rows.size(), 4U);
  static_cast<void>(read(map, samples(8), true));
  EXPECT_EQ(chip.rows.size(), 4U);
  map.ask_all();
  for (int call = 0; call < 5; ++call) static_cast<void>(read(map, samples(8), true));
  EXPECT_EQ(chip.rows.size(), 4U + 3U);
  // One that answers again begins anew, and so does one that has gone on.
  map.ask_all();
  chip.gone = false;
  EXPECT_TRUE(read(map, samples(8), true)[0].allFinite());
  EXPECT_EQ(map.attendance(1).lost, 0);
  map.resume_attendance(1, 7);
  EXPECT_EQ(map.attendance(1).lost, 3);
  static_cast<void>(read(map, samples(8), true));
  EXPECT_EQ(chip.rows.size(), 4U + 3U + 1U);
}

TEST(ReplicatedMap, PutsNobodyToRestForWhatNobodyAnswers) {
  const Rack rack(2);
  const ReplicatedMap<float> map(rack.replicas());
  rack.chips[0]->gone = true;
  for (int call = 0; call < 4; ++call) static_cast<void>(read(map, samples(4), true));
  EXPECT_TRUE(map.attendance(0).at_rest());
  // Now the other one is gone too: everybody is asked at every call.
  rack.chips[1]->gone = true;
  const std::size_t before = rack.chips[0]->rows.size(), others = rack.chips[1]->rows.size();
  for (int call = 0; call < 6; ++call) static_cast<void>(read(map, samples(4), true));
  EXPECT_EQ(rack.chips[0]->rows.size(), before + 5);
  EXPECT_EQ(rack.chips[1]->rows.size(), others + 6);
  // A call without a row for one says nothing about it.
  map.ask_all();
  rack.chips[0]->gone = false;
  for (int call = 0; call < 5; ++call) static_cast<void>(read(map, samples(1), true));
  EXPECT_EQ(map.attendance(1), ReplicatedMap<float>::Attendance{});
}

TEST(ReplicatedMap, RefusesWhatCannotShareParameters) {
  Rack rack(2);
  auto replicas = rack.replicas();
  replicas[1].map = std::make_shared<Chip>(1.0F, 3);
  EXPECT_THAT(test::message_of<ConfigError>([&] { ReplicatedMap<float> map(replicas); }),
              HasSubstr("device 3: must have the inputs, outputs and parameters of device 2, [1,1,2]"));
  replicas[1].map = std::make_shared<Dense<float>>(Shape{.width = 1}, 1);
  EXPECT_THAT(test::message_of<ConfigError>([&] { ReplicatedMap<float> map(replicas); }), HasSubstr("must be an instrument"));
  replicas[0].map = replicas[1].map = nullptr;
  EXPECT_THAT(test::message_of<ConfigError>([&] { ReplicatedMap<float> map(replicas); }), HasSubstr("at least one device"));
  EXPECT_THROW(ReplicatedMap<float>({}), ConfigError);
}

}  // namespace
}  // namespace ffzero
