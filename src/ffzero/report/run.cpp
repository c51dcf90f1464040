// A run and its folder.
// SPDX-License-Identifier: MIT
#include "ffzero/report/run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/base/folder_lock.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/report/control.hpp"
#include "ffzero/report/details.hpp"
#include "ffzero/report/evaluation_data.hpp"
#include "ffzero/report/report.hpp"
#include "ffzero/settings/configured.hpp"
#include "ffzero/train/checkpoint.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;
using json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr std::uint64_t kLongestSummary = std::uint64_t{1} << 30;

// True for settings as a run writes them, which read back as they are: nobody's own file, which has comments and leaves keys out.
bool is_written_config(const fs::path& file) {
  constexpr std::uint64_t kLongest = std::uint64_t{1} << 20;
  const FileContent content = read_regular_file(file, kLongest);
  if (!content.ok()) return false;
  try {
    return Config::parse(content.bytes, "config").to_toml() == content.bytes;
  } catch (const Error&) {
    return false;
  }
}

// True for a folder that is empty or holds what a run has written before its first checkpoint, and nothing else: there is nothing to lose
// in it, and nothing of anybody else.
bool is_cut_off(const fs::path& folder) {
  std::error_code error;
  if (fs::symlink_status(folder, error).type() != fs::file_type::directory) return false;
  const bool ours = is_written_config(folder / "config.toml");
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const auto is_part_of = [&](const char* file) { return name.starts_with(std::string(file) + ".part-"); };
    const bool first = name == FolderLock::kFile || is_part_of("config.toml");
    const bool later = name == "config.toml" || name == "log.txt" || is_part_of("checkpoint.npz") || is_part_of("metrics.jsonl") ||
                       (name == "metrics.jsonl" && fs::file_size(entry->path(), error) == 0);
    if (error || !fs::is_regular_file(entry->symlink_status(error)) || !(first || (ours && later))) return false;
  }
  return !error;
}

// runs/a -> runs/a-2, runs/a-3, ...
fs::path numbered_path(const fs::path& path, int number) {
  return number < 2 ? path : fs::path(fmt::format("{}-{}", path.string(), number));
}

// The folder of a run; without a path it swallows everything.
class RunFolder {
 public:
  explicit RunFolder(fs::path path, bool numbered = false) : path_(std::move(path)), numbered_(numbered) {
    while (!path_.empty() && !path_.has_filename() && path_.has_relative_path()) path_ = path_.parent_path();
  }

  // Says no before anything is loaded; create() is called when the settings have proved right, so that a refused run leaves nothing behind.
  void require_creatable() const {
    if (path_.empty()) return;
    std::error_code error;
    const auto refuse = [&](const std::string& why) {
      throw OutputError(path_.string(), "the run folder must be creatable", why, "choose another --out");
    };
    const fs::file_status status = fs::symlink_status(path_, error);
    if (status.type() == fs::file_type::none) refuse(error.message());
    if (fs::exists(status) && !numbered_) {
      if (const std::string holder = FolderLock::holder(path_); !holder.empty())
        throw UsageError(path_.string(), "one process at a time may write into a run folder", holder + ", which is at work there",
                         "choose another --out");
      if (!is_cut_off(path_))
        throw UsageError(path_.string(), "the run folder must not exist yet", "an existing one",
                         "choose another --out, or go on with --resume " + path_.string());
    }
    fs::path above = fs::absolute(path_, error).parent_path();
    while (!fs::exists(above, error) && above != above.root_path()) above = above.parent_path();
    if (!fs::is_directory(above, error)) refuse(above.string() + " is not a folder");
    if (::access(above.c_str(), W_OK | X_OK) != 0) refuse(above.string() + " is read-only");
  }
  // The folder with its first files, or no folder at all: made beside its place and renamed, so that nobody ever sees one that could not
  // be gone on with.
  void create(const std::string& config, const NpzArchive& checkpoint) {
    if (path_.empty()) return;
    require_creatable();
    if (!numbered_ && is_cut_off(path_) && start_over(config, checkpoint)) return;
    std::error_code error;
    const fs::path parent = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
    fs::create_directories(parent, error);
    if (error) throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
    const std::string suffix = path_.filename().string().substr(0, 200) + kUnborn;
    remove_stillborn(parent, suffix);
    const fs::path made = parent / fmt::format(".{}-{}", ::getpid(), suffix);
    if (!fs::create_directory(made, error))
      throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
    try {
      lock_ = std::make_unique<FolderLock>(made);
      write_first(made, config, checkpoint);
      take_place(made);
    } catch (const Error& e) {
      lock_.reset();
      fs::remove_all(made, error);
      throw Error(e.kind(), with_final_place(e.what(), made.string()));
    } catch (...) {
      lock_.reset();
      fs::remove_all(made, error);
      throw;
    }
  }
  // Holds the existing folder from now on. @throws UsageError if another process does.
  void lock() { lock_ = std::make_unique<FolderLock>(path_); }
  // What a killed process may have left of a file that it was writing.
  void remove_leftovers() const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(path_, ignored))
      if (entry.path().filename().string().find(".part-") != std::string::npos) fs::remove(entry.path(), ignored);
  }
  void write(const char* name, const std::string& content) const {
    if (!path_.empty()) write_file_atomically(path_ / name, content);
  }
  void write_checkpoint(const NpzArchive& archive) const {
    if (!path_.empty()) write_npz(path_ / "checkpoint.npz", archive);
  }
  void write_arrays(const char* name, const NpzArchive& archive) const {
    if (!path_.empty()) write_npz(path_ / name, archive, true);
  }
  void append_metrics(const std::string& line) const {
    if (path_.empty()) return;
    std::ofstream out(path_ / "metrics.jsonl", std::ios::app);
    out << line << '\n' << std::flush;
    if (!out)
      throw OutputError((path_ / "metrics.jsonl").string(), "must be writable", "a failed write", "free space or choose another --out");
  }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  static constexpr const char* kUnborn = ".unborn";

  static void write_first(const fs::path& folder, const std::string& config, const NpzArchive& checkpoint) {
    write_file_atomically(folder / "config.toml", config);
    write_file_atomically(folder / "metrics.jsonl", "");
    write_npz(folder / "checkpoint.npz", checkpoint);
  }
  // In the folder of a run that never had a checkpoint. False if it has become something else in the meantime.
  bool start_over(const std::string& config, const NpzArchive& checkpoint) {
    lock();
    if (!is_cut_off(path_)) {
      lock_.reset();
      return false;
    }
    remove_leftovers();
    write_first(path_, config, checkpoint);
    return true;
  }
  // Gives the folder its name; of several processes that want it, one gets it.
  void take_place(const fs::path& made) {
    for (int number = 1;; ++number) {
      const fs::path wanted = numbered_path(path_, numbered_ ? number : 1);
      std::error_code error;
      // Renaming replaces an empty folder, which is not ours if the name may be another.
      if (!numbered_ || !fs::exists(fs::symlink_status(wanted, error))) {
        fs::rename(made, wanted, error);
        if (!error) {
          path_ = wanted;
          lock_->moved_to(wanted);
          return;
        }
        if (error != std::errc::file_exists && error != std::errc::directory_not_empty)
          throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
      }
      if (!numbered_) {
        require_creatable();
        throw UsageError(path_.string(), "the run folder must not exist yet", "one that another process has just made",
                         "choose another --out");
      }
    }
  }
  // What processes that were killed while they made this folder have left beside it.
  static void remove_stillborn(const fs::path& parent, const std::string& suffix) {
    std::error_code error;
    std::vector<fs::path> left;
    for (fs::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (!name.starts_with(".") || !name.ends_with("-" + suffix)) continue;
      const long process = std::strtol(name.c_str() + 1, nullptr, 10);
      if (process > 0 && ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH) left.push_back(entry->path());
    }
    for (const fs::path& folder : left) {
      try {
        const FolderLock ours(folder);
        fs::remove_all(folder, error);
      } catch (const Error&) {
        // Of another host, or not ours to remove.
      }
    }
  }
  [[nodiscard]] std::string with_final_place(std::string message, const std::string& made) const {
    if (const auto at = message.find(made); at != std::string::npos) message.replace(at, made.size(), path_.string());
    return message;
  }

  fs::path path_;
  bool numbered_;
  std::unique_ptr<FolderLock> lock_;
};

std::string metric_of(const Splits& splits) { return splits.train.task() == Task::regression ? "r2" : "accuracy"; }

// Pictures are a gift: without them the run is as good as before.
void draw_report(const fs::path& folder, const std::function<void(const std::string&)>& say) {
  try {
    const ReportResult report = write_report({folder});
    for (const auto& notice : report.notices) say(notice);
    say("report: " + report.file.string());
  } catch (const std::exception& e) {
    say(std::string("the report could not be written: ") + e.what());
  }
}

// summary.json is the last file that a run writes: where it is, the run is finished. Null if it is not there.
json finished_summary(const fs::path& run) {
  const fs::path file = run / "summary.json";
  std::error_code error;
  if (!fs::exists(file, error)) return nullptr;
  const FileContent content = read_regular_file(file, kLongestSummary);
  json summary = json::parse(content.bytes, nullptr, false);
  if (!content.ok() || !summary.is_object())
    throw DataError(file.string(), "must be the summary of a finished run", content.ok() ? "no JSON object" : content.problem,
                    "remove it to go on with the run");
  return summary;
}

// What a checkpoint says about the network is data: whatever cannot be built from it is told as such.
template <class Work>
auto from_checkpoint(const std::string& place, Work work) {
  try {
    return work();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::config && e.kind() != ErrorKind::defect) throw;
    throw DataError(place, "must hold settings that this version knows and that fit its data", e.what(), "use the version that wrote it");
  }
}

// The request for a run that was stopped before its first checkpoint: the same once more. Nothing if it has one, or never had settings.
std::optional<RunRequest> request_anew(const RunRequest& request) {
  std::error_code error;
  if (!request.resume || !is_cut_off(*request.resume) || !fs::exists(*request.resume / "config.toml", error)) return std::nullopt;
  RunRequest anew = request;
  anew.resume.reset();
  anew.sources.file = *request.resume / "config.toml";
  anew.out = *request.resume;
  return anew;
}

int wanted_threads(const Config& config, const RunRequest& request) {
  const int threads = request.threads ? *request.threads : static_cast<int>(config.values().integer("threads"));
  return threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

// What the devices said beside their answers, in the run folder when the session ends, however it ends.
class DeviceLog {
 public:
  DeviceLog(const Network<float>& network, const fs::path& folder) : network_(network), folder_(folder) {}
  DeviceLog(const DeviceLog&) = delete;
  DeviceLog& operator=(const DeviceLog&) = delete;
  ~DeviceLog() {
    std::error_code ignored;
    if (folder_.empty() || !fs::is_directory(folder_, ignored)) return;
    std::string text;
    for (Index i = 0; i < network_.layers(); ++i)
      if (const auto* instrument = dynamic_cast<const Instrument<float>*>(network_.layer(i).map.get()))
        for (const std::string& line : instrument->log()) text += network_.layer(i).name + ": " + line + "\n";
    if (text.empty()) return;
    // Words of others: a log that cannot be written is no reason to lose a run.
    std::ofstream out(folder_ / "device.log", std::ios::app);
    out << text;
  }

 private:
  const Network<float>& network_;
  fs::path folder_;
};

std::string joined(const RunRecord& record) {
  std::string line = fmt::format("{}: test {} {:.4f}", record.solver, record.metric, record.final_test.value);
  for (const auto& layer : record.layers) line += fmt::format(", {} {:.4f}", layer.name, layer.test.value);
  return line;
}

}  // namespace

Splits load_splits(const Config& config, const fs::path& cache_dir) {
  DatasetOptions options = dataset_options(config.values());
  if (options.dir.empty()) options.dir = cache_dir;
  return load_dataset(options);
}

LoadedRun load_run(const fs::path& run, const DeviceAccess& devices) {
  std::error_code error;
  const fs::path file = fs::is_directory(run, error) ? run / "checkpoint.npz" : run;
  if (!fs::exists(file, error))
    throw DataError(run.string(), "must be a run folder with a checkpoint", "no " + file.string(), "give the folder that train wrote");
  return load_run(read_npz(file), file.string(), devices);
}

LoadedRun load_run(NpzArchive checkpoint, const std::string& place, const DeviceAccess& devices) {
  nlohmann::json meta = checkpoint_meta(checkpoint, place);
  if (meta.value("network", "config") == "own")
    throw DataError(place, "must hold a network that settings describe", "one whose layers its program made, such as devices",
                    "load it in that program: Trainer::restore or Network::load");
  try {
    Config config = Config::parse(meta.at("config").get<std::string>(), "config");
    config.resolve({.regression = meta.at("task") == "regression",
                    .classes = meta.at("classes").get<Index>(),
                    .train_size = meta.at("train_size").get<Index>()});
    std::vector<DeviceShape> shapes;
    for (const auto& device : meta.value("devices", nlohmann::json::array()))
      shapes.push_back({.inputs = device.at("shape").at(0), .outputs = device.at("shape").at(1), .parameters = device.at("shape").at(2)});
    config.allow(devices, shapes);
    return {std::move(config), std::move(meta), std::move(checkpoint), place};
  } catch (const ConfigError& e) {
    throw DataError(place, "must hold settings that this version knows", e.what(), "use the version that wrote it");
  }
}

RunResult run_training(const RunRequest& request, const RunEvents& events) {
  const auto start = Clock::now();
  const auto say = [&](const std::string& line) {
    if (events.message) events.message(line);
  };
  if (const auto anew = request_anew(request)) {
    say(fmt::format("{} has no checkpoint; the run starts over", request.resume->string()));
    return run_training(*anew, events);
  }
  RunFolder folder(request.resume ? *request.resume : request.out, request.numbered);
  std::optional<LoadedRun> earlier;
  if (request.resume) {
    earlier = load_run(*request.resume, request.devices);
    auto summary = finished_summary(*request.resume);
    if (!summary.is_object()) {
      folder.lock();
      // The process that held it may have gone on until now.
      earlier = load_run(*request.resume, request.devices);
      summary = finished_summary(*request.resume);
    }
    if (summary.is_object()) {
      say(fmt::format("{} is finished; nothing is left to train", request.resume->string()));
      if (request.report && !fs::exists(*request.resume / "report.html")) draw_report(*request.resume, say);
      return {std::move(summary), *request.resume, false};
    }
  } else {
    folder.require_creatable();
  }
  ConfigSources sources = request.sources;
  sources.devices = request.devices;
  // Settings come from the user, or from the checkpoint: then what is wrong with them is wrong with a file.
  const auto from_settings = [&](auto work) { return earlier ? from_checkpoint(earlier->place, work) : work(); };
  Config config = from_settings([&] {
    return earlier ? Config::parse(earlier->meta.at("config").get<std::string>(), earlier->place + " (config)") : Config::load(sources);
  });
  if (earlier) config.allow(request.devices);
  const Splits splits = from_settings([&] { return load_splits(config, request.cache_dir); });
  from_settings([&] { config.resolve(data_facts(splits)); });
  const int wanted = wanted_threads(config, request);
  const auto executor = std::make_shared<const Executor>(wanted);
  if (executor->threads() < wanted)
    say(fmt::format("{} of {} threads could be started; the run takes longer and gives the same", executor->threads(), wanted));
  const std::string metric = metric_of(splits);

  // Of a run whose training is over, the checkpoint is the last one already; what was evaluated again adds nothing to it.
  const bool trained = earlier && earlier->meta.at("finished").get<bool>();
  TrainEvents train_events{.step_done = events.step_done,
                           .epoch_done =
                               [&](const EpochRecord& record) {
                                 folder.append_metrics(to_json(record, metric).dump());
                                 if (events.epoch_done) events.epoch_done(record, metric);
                               },
                           .stop_requested = events.stop_requested,
                           .message = say,
                           .save =
                               [&](const NpzArchive& archive) {
                                 if (!trained) folder.write_checkpoint(archive);
                               },
                           .save_every_s = config.values().number("training.save_every_s")};
  std::unique_ptr<Trainer<float>> made;
  from_settings([&] {
    made.reset(new Trainer<float>(make_trainer<float>(config, splits, executor, train_events)));
    if (earlier) made->restore(earlier->checkpoint, earlier->place);
  });
  Trainer<float>& trainer = *made;
  const DeviceLog device_log(trainer.network(), folder.path());
  if (earlier) {
    folder.remove_leftovers();
    if (events.folder_ready) events.folder_ready(folder.path());
    std::string lines;
    for (const auto& record : trainer.records()) lines += to_json(record, metric).dump() + "\n";
    folder.write("metrics.jsonl", lines);
    say(fmt::format("going on with {} after {} epochs", request.resume->string(), trainer.records().size()));
  } else {
    // With a checkpoint from the start, a run that ends in its first epoch can be resumed like any other.
    folder.create(config.to_toml(), trainer.checkpoint());
    if (events.folder_ready && !folder.path().empty()) events.folder_ready(folder.path());
  }
  const double load_s = seconds_since(start);
  RunRecord record = trainer.run();
  record.load_s = load_s;
  record.total_s += load_s;
  if (record.stopped_by == "interrupt") return {nullptr, folder.path(), true};

  if (config.values().flag("control.untrained")) {
    say("training the control: the same head on untrained layers");
    record.control = run_control(config, splits, executor, events);
    // Half a control says nothing; resuming trains it anew.
    if (events.stop_requested && events.stop_requested()) return {nullptr, folder.path(), true};
  }
  folder.write_arrays("evaluation.npz", evaluation_data({.config = config,
                                                         .encoder = trainer.encoder(),
                                                         .network = trainer.network(),
                                                         .outputs = trainer.outputs(),
                                                         .splits = splits,
                                                         .executor = executor}));
  json summary = to_json(record);
  add_details(summary, trainer.outputs(), splits.test);
  summary["peak_rss_bytes"] = peak_rss_bytes();
  summary["machine"] = machine_description(executor->threads());
  summary["version"] = version();
  folder.write("summary.json", summary.dump(2) + "\n");
  say(joined(record));
  if (request.report && !folder.path().empty()) draw_report(folder.path(), say);
  return {std::move(summary), folder.path(), false};
}

}  // namespace ffzero
