// A run and its folder.
// SPDX-License-Identifier: MIT
#include "ffzero/run/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/checkpoint/checkpoint.hpp"
#include "ffzero/checkpoint/record_json.hpp"
#include "ffzero/device/text.hpp"
#include "ffzero/run/baseline.hpp"
#include "ffzero/run/details.hpp"
#include "ffzero/run/evaluation_data.hpp"
#include "ffzero/run/ranks.hpp"
#include "ffzero/run/run_folder.hpp"
#include "ffzero/run/run_journal.hpp"
#include "ffzero/run/run_plugins.hpp"
#include "ffzero/settings/configured.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

using SteadyClock = std::chrono::steady_clock;
using json = nlohmann::ordered_json;

double seconds_since(SteadyClock::time_point start) { return std::chrono::duration<double>(SteadyClock::now() - start).count(); }

constexpr std::uint64_t kLongestSummary = std::uint64_t{1} << 30;

std::string metric_of(const Splits& splits) { return splits.train.task() == Task::regression ? "r2" : "accuracy"; }

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

// The settings of a training, and what was said beside them, for its data.
Config config_of(const TrainerState& state, const std::string& place, const ConfigSources& beside = {}) {
  Config config = Config::parse(state.description, place, beside);
  config.resolve({.regression = state.data.task == Task::regression, .classes = state.classes, .train_size = state.train_size});
  return config;
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

// The devices that a run did without, all the time: only such a run can be repeated.
std::vector<Index> left_out_of(const TrainerState& state) {
  std::vector<Index> numbers;
  for (const InstrumentRecord& device : state.instruments) {
    if (!device.without_since) continue;
    if (*device.without_since > 0)
      throw UsageError("--replay", "repeats a run with the same devices from its first step on",
                       fmt::format("one that went on without device {}", device.number));
    numbers.push_back(device.number);
  }
  return numbers;
}

void say_left_out(const Config& config, const std::function<void(const std::string&)>& say) {
  for (const DeviceLayer& layer : config.devices())
    for (std::size_t k = 0; k < layer.reached_at.size(); ++k)
      if (layer.reached_at[k].left_out)
        say(fmt::format("without device {} ({})", layer.first_number + isize(k), clean_text(layer.reached_at[k].address)));
}

std::string joined(const RunRecord& record) {
  std::string line = fmt::format("{}: test {} {:.4f}", record.solver, record.metric, record.final_test.value);
  for (const auto& layer : record.layers) line += fmt::format(", {} {:.4f}", layer.name, layer.test.value);
  if (!record.unreached.empty()) line += fmt::format("; the budget did not reach {}", fmt::join(record.unreached, ", "));
  return line;
}

}  // namespace

Splits load_splits(const Config& config, const fs::path& cache_dir, std::shared_ptr<const NpzArchive> arrays) {
  DatasetOptions options = dataset_options(config.values());
  if (arrays && options.name != "memory")
    throw ConfigError("dataset.name", "samples that are given take the place of the data set", "\"" + options.name + "\"",
                      "drop the key, or the samples");
  options.archive = std::move(arrays);
  if (options.dir.empty()) options.dir = cache_dir;
  return load_dataset(options);
}

LoadedRun load_run(const fs::path& run, const DeviceAccess& devices) {
  std::error_code error;
  const fs::path file = fs::is_directory(run, error) ? run / "checkpoint.npz" : run;
  if (!fs::exists(file, error))
    throw DataError(run.string(), "must be a run folder with a checkpoint", "no " + file.string(), "give the folder that train wrote");
  require_plugins(file.parent_path());
  return load_run(read_npz(file), file.string(), devices);
}

LoadedRun load_run(NpzArchive checkpoint, const std::string& place, const DeviceAccess& devices) {
  TrainerState state = state_of(std::move(checkpoint), place);
  if (!state.described_by_config)
    throw DataError(place, "must hold a network that settings describe", "one whose layers its program made, such as devices",
                    "load it in that program: give a Predictor its layers again");
  try {
    Config config = config_of(state, "config");
    std::vector<DeviceShape> shapes;
    const Index devices_end = config.first_device() + isize(config.devices().size());
    for (const InstrumentRecord& device : state.instruments) {
      const DeviceShape shape{.inputs = device.inputs, .outputs = device.outputs, .parameters = device.parameters};
      const Index layer = device.layer - config.first_device();
      if (layer == isize(shapes.size()) && device.layer < devices_end) {
        shapes.push_back(shape);
      } else if (layer == isize(shapes.size()) - 1 && config.devices()[usize(layer)].grouped()) {
        // Devices that share a layer have its shape; groups add up to it.
        shapes.back().outputs += shape.outputs;
        shapes.back().parameters += shape.parameters;
      }
    }
    config.allow(devices, shapes);
    return {std::move(config), std::move(state), place};
  } catch (const ConfigError& e) {
    throw DataError(place, "must hold settings that this version knows", e.what(), "use the version that wrote it");
  }
}

LoadedRun load_run_on(const fs::path& run, const std::vector<std::pair<std::string, std::string>>& sets, const DeviceAccess& devices) {
  LoadedRun loaded = load_run(run, devices);
  if (sets.empty()) return loaded;
  ConfigSources sources;
  sources.overrides = sets;
  loaded.config = config_of(loaded.state, loaded.place, sources);
  loaded.config.allow(devices, {});
  return loaded;
}

namespace {

// Settings that a run which its gate stopped may go on with: they decide what is learnt of the device, and nothing before that.
void require_changeable(const LoadedRun& run, const std::vector<std::pair<std::string, std::string>>& changes) {
  if (changes.empty()) return;
  const TrainerState& state = run.state;
  const bool stopped = run.config.values().is("gradient.fallback", "stop") && state.block < state.measured.size() &&
                       state.measured[state.block].fallback > 0.0;
  if (!stopped)
    throw UsageError("--resume", "goes on with a run as it is; only one that gradient.fallback = \"stop\" has ended takes other settings",
                     changes.front().first, "drop it, or start a new run");
  for (const auto& [key, value] : changes) {
    const bool shapes = key == "gradient.twin.order" || key == "gradient.twin.fit" || key == "gradient.twin.file";
    if (shapes || !(key == "gradient.fallback" || key.starts_with("gradient.twin.") || key.starts_with("gradient.transfer.")))
      throw UsageError("--resume", "may change gradient.fallback, gradient.twin.* (but order, fit and file) and gradient.transfer.*", key,
                       "drop it, or start a new run");
  }
}

// ranks: of the request, or one alone.
RunResult train_as_rank(const RunRequest& request, const RunEvents& events, const std::shared_ptr<Exchange>& ranks) {
  const auto start = SteadyClock::now();
  const bool writes = ranks->rank() == 0;
  const auto say = [&](const std::string& line) {
    if (events.message) events.message(line);
  };
  if (const auto anew = request_anew(request)) {
    say(fmt::format("{} has no checkpoint; the run starts over", request.resume->string()));
    return train_as_rank(*anew, events, ranks);
  }
  RunFolder folder(!writes ? fs::path() : request.resume ? *request.resume : request.out, request.numbered);
  std::optional<LoadedRun> earlier, repeated;
  std::optional<RunJournal> journal;
  if (request.resume) {
    earlier = load_run(*request.resume, request.devices);
    require_changeable(*earlier, request.changes);
    auto summary = finished_summary(*request.resume);
    if (!summary.is_object() && writes) {
      folder.lock();
      // The process that held it may have gone on until now.
      earlier = load_run(*request.resume, request.devices);
      summary = finished_summary(*request.resume);
    }
    if (summary.is_object()) {
      say(fmt::format("{} is finished; nothing is left to train", request.resume->string()));
      if (events.finished) events.finished(*request.resume, true);
      return {writes ? std::move(summary) : json(), *request.resume, false};
    }
  } else {
    folder.require_creatable();
  }
  if (request.replay) {
    repeated = load_run(*request.replay, {.addresses = {}, .trusted = false, .stand_ins = true});
    if (!repeated->config.values().is("model.kind", "device"))
      throw UsageError("--replay", "repeats a run with devices", request.replay->string(), "other runs repeat with ffzero train CONFIG");
    journal.emplace(*request.replay, repeated->state.description);
  }
  const LoadedRun* const source = earlier ? &*earlier : repeated ? &*repeated : nullptr;
  ConfigSources sources = request.sources;
  sources.devices = request.devices;
  // Settings come from the user, or from the checkpoint: then what is wrong with them is wrong with a file.
  const auto from_settings = [&](auto work) { return source != nullptr ? from_checkpoint(source->place, work) : work(); };
  ConfigSources changes;
  changes.overrides = request.changes;
  const auto settings = [&] {
    return source != nullptr ? Config::parse(source->state.description, source->place + " (config)", changes) : Config::load(sources);
  };
  // Settings that are changed are the user's.
  Config config = request.changes.empty() ? from_settings(settings) : settings();
  // A data set that the user names beside samples that are given is refused by load_splits.
  if (request.arrays && source == nullptr && !config.values().is_explicit("dataset.name")) config.set("dataset.name", "memory", "data");
  for (const std::string& notice : config.notices()) say(notice);
  if (earlier) config.allow(request.devices);
  if (repeated) {
    const std::vector<Index> without = left_out_of(repeated->state);
    config.allow({.addresses = {}, .recorded = journal->devices(config, without), .without = without});
  }
  if (!ranks->alone()) require_rank_settings(config);
  const Splits splits = from_settings([&] { return load_splits(config, request.cache_dir, request.arrays); });
  const auto resolve = [&] { config.resolve(data_facts(splits)); };
  // The journal of devices is kept under the settings that the run began with.
  const std::string begun_with = earlier ? earlier->state.description : std::string();
  if (request.changes.empty()) {
    from_settings(resolve);
  } else {
    resolve();
    earlier->state.description = config.to_toml();
  }
  const int wanted = wanted_threads(config, request);
  const auto executor = std::make_shared<const Executor>(wanted, ranks);
  if (executor->threads() < wanted)
    say(fmt::format("{} of {} threads could be started; the run takes longer and gives the same", executor->threads(), wanted));
  const std::string metric = metric_of(splits);

  // Of a run whose training is over, the checkpoint is the last one already; what was evaluated again adds nothing to it.
  const bool trained = earlier && earlier->state.finished;
  TrainEvents train_events{.step_done = events.step_done,
                           .epoch_done =
                               [&](const EpochRecord& record) {
                                 folder.append_metrics(to_json(record, metric).dump());
                                 if (events.epoch_done) events.epoch_done(record, metric);
                               },
                           .stop_requested = events.stop_requested,
                           .message = say,
                           .save =
                               [&](const TrainerState& state) {
                                 if (!trained) folder.write_checkpoint(checkpoint_of(state));
                               },
                           .saved =
                               [&](bool whole) {
                                 if (!trained && journal) journal->saved(whole);
                               },
                           .save_every_s = config.values().number("training.save_every_s")};
  std::unique_ptr<Trainer<float>> made;
  from_settings([&] {
    // NOLINTNEXTLINE(modernize-make-unique): a trainer is made where it stays, it cannot be moved
    made.reset(new Trainer<float>(make_trainer<float>(config, splits, executor, train_events, request.maps)));
    if (earlier) made->restore(earlier->state, earlier->place);
  });
  Trainer<float>& trainer = *made;
  if (!ranks->alone()) require_same_facts(*ranks, rank_facts(version(), config, splits, trainer.state()));
  const DeviceLog device_log(trainer.network(), folder.path());
  if (earlier) {
    folder.remove_leftovers();
    for (const std::string& line : changed_plugins(*request.resume, request.plugins)) say(line);
    if (events.folder_ready) events.folder_ready(folder.path());
    std::string lines;
    for (const auto& record : trainer.records()) lines += to_json(record, metric).dump() + "\n";
    folder.write("metrics.jsonl", lines);
    if (!request.changes.empty()) folder.write("config.toml", config.to_toml());
    say(fmt::format("going on with {} after {} epochs", request.resume->string(), trainer.records().size()));
  } else {
    // With a checkpoint from the start, a run that ends in its first epoch can be resumed like any other.
    folder.create({.config = config.to_toml(),
                   .checkpoint = checkpoint_of(trainer.state()),
                   .plugins = request.plugins.empty() ? std::string() : plugins_text(request.plugins)});
    if (events.folder_ready && !folder.path().empty()) events.folder_ready(folder.path());
  }
  say_left_out(config, say);
  if (!journal) journal.emplace(config, earlier ? begun_with : config.to_toml(), folder.path(), say);
  journal->attach(trainer.network());
  const double load_s = seconds_since(start);
  const auto train = [&] {
    try {
      return trainer.run();
    } catch (const DataError&) {
      // Only looking at the samples showed that they cannot be trained on, for example that they have no principal components.
      if (trainer.records().empty()) folder.discard();
      throw;
    }
  };
  RunRecord record = train();
  record.load_s = load_s;
  record.total_s += load_s;
  if (record.stopped_by == "interrupt") return {nullptr, folder.path(), true};

  json baseline = nullptr;
  if (config.values().flag("baseline.untrained")) {
    say("training the baseline: the same head on untrained layers");
    baseline = run_baseline(config, splits, executor, train_events);
    // Half a baseline says nothing; resuming trains it anew.
    if (ranks->any(events.stop_requested && events.stop_requested())) return {nullptr, folder.path(), true};
  }
  if (!writes) return {nullptr, folder.path(), false};
  folder.write_arrays("evaluation.npz", evaluation_data({.config = config,
                                                         .encoder = trainer.encoder(),
                                                         .network = trainer.network(),
                                                         .outputs = trainer.outputs(),
                                                         .splits = splits,
                                                         .executor = executor}));
  json summary = to_json(record);
  summary["baseline"] = baseline;
  summary["control"] = std::move(baseline);
  add_details(summary, trainer.outputs(), splits.test);
  summary["peak_rss_bytes"] = peak_rss_bytes();
  summary["machine"] = machine_description(executor->threads());
  if (!ranks->alone())
    summary["machine"]["ranks"] = {{"number", ranks->size()}, {"gathers", ranks->traffic().gathers}, {"bytes", ranks->traffic().bytes}};
  summary["version"] = version();
  folder.write("summary.json", summary.dump(2) + "\n");
  journal->finished();
  say(joined(record));
  if (events.finished && !folder.path().empty()) events.finished(folder.path(), false);
  return {std::move(summary), folder.path(), false};
}

}  // namespace

RunResult run_training(const RunRequest& request, const RunEvents& events) {
  const std::shared_ptr<Exchange> ranks = request.ranks ? request.ranks : std::make_shared<AloneExchange>();
  try {
    RunResult result = train_as_rank(request, events, ranks);
    // None leaves before rank 0 has written everything.
    static_cast<void>(ranks->any(false));
    return result;
  } catch (const std::exception& thrown) {
    tell_ranks(*ranks, thrown);
    throw;
  }
}

}  // namespace ffzero
