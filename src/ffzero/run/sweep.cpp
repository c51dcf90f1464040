// Running a study.
// SPDX-License-Identifier: MIT
#include "ffzero/run/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/folder_lock.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/run/run.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLongestText = std::uint64_t{16} << 20;

std::string text_of(const fs::path& path) {
  FileContent content = read_regular_file(path, kLongestText);
  if (!content.ok()) throw DataError(path.string(), "must be a readable file of a study", content.problem, "choose another --out");
  return std::move(content.bytes);
}

// A study is recognised by its configurations; a folder with anything else is not written into.
void require_own_folder(const Study& study, const fs::path& out) {
  std::error_code error;
  const auto status = fs::symlink_status(out, error);
  if (status.type() == fs::file_type::not_found) return;
  const auto fail = [&](const std::string& found) {
    throw UsageError(out.string(), "the folder must be new or hold this very study", found, "choose another --out");
  };
  if (!fs::is_directory(out, error))
    throw OutputError(out.string(), "the folder of the study must be creatable", error ? error.message() : "something that is no folder",
                      "choose another --out");
  if (!fs::is_empty(out, error) && !fs::is_directory(out / "configs", error)) fail("other files");
  for (const PlannedRun& run : study.runs) {
    const fs::path file = out / "configs" / (run.name + ".toml");
    if (fs::exists(file, error) && text_of(file) != run.toml) fail(fmt::format("other settings of {}", run.name));
  }
}

// In an order that leaves a folder that is recognised, whenever it is cut off.
void prepare_folder(const Study& study, const fs::path& out) {
  for (const PlannedRun& run : study.runs) {
    const fs::path file = out / "configs" / (run.name + ".toml");
    if (!fs::exists(file)) write_file_atomically(file, run.toml);
  }
  fs::create_directories(out / "runs");
}

fs::path folder_of(const fs::path& out, const StudyPart& part) {
  return part.count == 1 ? out : out / "parts" / fmt::format("{}-of-{}", part.index, part.count);
}

// One writer for a part; the whole study and its parts keep each other out.
std::vector<std::unique_ptr<FolderLock>> hold(const fs::path& out, const StudyPart& part) {
  const fs::path own = folder_of(out, part);
  fs::create_directories(own);
  std::vector<std::unique_ptr<FolderLock>> locks;
  locks.push_back(std::make_unique<FolderLock>(own));
  if (part.count > 1) {
    if (const std::string holder = FolderLock::holder(out); !holder.empty())
      throw UsageError(out.string(), "the whole study must not run beside its parts", holder, "wait for it, or choose another --out");
  } else if (fs::exists(out / "parts")) {
    for (const auto& other : fs::directory_iterator(out / "parts")) locks.push_back(std::make_unique<FolderLock>(other.path()));
  }
  return locks;
}

class StudyRunner {
 public:
  StudyRunner(const Study& study, const SweepRequest& request, const SweepEvents& events)
      : study_(study), request_(request), events_(events), states_(study.runs.size()) {}

  SweepResult run() {
    for (std::size_t i = 0; i < study_.runs.size(); ++i) look_at(i);
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    const bool devices = std::any_of(study_.runs.begin(), study_.runs.end(), [](const PlannedRun& r) { return r.devices; });
    const auto jobs = devices
                          ? std::size_t{1}
                          : std::min<std::size_t>(request_.jobs > 0 ? static_cast<std::size_t>(request_.jobs) : cores, study_.runs.size());
    std::vector<std::thread> threads;
    threads.reserve(jobs);
    try {
      while (threads.size() < jobs) threads.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      // A limit on threads or on memory: fewer runs at once.
    }
    if (threads.empty()) work();
    for (auto& thread : threads) thread.join();
    SweepResult result{states_, false};
    for (std::size_t i = 0; i < states_.size(); ++i)
      result.interrupted = result.interrupted || states_[i].status == RunStatus::interrupted ||
                           (states_[i].status == RunStatus::waiting && request_.part.has(i));
    return result;
  }

 private:
  [[nodiscard]] fs::path folder(std::size_t i) const { return request_.out / "runs" / study_.runs[i].name; }
  [[nodiscard]] bool stopped() const { return events_.stop_requested && events_.stop_requested(); }

  void update(std::size_t i, const std::function<void(RunState&)>& change) {
    const std::lock_guard lock(mutex_);
    change(states_[i]);
    if (events_.changed) events_.changed(i, states_[i]);
  }

  void look_at(std::size_t i) {
    if (fs::exists(folder(i) / "summary.json")) {
      update(i, [](RunState& s) { s = {RunStatus::finished, false, true, 1.0, "finished before"}; });
    } else if (fs::exists(folder(i) / "diverged.txt")) {
      const std::string why = text_of(folder(i) / "diverged.txt");
      update(i, [&](RunState& s) { s = {RunStatus::diverged, false, true, 1.0, why}; });
    }
  }

  void work() {
    for (std::size_t i = next_++; i < study_.runs.size(); i = next_++) {
      if (states_[i].status != RunStatus::waiting || !request_.part.has(i)) continue;
      if (stopped()) return;
      train(i);
    }
  }

  RunRequest run_request(std::size_t i) {
    RunRequest request;
    request.cache_dir = request_.cache_dir;
    request.devices = request_.devices;
    request.plugins = request_.plugins;
    if (fs::exists(folder(i) / "checkpoint.npz")) {
      request.resume = folder(i);
    } else {
      request.sources.file = request_.out / "configs" / (study_.runs[i].name + ".toml");
      request.sources.overrides = {{"threads", "1"}};
      request.out = folder(i);
    }
    return request;
  }

  RunEvents run_events(std::size_t i) {
    RunEvents events;
    events.stop_requested = [this] { return stopped(); };
    events.step_done = [this, i](const Progress& p) {
      update(i, [&](RunState& s) {
        s.fraction = p.fraction;
        s.line = fmt::format("{} epoch {}/{}  loss {:.4g}", p.layer, p.epoch + 1, p.epochs, p.loss);
      });
    };
    return events;
  }

  void train(std::size_t i) {
    try {
      const RunRequest request = run_request(i);
      update(i, [&](RunState& s) { s = {RunStatus::running, request.resume.has_value(), false, 0.0, "starting"}; });
      const RunResult result = run_training(request, run_events(i));
      update(i, [&](RunState& s) {
        s.status = result.interrupted ? RunStatus::interrupted : RunStatus::finished;
        if (!result.interrupted) s.fraction = 1.0;
        s.line = result.interrupted ? "saved" : fmt::format("test {:.4f}", result.summary.at("final").at("test").get<double>());
      });
    } catch (const DivergedError& e) {
      write_file_atomically(folder(i) / "diverged.txt", std::string(e.what()) + "\n");
      fail(i, RunStatus::diverged, e.what());
    } catch (const std::exception& e) {
      fail(i, RunStatus::failed, e.what());
    }
  }

  void fail(std::size_t i, RunStatus status, const std::string& why) {
    update(i, [&](RunState& s) {
      s.status = status;
      s.line = why;
    });
  }

  const Study& study_;
  const SweepRequest& request_;
  const SweepEvents& events_;
  std::mutex mutex_;
  std::vector<RunState> states_;
  std::atomic<std::size_t> next_{0};
};

}  // namespace

std::string to_string(RunStatus status) {
  switch (status) {
    case RunStatus::waiting:
      return "waiting";
    case RunStatus::running:
      return "running";
    case RunStatus::finished:
      return "finished";
    case RunStatus::diverged:
      return "diverged";
    case RunStatus::failed:
      return "failed";
    case RunStatus::interrupted:
      return "interrupted";
  }
  return "unknown";
}

StudyPart parse_study_part(const std::string& text) {
  StudyPart part;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, part.index);
  const bool slash = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
  const auto count = slash ? std::from_chars(index.ptr + 1, end, part.count) : index;
  if (!slash || count.ec != std::errc() || count.ptr != end || part.index < 1 || part.index > part.count)
    throw UsageError("--part", "must be a part and the number of parts, i/n with 1 <= i <= n", text, "for example 2/8");
  return part;
}

void merge_study(const Study& study, const std::vector<fs::path>& parts, const fs::path& out) {
  const auto finished = [](const fs::path& run) { return fs::exists(run / "summary.json") || fs::exists(run / "diverged.txt"); };
  for (const fs::path& part : parts) {
    if (!fs::is_directory(part / "configs"))
      throw UsageError(part.string(), "must be a folder of this study", "none", "give the folders that --part has filled");
    require_own_folder(study, part);
  }
  require_own_folder(study, out);
  std::vector<fs::path> from;
  std::size_t missing = 0;
  std::string first;
  for (const PlannedRun& run : study.runs) {
    const fs::path name = fs::path("runs") / run.name;
    from.push_back(out / name);
    for (std::size_t p = 0; p < parts.size() && !finished(from.back()); ++p) from.back() = parts[p] / name;
    if (finished(from.back())) continue;
    if (missing++ == 0) first = run.name;
  }
  if (missing > 0)
    throw DataError(out.string(), fmt::format("every one of the {} runs must be finished in one of the folders", study.runs.size()),
                    fmt::format("{} that are not, the first is {}", missing, first), "go on with its part, or name its folder");
  std::error_code error;
  fs::create_directories(out / "configs", error);
  if (error) throw OutputError(out.string(), "the folder of the study must be creatable", error.message(), "choose another --out");
  const FolderLock lock(out);
  prepare_folder(study, out);
  for (std::size_t i = 0; i < study.runs.size(); ++i) {
    const fs::path to = out / "runs" / study.runs[i].name, half = out / "runs" / (study.runs[i].name + ".part");
    if (from[i] == to) continue;
    // In one piece, or not at all.
    fs::remove_all(half, error);
    fs::copy(from[i], half, fs::copy_options::recursive, error);
    fs::remove(half / FolderLock::kFile);
    if (!error) fs::remove_all(to, error);
    if (!error) fs::rename(half, to, error);
    if (error) throw OutputError(to.string(), "the run must be copied", error.message(), "see to room and permissions");
  }
}

SweepResult run_study(const Study& study, const SweepRequest& request, const SweepEvents& events) {
  require_own_folder(study, request.out);
  std::error_code error;
  fs::create_directories(request.out / "configs", error);
  if (error) throw OutputError(request.out.string(), "the folder of the study must be creatable", error.message(), "choose another --out");
  prepare_folder(study, request.out);
  const auto locks = hold(request.out, request.part);
  return StudyRunner(study, request, events).run();
}

}  // namespace ffzero
