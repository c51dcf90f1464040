// Readings in a file: kept over the end of a process, bounded, and never taken for those of something else.
// SPDX-License-Identifier: MIT
#include "ffzero/device/journal.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "ffzero/base/random.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/device/recorded.hpp"
#include "memory_device.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

ReadingKey key(std::uint64_t number, std::uint64_t step = 7) { return {.device = 1, .stream = 2, .step = step, .number = number}; }

ReadingJournal::Entry entry(std::uint64_t number, const std::string& values, bool lasting = false) {
  return {.key = key(number),
          .digest = 100 + number,
          .reading = {.values = values, .bill = {.rows = 3, .retries = 1, .seconds = 0.5}, .lasting = lasting}};
}

class ReadingJournalTest : public ::testing::Test {
 protected:
  [[nodiscard]] ReadingJournal open(ReadingJournal::Keep keep = ReadingJournal::Keep::since_save, std::int64_t most = 1 << 20) {
    return {file_, {.run = 42, .keep = keep, .most_bytes = most, .message = [this](const std::string& m) { said_.push_back(m); }}};
  }
  static void add(ReadingJournal& journal, std::vector<ReadingJournal::Entry> entries) { journal.add(entries); }
  [[nodiscard]] static std::string values(ReadingJournal& journal, std::uint64_t number) {
    const auto found = journal.find(key(number), 100 + number);
    return found ? found->values : "-";
  }
  [[nodiscard]] std::string content() const { return read_file(file_); }

  TemporaryFolder folder_;
  fs::path file_ = folder_.path() / ReadingJournal::kFile;
  std::vector<std::string> said_;
};

TEST_F(ReadingJournalTest, GivesReadingsBackInAnotherProcess) {
  {
    ReadingJournal journal = open();
    add(journal, {entry(0, "a"), entry(1, std::string("\0\n", 2))});
    add(journal, {entry(2, "")});
    EXPECT_EQ(values(journal, 1), std::string("\0\n", 2));
  }
  ReadingJournal journal = open();
  EXPECT_EQ(values(journal, 0), "a");
  EXPECT_EQ(values(journal, 1), std::string("\0\n", 2));
  EXPECT_EQ(values(journal, 2), "");
  EXPECT_EQ(values(journal, 3), "-");
  const auto found = journal.find(key(0), 100);
  EXPECT_EQ(found->bill.rows, 3);
  EXPECT_EQ(found->bill.seconds, 0.5);
  EXPECT_FALSE(journal.find(key(0, 8), 100));
  EXPECT_THAT(message_of<DataError>([&] { static_cast<void>(journal.find(key(0), 101)); }),
              HasSubstr("reading 0 of step 7 of stream 2 of device1, taken with other parameters or inputs"));
}

TEST_F(ReadingJournalTest, GoesOnBehindTheLastWholeRecordWhateverFollowsIt) {
  {
    ReadingJournal journal = open();
    add(journal, {entry(0, "first"), entry(1, "second")});
  }
  const std::string whole = content();
  const std::size_t record = (whole.size() - 29) / 2;  // of the first; the second has one byte more
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << whole.substr(0, cut);
    ReadingJournal journal = open();
    EXPECT_EQ(values(journal, 0), cut >= 29 + record ? "first" : "-") << cut;
    EXPECT_EQ(values(journal, 1), "-");
    add(journal, {entry(1, "again")});
    ReadingJournal later = open();
    EXPECT_EQ(values(later, 1), "again") << cut;
  }
  for (std::size_t at = 29; at < 29 + record; at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << damaged;
    ReadingJournal journal = open();
    EXPECT_EQ(values(journal, 0), "-");
    EXPECT_EQ(values(journal, 1), "-") << "what stands behind a damaged record";
  }
}

TEST_F(ReadingJournalTest, RefusesWhatIsNotThisRunsJournal) {
  static_cast<void>(open());
  const auto why = [&](std::uint64_t run) { return message_of<DataError>([&] { ReadingJournal journal(file_, {.run = run}); }); };
  EXPECT_THAT(why(43), HasSubstr("must hold readings of this run; got those of another one; remove it"));
  std::ofstream(file_, std::ios::trunc) << "something of somebody else's, longer than a head";
  EXPECT_THAT(why(42), HasSubstr("must be a journal of readings of this version and machine"));
  fs::remove(file_);
  fs::create_symlink("/dev/null", file_);
  EXPECT_THAT(message_of<OutputError>([&] { static_cast<void>(open()); }), HasSubstr("must be writable"));
  EXPECT_THAT(message_of<DataError>([&] { static_cast<void>(ReadingJournal::replay(folder_.path() / "none", 1)); }),
              HasSubstr("device.journal = \"all\""));
}

TEST_F(ReadingJournalTest, ACheckpointLeavesWhatLastsAndHasTheBills) {
  ReadingJournal journal = open();
  journal.describe(1, "shape 1 1 1\n");
  add(journal, {entry(0, "lasts", true), entry(1, "goes")});
  journal.saved(false);
  EXPECT_EQ(values(journal, 1), "goes") << "a checkpoint before these readings";
  EXPECT_EQ(journal.find(key(1), 101)->bill.rows, 0) << "their bills are in it";
  journal.saved(true);
  EXPECT_EQ(values(journal, 0), "lasts");
  EXPECT_EQ(values(journal, 1), "-");
  const auto size = fs::file_size(file_);
  for (int i = 0; i < 3; ++i) {
    add(journal, {entry(2, "goes too")});
    journal.saved(true);
    EXPECT_EQ(fs::file_size(file_), size);
  }
  add(journal, {entry(3, "new")});
  ReadingJournal later = open();
  EXPECT_EQ(values(later, 0), "lasts");
  EXPECT_EQ(later.find(key(0), 100)->bill.rows, 0);
  EXPECT_EQ(values(later, 2), "-");
  EXPECT_EQ(later.find(key(3), 103)->bill.rows, 3);
  EXPECT_EQ(later.descriptions().at(1), "shape 1 1 1\n");
}

TEST_F(ReadingJournalTest, KeepsAllToRepeatTheRun) {
  {
    ReadingJournal journal = open(ReadingJournal::Keep::all);
    add(journal, {entry(0, "a")});
    journal.saved(true);
    add(journal, {entry(1, "b")});
  }
  ReadingJournal replay = ReadingJournal::replay(file_, 42);
  EXPECT_EQ(values(replay, 0), "a");
  EXPECT_EQ(replay.find(key(0), 100)->bill.rows, 3) << "a repeated run pays for everything once more";
  const std::string before = content();
  add(replay, {entry(2, "c")});
  replay.saved(true);
  EXPECT_EQ(content(), before);
  EXPECT_THAT(message_of<DataError>([&] { static_cast<void>(replay.find(key(2), 102)); }), HasSubstr("no reading 2 of step 7"));
}

TEST_F(ReadingJournalTest, IsBounded) {
  ReadingJournal journal = open(ReadingJournal::Keep::since_save, 2000);
  for (std::uint64_t i = 0; i < 100; ++i) add(journal, {entry(i, std::string(100, 'x'))});
  EXPECT_LE(fs::file_size(file_), 2000U);
  EXPECT_EQ(values(journal, 0), std::string(100, 'x'));
  EXPECT_EQ(values(journal, 99), "-");
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_THAT(said_[0], HasSubstr("is full (device.journal_mb)"));
  journal.saved(true);
  add(journal, {entry(99, "room")});
  EXPECT_EQ(values(journal, 99), "room");
}

/// A device whose readings never repeat, and some of which are refused or lost.
class Unsteady final : public ForwardMap<float> {
 public:
  [[nodiscard]] Shape input_shape() const override { return {.width = 2}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = 1}; }
  [[nodiscard]] Index parameter_count() const override { return 1; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    ++calls;
    refused = theta[0] == bad;
    for (Index i = 0; i < x.rows(); ++i) y(i, 0) = theta[0] + 0.001F * static_cast<float>(calls) + (x(i, 0) == bad ? NAN : 0.0F);
  }
  mutable int calls = 0;
  mutable bool refused = false;
  float bad = 1000.0F;
};

class JournaledDeviceTest : public ReadingJournalTest {
 protected:
  std::unique_ptr<DeviceMap<float>> device(const DeviceMapOptions& options = {}) {
    const auto refuse = [this](std::string said) {
      const auto row = said.find(" row ");
      if (row == std::string::npos || !std::exchange(map_.refused, false)) return said;
      return said.substr(0, row) + " error retry laser unlocked\n";
    };
    ClientOptions client = options.client;
    client.binary = false;
    client.pipeline = 1;
    auto made = std::make_unique<DeviceMap<float>>(
        client_of(
            clock_, [this, refuse] { return std::make_shared<ServerPeer>(map_, ServeOptions{}, clock_, refuse); }, client),
        options);
    made->keep_journal(std::make_shared<ReadingJournal>(open()), 0);
    return made;
  }
  std::vector<Matrix<float>> read(const DeviceMap<float>& on, std::uint64_t step, std::vector<float> thetas, bool may_miss = false) {
    std::vector<std::span<const float>> views;
    for (float& t : thetas) views.emplace_back(&t, 1);
    std::vector<Matrix<float>> ys(thetas.size());
    on.begin_readings(3, step, false);
    on.read_many(views, x_, ys, may_miss);
    return ys;
  }

  Unsteady map_;
  FakeClock clock_;
  Matrix<float> x_ = Matrix<float>::Constant(3, 2, 0.5F);
};

TEST_F(JournaledDeviceTest, TakesNoReadingTwice) {
  const auto first = device();
  const auto ys = read(*first, 1, {1.0F, 2.0F, 3.0F});
  const DeviceReceipt bill = first->receipt();
  const int calls = map_.calls;
  const auto second = device();
  EXPECT_EQ(read(*second, 1, {1.0F, 2.0F, 3.0F}), ys);
  EXPECT_EQ(map_.calls, calls);
  EXPECT_EQ(second->receipt().rows, bill.rows);
  EXPECT_EQ(second->receipt().sets, bill.sets);
  EXPECT_EQ(second->receipt().seconds, bill.seconds);
  EXPECT_NE(read(*second, 2, {1.0F, 2.0F, 3.0F}), ys);
  const auto third = device();
  EXPECT_THAT(message_of<DataError>([&] { read(*third, 1, {1.0F, 2.5F, 3.0F}); }), HasSubstr("taken with other parameters or inputs"));
  x_(0, 0) = 0.25F;
  EXPECT_THAT(message_of<DataError>([&] { read(*third, 1, {1.0F, 2.0F, 3.0F}); }), HasSubstr("taken with other parameters or inputs"));
}

TEST_F(JournaledDeviceTest, KeepsWhatCameBeforeAFailure) {
  DeviceMapOptions options;
  options.client.retries = 0;
  map_.bad = 3.0F;
  const auto first = device(options);
  static_cast<void>(message_of<DeviceError>([&] { read(*first, 1, {1.0F, 2.0F, 3.0F, 4.0F}); }));
  map_.bad = 1000.0F;
  const int calls = map_.calls;
  const auto ys = read(*device(options), 1, {1.0F, 2.0F, 3.0F, 4.0F});
  EXPECT_EQ(map_.calls, calls + 2);
  EXPECT_LT(ys[1](0, 0), 2.003F) << "the second reading of all";
}

TEST_F(JournaledDeviceTest, RepeatsADeviceOfWhichOnlyTheWordsAreLeft) {
  const auto ys = read(*device(), 1, {1.0F});
  const int calls = map_.calls;
  const auto journal = std::make_shared<ReadingJournal>(ReadingJournal::replay(file_, 42));
  DeviceMap<float> gone(recorded_client("gone", journal->descriptions().at(0)), {});
  gone.keep_journal(journal, 0);
  EXPECT_EQ(gone.parameter_count(), 1);
  EXPECT_EQ(read(gone, 1, {1.0F}), ys);
  EXPECT_EQ(map_.calls, calls);
  EXPECT_THAT(message_of<DataError>([&] { read(gone, 2, {1.0F}); }), HasSubstr("must hold every reading"));
  EXPECT_THAT(message_of<DeviceError>([] { static_cast<void>(recorded_client("nothing", "")); }), HasSubstr("answer to hello"));
}

TEST_F(JournaledDeviceTest, HandsOnWhatDidNotComeBackOnlyToThoseWhoCanDoWithoutIt) {
  DeviceMapOptions options;
  options.client.retries = 1;
  options.drop_failed = true;
  map_.bad = 3.0F;
  const auto dropping = device(options);
  auto ys = read(*dropping, 1, {1.0F, 3.0F, 4.0F}, true);
  EXPECT_FALSE(ys[1].array().isFinite().any());
  EXPECT_TRUE(ys[0].allFinite() && ys[2].allFinite());
  EXPECT_EQ(dropping->receipt().dropped, 3);
  EXPECT_EQ(dropping->receipt().failed, 1);
  x_(1, 0) = 3.0F;
  ys = read(*dropping, 2, {1.0F, 2.0F}, true);
  EXPECT_TRUE(std::isnan(ys[0](1, 0)) && std::isnan(ys[1](1, 0)));
  EXPECT_EQ(ys[0].array().isFinite().count(), 2);
  EXPECT_EQ(dropping->receipt().dropped, 5);
  EXPECT_THROW(read(*dropping, 3, {1.0F}, false), DeviceError);
  const int calls = map_.calls;
  const auto again = read(*device(options), 2, {1.0F, 2.0F}, true);
  EXPECT_EQ(map_.calls, calls) << "that it did not come back is kept too";
  EXPECT_TRUE(std::isnan(again[0](1, 0)));
  options.drop_failed = false;
  EXPECT_THROW(read(*device(options), 4, {1.0F}, true), DeviceError);
}

}  // namespace
}  // namespace ffzero::test
