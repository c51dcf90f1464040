// Several devices on wires that share a batch: noise, receipts and the journal.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include <filesystem>

#include "ffzero/base/random.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/map/replicated.hpp"
#include "memory_device.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

constexpr Index kInputs = 3, kOutputs = 2;

/// A device with noise in this process; those of one seed are the same device.
struct Bench {
  explicit Bench(std::uint64_t seed) {
    serve.noise = 0.01;
    serve.seed = seed;
    serve.can.rows = 4;  // batches are cut into pieces as well
    map = std::make_shared<DeviceMap<float>>(client_of(clock, [this] { return std::make_shared<ServerPeer>(product, serve, clock); }),
                                             DeviceMapOptions{});
  }
  Product product{kInputs, kOutputs};
  ServeOptions serve;
  FakeClock clock;
  std::shared_ptr<DeviceMap<float>> map;
};

struct Benches {
  explicit Benches(std::size_t count, std::size_t without = SIZE_MAX) {
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(std::make_unique<Bench>(5));
      replicas.push_back({.number = isize(i), .map = i == without ? nullptr : all.back()->map, .address = "memory"});
    }
  }
  std::vector<std::unique_ptr<Bench>> all;
  std::vector<NumberedInstrument<float>> replicas;
};

Matrix<float> samples(Index rows) {
  Matrix<float> x(rows, kInputs);
  RandomStream(2, Stream::test).fill_uniform(std::span<float>(x.data(), usize(x.size())));
  return x;
}

// Two series of readings, of batches of several sizes, among them such as not all devices have a row of.
std::vector<Matrix<float>> read(const Instrument<float>& map) {
  std::vector<float> a(usize(kInputs * kOutputs), 0.5F), b(a.size(), -0.25F);
  const std::vector<std::span<const float>> thetas{a, b, b};
  std::vector<Matrix<float>> all;
  for (const std::uint64_t step : {std::uint64_t{1}, std::uint64_t{2}}) {
    map.begin_readings(3, step, false);
    for (const Index rows : {20, 2, 13}) {
      std::vector<Matrix<float>> ys(thetas.size());
      map.read_many(thetas, samples(rows), ys, false);
      all.insert(all.end(), ys.begin(), ys.end());
    }
  }
  return all;
}

TEST(ReplicatedDevices, HaveTheNoiseOfOneDeviceForAnyNumberOfThem) {
  const Bench one(5);
  const auto wanted = read(*one.map);
  EXPECT_NE(wanted[1], wanted[2]) << "there is noise";
  for (std::size_t count = 1; count <= 7; ++count) {
    const Benches benches(count);
    const ReplicatedMap<float> map(benches.replicas);
    EXPECT_EQ(read(map), wanted) << count << " devices";
    EXPECT_EQ(map.receipt().rows, one.map->receipt().rows);
    if (count == 7) {
      EXPECT_EQ(benches.all[6]->map->receipt().rows, 2 * 3 * (2 + 0 + 1));
    }
  }
}

TEST(ReplicatedDevices, KeepTheirReadingsApartInOneJournal) {
  const TemporaryFolder folder;
  const auto open = [&] {
    return std::make_shared<ReadingJournal>(folder.path() / "journal.bin",
                                            ReadingJournal::Options{.run = 1, .keep = ReadingJournal::Keep::all});
  };
  const auto keep = [](const Benches& benches, const std::shared_ptr<ReadingJournal>& journal, std::uint32_t company) {
    for (const NumberedInstrument<float>& replica : benches.replicas)
      if (replica.map)
        dynamic_cast<DeviceMap<float>&>(*replica.map).keep_journal(journal, static_cast<std::uint32_t>(replica.number), company);
  };
  std::vector<Matrix<float>> first;
  {
    const Benches benches(3);
    keep(benches, open(), 0);
    first = read(ReplicatedMap<float>(benches.replicas));
  }
  const Benches again(3);
  keep(again, open(), 0);
  EXPECT_EQ(read(ReplicatedMap<float>(again.replicas)), first);
  for (const auto& bench : again.all) EXPECT_EQ(bench->product.calls, 0) << "the journal has it";
  // Where one is left out, the others have other rows: what is kept is of no use, and no contradiction.
  const Benches fewer(3, 1);
  keep(fewer, open(), 2);
  EXPECT_EQ(read(ReplicatedMap<float>(fewer.replicas)), first) << "the same device three times";
  EXPECT_GT(fewer.all[0]->product.calls, 0);
  EXPECT_EQ(fewer.all[1]->product.calls, 0);
}

}  // namespace
}  // namespace ffzero::test
