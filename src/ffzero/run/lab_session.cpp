// Ask and tell.
// SPDX-License-Identifier: MIT
#include "ffzero/run/lab_session.hpp"

#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/settings/configured.hpp"

namespace ffzero {

namespace {

constexpr const char* kNext = "session.next";
constexpr const char* kAddresses = "session.addresses";
constexpr const char* kSizes = "session.sizes";
constexpr const char* kReadings = "session.readings";

void put(NpzArchive& archive, const RequestQueue::Kept& kept) {
  std::vector<std::int64_t> addresses, sizes;
  std::vector<float> readings;
  for (const auto& [at, y] : kept.answers) {
    for (const std::uint64_t part : {at.key.stream, at.key.step, at.key.number, std::uint64_t{at.lasting}})
      addresses.push_back(static_cast<std::int64_t>(part));
    sizes.insert(sizes.end(), {y.rows(), y.cols()});
    readings.insert(readings.end(), y.data(), y.data() + y.size());
  }
  const Index count = isize(kept.answers.size());
  archive[kNext] = NpyArray::of<std::int64_t>(std::vector<std::int64_t>{static_cast<std::int64_t>(kept.next)}, {1});
  archive[kAddresses] = NpyArray::of<std::int64_t>(addresses, {count, 4});
  archive[kSizes] = NpyArray::of<std::int64_t>(sizes, {count, 2});
  archive[kReadings] = NpyArray::of<float>(readings, {isize(readings.size())});
}

RequestQueue::Kept take(NpzArchive& archive, const std::string& place) {
  const auto damaged = [&](const std::string& requirement) {
    throw DataError(place, requirement, "something else", "give a file that Session.save wrote");
  };
  for (const char* name : {kNext, kAddresses, kSizes, kReadings})
    if (!archive.contains(name)) damaged("must be a session, with the array " + std::string(name));
  const auto next = archive.at(kNext).to<std::int64_t>(), addresses = archive.at(kAddresses).to<std::int64_t>(),
             sizes = archive.at(kSizes).to<std::int64_t>();
  const auto readings = archive.at(kReadings).to<float>();
  for (const char* name : {kNext, kAddresses, kSizes, kReadings}) archive.erase(name);
  if (next.size() != 1 || next[0] < 0 || addresses.size() != sizes.size() * 2) damaged("must hold an address and a size for each answer");
  RequestQueue::Kept kept{.next = static_cast<std::uint64_t>(next[0]), .answers = {}};
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < sizes.size(); i += 2) {
    const std::int64_t rows = sizes[i], columns = sizes[i + 1];
    constexpr std::int64_t kMost = std::int64_t{1} << 31;
    if (rows < 0 || columns < 1 || rows > kMost || columns > kMost || usize(rows * columns) > readings.size() - at)
      damaged("must hold the readings of each answer");
    const auto part = [&](std::size_t k) { return static_cast<std::uint64_t>(addresses[2 * i + k]); };
    kept.answers[{.key = {.stream = part(0), .step = part(1), .number = part(2)}, .lasting = part(3) != 0}] =
        Eigen::Map<const Matrix<float>>(readings.data() + at, rows, columns);
    at += usize(rows * columns);
  }
  return kept;
}

}  // namespace

struct LabSession::Work {
  Work(Config settings, Splits data, std::vector<CallDescription> described, int threads, const std::filesystem::path& saved)
      : config(std::move(settings)), splits(std::move(data)), executor(std::make_shared<const Executor>(threads)) {
    std::optional<TrainerState> earlier;
    RequestQueue::Kept kept;
    if (!saved.empty()) {
      NpzArchive archive = read_npz(saved);
      kept = take(archive, saved.string());
      earlier = state_of(std::move(archive), saved.string());
    }
    queue = std::make_unique<RequestQueue>(std::move(kept));
    config.resolve(data_facts(splits));
    for (std::size_t i = 0; i < described.size(); ++i) {
      auto map = std::make_shared<CallMap*>(nullptr);
      const auto call = [this, map, i](std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x,
                                       std::span<Matrix<float>> ys) { queue->read(i, (*map)->address(), thetas, x, ys); };
      described[i].kept = true;
      auto made = std::make_shared<CallMap>(std::move(described[i]), call);
      *map = made.get();
      devices.push_back(std::move(made));
    }
    TrainEvents events;
    events.save = [this](const TrainerState& now) { keep(now); };
    events.stop_requested = [this] { return stopped.load(); };
    trainer.reset(new Trainer<float>(make_trainer<float>(config, splits, executor, std::move(events), devices)));
    if (earlier) trainer->restore(*earlier, saved.string());
    state = trainer->state();
  }

  // A state and the answers since then belong together.
  void keep(const TrainerState& now) {
    const std::lock_guard lock(mutex);
    state = now;
    queue->mark();
  }

  void train() {
    try {
      result.record = trainer->run();
      result.state = trainer->state();
    } catch (...) {
      error = std::current_exception();
    }
    queue->finish();
  }

  Config config;
  Splits splits;
  std::shared_ptr<const Executor> executor;
  std::unique_ptr<RequestQueue> queue;
  DeviceMaps<float> devices;
  std::unique_ptr<Trainer<float>> trainer;
  mutable std::mutex mutex;
  TrainerState state;
  std::atomic<bool> stopped{false};
  std::thread thread;
  std::once_flag joined;
  TrainResult result;
  std::exception_ptr error;
};

LabSession::LabSession(Config config, Splits splits, std::vector<CallDescription> devices, int threads, const std::filesystem::path& saved)
    : work_(std::make_unique<Work>(std::move(config), std::move(splits), std::move(devices), threads, saved)) {
  work_->thread = std::thread([work = work_.get()] { work->train(); });
}

LabSession::~LabSession() {
  close();
  std::call_once(work_->joined, [this] { work_->thread.join(); });
}

std::optional<RequestQueue::Request> LabSession::ask(double seconds) { return work_->queue->ask(seconds); }

void LabSession::tell(std::uint64_t id, const Matrix<float>& y) { work_->queue->tell(id, y); }

void LabSession::fail(std::uint64_t id, bool retry, const std::string& why) { work_->queue->fail(id, retry, why); }

bool LabSession::finished() const { return work_->queue->finished(); }

void LabSession::save(const std::filesystem::path& file) const {
  NpzArchive archive;
  {
    const std::lock_guard lock(work_->mutex);
    archive = checkpoint_of(work_->state);
    put(archive, work_->queue->kept());
  }
  write_npz(file, archive);
}

void LabSession::close() {
  work_->stopped = true;
  work_->queue->close("a session that was closed");
}

const TrainResult& LabSession::result() {
  std::call_once(work_->joined, [this] { work_->thread.join(); });
  if (work_->error) std::rethrow_exception(work_->error);
  return work_->result;
}

Predictor LabSession::predictor(const DeviceMaps<float>& devices) {
  const TrainerState& state = result().state;
  return {build_network<float>(work_->config, work_->trainer->encoder().output_shape(), state.classes, work_->executor, devices), state,
          "session", work_->executor};
}

const Config& LabSession::config() const noexcept { return work_->config; }

}  // namespace ffzero
