// A run and its folder.
// SPDX-License-Identifier: MIT
#include "ffzero/report/run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
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

// The folder of a run; without a path it swallows everything.
class RunFolder {
 public:
  explicit RunFolder(fs::path path) : path_(std::move(path)) {}

  // Says no before anything is loaded; create() is called when the settings have proved right, so that a refused run leaves nothing behind.
  void require_creatable() const {
    if (path_.empty()) return;
    std::error_code error;
    if (fs::exists(fs::symlink_status(path_, error)))
      throw UsageError(path_.string(), "the run folder must not exist yet", "an existing one",
                       "choose another --out, or go on with --resume " + path_.string());
    fs::path above = fs::absolute(path_).parent_path();
    while (!fs::exists(above, error) && above != above.root_path()) above = above.parent_path();
    if (!fs::is_directory(above, error))
      throw OutputError(path_.string(), "the run folder must be creatable", above.string() + " is not a folder", "choose another --out");
    if (::access(above.c_str(), W_OK | X_OK) != 0)
      throw OutputError(path_.string(), "the run folder must be creatable", above.string() + " is read-only", "choose another --out");
  }
  // The folder with its first files, or no folder at all.
  void create(const std::string& config, const NpzArchive& checkpoint) const {
    if (path_.empty()) return;
    require_creatable();
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
    try {
      write("config.toml", config);
      write("metrics.jsonl", "");
      write_checkpoint(checkpoint);
    } catch (...) {
      fs::remove_all(path_, error);
      throw;
    }
  }
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
  fs::path path_;
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
  std::ifstream in(run / "summary.json");
  if (!in) return nullptr;
  json summary = json::parse(in, nullptr, false);
  if (!summary.is_object())
    throw DataError((run / "summary.json").string(), "must be the summary of a finished run", "no JSON object",
                    "remove it to go on with the run");
  return summary;
}

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

LoadedRun load_run(const fs::path& run) {
  std::error_code error;
  const fs::path file = fs::is_directory(run, error) ? run / "checkpoint.npz" : run;
  if (!fs::exists(file, error))
    throw DataError(run.string(), "must be a run folder with a checkpoint", "no " + file.string(), "give the folder that train wrote");
  NpzArchive checkpoint = read_npz(file);
  nlohmann::json meta = checkpoint_meta(checkpoint, file.string());
  try {
    Config config = Config::parse(meta.at("config").get<std::string>(), "config");
    config.resolve({.regression = meta.at("task") == "regression",
                    .classes = meta.at("classes").get<Index>(),
                    .train_size = meta.at("train_size").get<Index>()});
    return {std::move(config), std::move(meta), std::move(checkpoint), file.string()};
  } catch (const ConfigError& e) {
    throw DataError(file.string(), "must hold settings that this version knows", e.what(), "use the version that wrote it");
  }
}

RunResult run_training(const RunRequest& request, const RunEvents& events) {
  const auto start = Clock::now();
  const auto say = [&](const std::string& line) {
    if (events.message) events.message(line);
  };
  std::optional<LoadedRun> earlier;
  if (request.resume) {
    earlier = load_run(*request.resume);
    if (auto summary = finished_summary(*request.resume); summary.is_object()) {
      say(fmt::format("{} is finished; nothing is left to train", request.resume->string()));
      return {std::move(summary), *request.resume, false};
    }
  }
  const RunFolder folder(request.resume ? *request.resume : request.out);
  Config config =
      earlier ? Config::parse(earlier->meta.at("config").get<std::string>(), earlier->place + " (config)") : Config::load(request.sources);
  if (!earlier) folder.require_creatable();
  const Splits splits = load_splits(config, request.cache_dir);
  config.resolve(data_facts(splits));
  const auto executor = std::make_shared<const Executor>(static_cast<int>(config.values().integer("threads")));
  const std::string metric = metric_of(splits);

  TrainEvents train_events{.step_done = events.step_done,
                           .epoch_done =
                               [&](const EpochRecord& record) {
                                 folder.append_metrics(to_json(record, metric).dump());
                                 if (events.epoch_done) events.epoch_done(record, metric);
                               },
                           .stop_requested = events.stop_requested,
                           .save = [&](const NpzArchive& archive) { folder.write_checkpoint(archive); }};
  auto trainer = make_trainer<float>(config, splits, executor, train_events);
  if (earlier) {
    trainer.restore(earlier->checkpoint, earlier->place);
    folder.remove_leftovers();
    std::string lines;
    for (const auto& record : trainer.records()) lines += to_json(record, metric).dump() + "\n";
    folder.write("metrics.jsonl", lines);
    say(fmt::format("going on with {} after {} epochs", request.resume->string(), trainer.records().size()));
  } else {
    // With a checkpoint from the start, a run that ends in its first epoch can be resumed like any other.
    folder.create(config.to_toml(), trainer.checkpoint());
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
