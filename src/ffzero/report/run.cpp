// A run and its folder.
// SPDX-License-Identifier: MIT
#include "ffzero/report/run.hpp"

#include <fmt/format.h>

#include <chrono>
#include <fstream>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/control.hpp"
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

  void create() const {
    if (path_.empty()) return;
    std::error_code error;
    if (fs::exists(path_, error))
      throw UsageError(path_.string(), "the run folder must not exist yet", "an existing one", "choose another --out, or go on with --resume " + path_.string());
    fs::create_directories(path_, error);
    if (error) throw OutputError(path_.string(), "the run folder must be creatable", error.message(), "choose another --out");
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
    if (!out) throw OutputError((path_ / "metrics.jsonl").string(), "must be writable", "a failed write", "free space or choose another --out");
  }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
};

std::string metric_of(const Splits& splits) { return splits.train.task() == Task::regression ? "r2" : "accuracy"; }

template <class T>
NpyArray array_of(std::span<const T> values, std::vector<Index> shape) {
  return NpyArray::of<T>(values, std::move(shape));
}

// What reports look at: test labels, scores, predictions, and features of the first samples with the prototypes.
NpzArchive evaluation_arrays(const Trainer<float>& trainer, const Splits& splits) {
  NpzArchive archive;
  const Outputs& outputs = trainer.outputs();
  const Index samples = splits.test.size(), layers = isize(outputs.test_scores.size());
  if (splits.test.task() == Task::classification) archive["test_labels"] = array_of(splits.test.labels(), {samples});
  else archive["test_targets"] = array_of(splits.test.targets(), {samples});
  std::vector<float> scores;
  for (const auto& s : outputs.test_scores) scores.insert(scores.end(), s.data(), s.data() + s.size());
  archive["test_scores"] = array_of(std::span<const float>(scores), {layers, samples, trainer.network().classes()});
  std::vector<std::int32_t> predictions;
  for (const auto& p : outputs.predictions) predictions.insert(predictions.end(), p.begin(), p.end());
  if (!predictions.empty()) archive["test_predictions"] = array_of(std::span<const std::int32_t>(predictions), {layers, samples});
  if (!outputs.vote.empty()) archive["test_vote"] = array_of(std::span<const std::int32_t>(outputs.vote), {samples});
  return archive;
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
  const fs::path file = fs::is_directory(run) ? run / "checkpoint.npz" : run;
  if (!fs::exists(file)) throw DataError(run.string(), "must be a run folder with a checkpoint", "no " + file.string(), "give the folder that train wrote");
  NpzArchive checkpoint = read_npz(file);
  nlohmann::json meta = checkpoint_meta(checkpoint, file.string());
  Config config = Config::parse(meta.at("config").get<std::string>(), file.string() + " (config)");
  config.resolve({.regression = meta.at("task") == "regression", .classes = meta.at("classes").get<Index>(), .train_size = std::int64_t{1} << 40});
  return {std::move(config), std::move(meta), std::move(checkpoint), file.string()};
}

RunResult run_training(const RunRequest& request, const RunEvents& events) {
  const auto start = Clock::now();
  const auto say = [&](const std::string& line) {
    if (events.message) events.message(line);
  };
  std::optional<LoadedRun> earlier;
  if (request.resume) earlier = load_run(*request.resume);
  Config config = earlier ? Config::parse(earlier->meta.at("config").get<std::string>(), earlier->place + " (config)") : Config::load(request.sources);
  const Splits splits = load_splits(config, request.cache_dir);
  config.resolve(data_facts(splits));
  const auto executor = std::make_shared<const Executor>(static_cast<int>(config.values().integer("threads")));
  const RunFolder folder(request.resume ? *request.resume : request.out);
  const std::string metric = metric_of(splits);

  TrainEvents train_events{.step_done = events.step_done,
                           .epoch_done =
                               [&](const EpochRecord& record) {
                                 folder.append_metrics(to_json(record, metric).dump());
                                 if (events.epoch_done) events.epoch_done(record, metric);
                               },
                           .stop_requested = events.stop_requested,
                           .save = [&](const NpzArchive& archive) { folder.write_checkpoint(archive); }};
  Trainer<float> trainer(config, splits, executor, train_events);
  if (earlier) {
    trainer.restore(earlier->checkpoint, earlier->place);
    std::string lines;
    for (const auto& record : trainer.records()) lines += to_json(record, metric).dump() + "\n";
    folder.write("metrics.jsonl", lines);
    say(fmt::format("going on with {} after {} epochs", request.resume->string(), trainer.records().size()));
  } else {
    folder.create();
    folder.write("config.toml", config.to_toml());
    folder.write("metrics.jsonl", "");
  }
  const double load_s = seconds_since(start);
  RunRecord record = trainer.run();
  record.load_s = load_s;
  record.total_s += load_s;
  if (record.stopped_by == "interrupt") return {nullptr, folder.path(), true};

  if (config.values().flag("control.untrained")) {
    say("training the control: the same head on untrained layers");
    record.control = run_control(config, splits, executor, events);
  }
  folder.write_arrays("evaluation.npz", evaluation_arrays(trainer, splits));
  json summary = to_json(record);
  summary["peak_rss_bytes"] = peak_rss_bytes();
  summary["machine"] = machine_description(executor->threads());
  summary["version"] = version();
  folder.write("summary.json", summary.dump(2) + "\n");
  say(joined(record));
  return {std::move(summary), folder.path(), false};
}

}  // namespace ffzero
