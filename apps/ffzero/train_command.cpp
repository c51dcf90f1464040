// ffzero train
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/report.hpp"
#include "ffzero/run/calibrate.hpp"
#include "ffzero/run/ranks.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/train/estimator.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "ranks.hpp"

namespace ffzero::app {

namespace {

struct TrainOptions {
  std::string config, out, resume, replay;
  std::vector<std::string> sets;
  std::vector<std::pair<std::string, std::string>> flags;  // key, value
  std::string solver;
  std::optional<std::string> layers;
  bool json = false, quiet = false, report = true;
  DeviceAccess devices;
};

// log.txt of a run's folder. What matters is in the other files, whose failures are errors; a log that cannot be written is not worth a
// run.
class RunLog {
 public:
  void open(const std::filesystem::path& folder) {
    const auto file = folder / "log.txt";
    std::error_code error;
    // To open a pipe would be to wait for its reader.
    if (std::filesystem::exists(file, error) && !std::filesystem::is_regular_file(file, error)) return;
    try {
      log_ = std::make_shared<spdlog::logger>("run", std::make_shared<spdlog::sinks::basic_file_sink_st>(file.string()));
      log_->set_error_handler([](const std::string&) {});
      log_->set_pattern("%Y-%m-%d %H:%M:%S %v");
      log_->flush_on(spdlog::level::info);
    } catch (const spdlog::spdlog_ex&) {
      log_.reset();
    }
  }
  void write(const std::string& line) const {
    if (log_) log_->info(line);
  }

 private:
  std::shared_ptr<spdlog::logger> log_;
};

ConfigSources sources_of(const TrainOptions& options) {
  ConfigSources sources;
  if (!options.config.empty()) sources.file = options.config;
  sources.devices = options.devices;
  if (!options.solver.empty()) sources.overrides = solver_overrides(options.solver);
  sources.overrides.insert(sources.overrides.end(), options.flags.begin(), options.flags.end());
  for (const auto& text : options.sets) sources.overrides.push_back(split_assignment(text));
  if (options.layers) {
    // What "layers" means depends on the kind of model, which a file or a preset may have chosen.
    const bool photonic = Config::load(sources).values().is("model.kind", "photonic");
    const bool bare = !photonic && !options.layers->starts_with('[');
    sources.overrides.emplace_back(photonic ? "model.mesh.layers" : "model.layers", bare ? "[" + *options.layers + "]" : *options.layers);
  }
  return sources;
}

// The addresses are said again: those of a run folder are not used by themselves.
std::string resume_command(const std::filesystem::path& folder, const DeviceAccess& devices, const std::vector<Plugin>& plugins) {
  std::string command = "ffzero train --resume " + shell_word(folder.string());
  for (const std::string& address : devices.addresses) command += " --device " + shell_word(address);
  for (const Index number : devices.without) command += fmt::format(" --without-device {}", number);
  for (const Plugin& plugin : plugins) command += " --plugin " + shell_word(plugin.path.string());
  return command + (devices.trusted ? " --trust-devices" : "");
}

int run_train(const TrainOptions& options, const std::vector<Plugin>& plugins, const JoinedRanks& ranks) {
  // Results do not depend on the number of threads; everything else belongs to the run.
  const auto is_threads = [](const auto& flag) { return flag.first == "threads"; };
  const bool settings = !options.config.empty() || !options.solver.empty() || options.layers ||
                        !std::all_of(options.flags.begin(), options.flags.end(), is_threads);
  if (!options.resume.empty() && (settings || !options.out.empty() || !options.replay.empty()))
    throw UsageError("--resume", "goes on with a run as it is, in its own folder", "further settings", "drop them, or start a new run");
  if (!options.replay.empty() && (settings || !options.sets.empty() || !options.devices.addresses.empty() ||
                                  !options.devices.without.empty() || options.devices.trusted))
    throw UsageError("--replay", "repeats a run as it was, without its devices", "further settings", "drop them, or start a new run");
  for (const auto& [flag, count] : {std::pair("--replicas", options.devices.replicas), std::pair("--groups", options.devices.groups)})
    if (count != 1 && (!options.resume.empty() || !options.replay.empty()))
      throw UsageError(flag, "belongs to a new run", "one that knows it", "drop it");
  RunRequest request;
  request.ranks = ranks.exchange;
  request.cache_dir = cache_dir();
  request.devices = options.devices;
  request.plugins = plugins;
  request.out = options.out;
  if (!options.resume.empty() || !options.replay.empty()) {
    if (!options.resume.empty()) request.resume = options.resume;
    for (const auto& text : options.sets) request.changes.push_back(split_assignment(text));
    if (!options.replay.empty()) {
      request.replay = options.replay;
      request.numbered = options.out.empty();
      if (request.numbered) request.out = std::filesystem::path(options.replay + "-replay");
    }
    if (!options.flags.empty()) {
      ConfigSources threads;
      threads.overrides = options.flags;
      request.threads = static_cast<int>(Config::load(threads).values().integer("threads"));
    }
  } else {
    request.sources = sources_of(options);
    if (options.out.empty()) {
      const Config config = Config::load(request.sources);
      request.out = std::filesystem::path("runs") / (config.values().word("dataset.name") + "-" + config.solver());
      request.numbered = true;
    }
  }
  catch_interrupts();
  RunEvents events;
  events.stop_requested = [] { return interrupted(); };
  if (!ranks.leads()) return run_training(request, events).interrupted ? kInterrupted : kDone;
  ProgressDisplay display(options.quiet);
  RunLog log;
  std::filesystem::path ready;
  events.folder_ready = [&](const std::filesystem::path& folder) {
    ready = folder;
    log.open(folder);
  };
  events.step_done = [&](const Progress& p) { display.step(p); };
  events.epoch_done = [&](const EpochRecord& r, const std::string& metric) {
    display.epoch(r, metric);
    log.write(fmt::format("{} epoch {} loss {:.6g} test {}", r.layer, r.epoch, r.training_loss,
                          r.test ? fmt::format("{:.4f}", r.test->value) : "-"));
  };
  events.message = [&](const std::string& line) {
    display.message(line);
    log.write(line);
  };
  if (options.report)
    events.finished = [&](const std::filesystem::path& folder, bool earlier) {
      if (!earlier || !exists(folder / "report.html")) report_run(folder, events.message);
    };
  RunResult result;
  try {
    result = run_training(request, events);
  } catch (const Error& e) {
    display.finish();
    log.write(std::string("error: ") + e.what());
    if (e.kind() == ErrorKind::device && !ready.empty())
      display.message(fmt::format("saved; go on with: {}", resume_command(ready, options.devices, plugins)));
    if (dynamic_cast<const GateError*>(&e) != nullptr && !ready.empty())
      display.message(
          fmt::format("saved; go on with: {} --set KEY=VALUE (gradient.fallback=outputs, or other gradient.twin.* or "
                      "gradient.transfer.*)",
                      resume_command(ready, options.devices, plugins)));
    throw;
  }
  display.finish();
  if (result.interrupted) {
    const std::string line = fmt::format("interrupted and saved; go on with: {}", resume_command(result.folder, options.devices, plugins));
    note("{}\n", line);
    log.write(line);
    return kInterrupted;
  }
  if (options.json) fmt::print("{}\n", result.summary.dump(2));
  if (const auto lost = options.quiet ? std::nullopt : chip_loss(result.folder, cache_dir()); lost && lost->photonic)
    display.message(
        fmt::format("on this chip {} {:.4f}; its model at the same phases {:.4f}. `ffzero calibrate {}` fits a twin to the chip, "
                    "gradient.estimator = \"twin\" trains with one (docs/imperfect.md)",
                    lost->metric, lost->chip, lost->model, shell_word(result.folder.string())));
  else if (lost)
    display.message(fmt::format("with these imperfections {} {:.4f}; without them, at the same parameters, {:.4f} (docs/imperfect.md)",
                                lost->metric, lost->chip, lost->model));
  display.message(fmt::format("written to {}", result.folder.string()));
  return kDone;
}

// One error ends all ranks: who has one tells the others before it goes.
int run_as_rank(const TrainOptions& options, Commands& commands) {
  const JoinedRanks ranks = join_ranks();
  commands.leave = ranks.leave;
  try {
    return run_train(options, commands.plugins, ranks);
  } catch (const std::exception& thrown) {
    if (ranks.exchange) tell_ranks(*ranks.exchange, thrown);
    throw;
  }
}

}  // namespace

void add_train(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* train = app.add_subcommand("train", "Train a network with forward evaluations (or exactly, for comparison)");
  train->add_option("config", options->config, "experiment in TOML; without it the defaults: glyphs, a dense network");
  train->add_option("--set", options->sets, "key=value: override any key, may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  train->add_option("--solver", options->solver, "ff_dd | ff_ad | bp_dd | bp_ad | ff_activity | ff_coordinate");
  const auto flag = [&](const char* name, const char* key, const char* help, bool list = false) {
    train->add_option_function<std::string>(
        name,
        [options, key, list](const std::string& value) {
          options->flags.emplace_back(
              key, list && value.find_first_of(",[") != std::string::npos && value.front() != '[' ? "[" + value + "]" : value);
        },
        help);
  };
  flag("--dataset", "dataset.name", "mnist | fashion-mnist | function1 | function2 | glyphs | npz | csv | idx");
  flag("--data-dir", "dataset.dir", "folder with the data set (npz, csv: the file)");
  flag("--classes", "dataset.classes", "the first K labels, or a list: 0,1,7", true);
  flag("--model", "model.kind", "mlp | cnn | photonic | device");
  add_device_options(*train, options->devices);
  add_plugin_option(*train, commands);
  train->add_option("--replicas", options->devices.replicas,
                    "so many --device in a row hold the same parameters and share the samples of a batch (a file says so itself)");
  train->add_option("--groups", options->devices.groups,
                    "so many --device in a row look at the same inputs, each a group of a layer's outputs (a file says so itself)");
  train->add_option("--layers", options->layers, "widths of the dense layers: 100,100,10 (photonic: number of meshes)");
  flag("--epochs", "training.epochs", "passes over the train set per layer");
  flag("--batch-size", "training.batch_size", "samples in a step");
  flag("--lr", "update.lr", "learning rate");
  flag("--eps", "gradient.eps", "length of the perturbation");
  flag("--directions", "gradient.directions", "directions averaged in a step");
  flag("--seed", "seed", "every random number follows from it");
  flag("--threads", "threads", "threads; 0: all cores");
  flag("--preset", "preset", "default | paper | paper_stable | paper_mnist | paper_fashion | opaque | grouped | activity | adjoint");
  flag("--budget", "budget.forward_evals", "stop before the training evaluations pass this number");
  train->add_flag_callback(
      "--baseline,--control", [options] { options->flags.emplace_back("baseline.untrained", "true"); },
      "also train the same head on untrained layers; photonic: a linear classifier on the same inputs (--control: its name before 0.2)");
  train->add_option("--out", options->out, "run folder to create (default: runs/<dataset>-<solver>)");
  train->add_option("--resume", options->resume, "go on with the run in this folder; with --set only after gradient.fallback = \"stop\"");
  train->add_option("--replay", options->replay, "repeat the run in this folder from its journal, without its devices");
  train->add_flag("--json", options->json, "print summary.json on standard output");
  train->add_flag_callback(
      "--no-report", [options] { options->report = false; }, "no report.html and figures at the end");
  train->add_flag("--quiet", options->quiet, "no progress on standard error");
  add_examples(*train, {{"ffzero train --out runs/first", "the defaults: built-in images, a dense network"},
                        {"ffzero train --solver ff_dd --set gradient.directions=8", "outputs only, as on a device"},
                        {"ffzero train experiment.toml --seed 3", "settings of a file, and another seed"},
                        {"ffzero train --resume runs/first", "go on after Ctrl-C or a crash"}});
  train->callback([options, &commands] { commands.chosen = [options, &commands] { return run_as_rank(*options, commands); }; });
}

}  // namespace ffzero::app
