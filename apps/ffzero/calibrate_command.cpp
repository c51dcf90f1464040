// ffzero calibrate
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/run/calibrate.hpp"

namespace ffzero::app {

namespace {

using json = nlohmann::ordered_json;

struct CalibrateOptions {
  CalibrateRequest request;
  std::string run, out, since, fit = "couplers", data_dir;
  std::vector<std::string> sets;
  bool json = false;
};

int calibrate(CalibrateOptions o) {
  o.request.run = o.run;
  o.request.out = o.out;
  if (!o.since.empty()) o.request.since = o.since;
  o.request.options.freedom = o.fit == "all" ? TwinFreedom::all : TwinFreedom::couplers;
  o.request.cache_dir = cache_dir();
  for (const std::string& set : o.sets) o.request.overrides.push_back(split_assignment(set));
  if (!o.data_dir.empty()) o.request.overrides.emplace_back("dataset.dir", o.data_dir);
  catch_interrupts();
  o.request.stop = interrupted;
  const json result = calibrate_run(o.request);
  if (interrupted()) return kInterrupted;
  if (o.json) {
    fmt::print("{}\n", result.dump(2));
    return kDone;
  }
  const auto number = [](const json& group, const char* key) { return group.at(key).get<double>(); };
  const auto errors = [&](const char* title, const json& e) {
    fmt::print("{:<10}  couplers {:.3g} left, {:.3g} right; offsets {:.3g} theta, {:.3g} phi", title, number(e, "coupler_left"),
               number(e, "coupler_right"), number(e, "theta_offset"), number(e, "phi_offset"));
    if (o.fit == "all")
      fmt::print("; gains {:.3g} theta, {:.3g} phi; crosstalk {:.3g}; detectors {:.3g}", number(e, "theta_gain"), number(e, "phi_gain"),
                 number(e, "crosstalk"), number(e, "detector_gain"));
    fmt::print(" (rms)\n");
  };
  fmt::print("{:<10}  {}, layer {}\n", "chip", result.at("identity").get<std::string>(), o.request.layer);
  fmt::print("{:<10}  {} settings x {} samples = {}\n", "readings", o.request.options.settings, o.request.options.samples,
             result.at("readings").get<Index>());
  fmt::print("{:<10}  {:.3g} before, {:.3g} after, of settings that were held out (relative, of powers)\n", "error",
             number(result.at("error"), "before"), number(result.at("error"), "after"));
  errors("found", result.at("found"));
  if (!result.at("since").is_null()) errors("moved", result.at("since"));
  if (number(result.at("error"), "after") > 0.5)
    fmt::print(
        "{:<10}  the twin is no model of the chip yet: take more --steps (no reading), a smaller --spread or more --settings, or train "
        "with gradient.estimator = \"directional\"\n",
        "note");
  return kDone;
}

}  // namespace

void add_calibrate(CLI::App& app, Commands& commands) {
  auto o = std::make_shared<CalibrateOptions>();
  CLI::App* c = app.add_subcommand("calibrate", "Read a photonic chip near the phases of a run and fit a twin's errors to the readings");
  c->add_option("run", o->run, "run folder or checkpoint: where the phases are")->required();
  c->add_option("--out", o->out, "file of the calibration (.npz), for gradient.twin.file and model.mesh.chip.file");
  c->add_option("--set", o->sets, "KEY=VALUE: which chip it is, e.g. model.mesh.chip.coupler=0.06; repeatable");
  c->add_option("--layer", o->request.layer, "whose mesh")->check(CLI::Range(0, 1023));
  c->add_option("--settings", o->request.options.settings, "settings of the phases; one in ten is held out")->check(CLI::Range(2, 1000000));
  c->add_option("--samples", o->request.options.samples, "samples read at each")->check(CLI::Range(1, 1000000));
  c->add_option("--spread", o->request.options.spread, "spread of the settings around the run's phases, rad")
      ->check(CLI::Range(1e-6, 10.0));
  c->add_option("--steps", o->request.options.steps, "steps of the fit")->check(CLI::Range(1, 100000000));
  c->add_option("--fit", o->fit, "couplers: angles and offsets; all: gains, crosstalk and detectors too")
      ->check(CLI::IsMember({"couplers", "all"}));
  c->add_option("--seed", o->request.seed, "of settings and samples");
  c->add_option("--since", o->since, "an earlier calibration of this chip: what has moved");
  c->add_option("--data-dir", o->data_dir, "where the run's data set is");
  c->add_option("--threads", o->request.threads, "0: all cores")->check(CLI::Range(0, 1024));
  c->add_flag("--json", o->json, "the report as JSON");
  add_examples(*c, {{"ffzero calibrate runs/chip --out chip.npz", "a twin for gradient.twin.file"}});
  c->callback([o, &commands] { commands.chosen = [o] { return calibrate(*o); }; });
}

}  // namespace ffzero::app
