// The study of imperfect chips.
// SPDX-License-Identifier: MIT
#include "ffzero/report/imperfect_study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/map/mesh/chip.hpp"
#include "ffzero/report/study_page.hpp"
#include "ffzero/run/run.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

using ArmKeys = std::vector<std::pair<std::string, nlohmann::json>>;

constexpr double kBatch = 64.0;                 // of the photonic presets, and of single phases
constexpr int kSinglePhases = 35, kDrawn = 16;  // single phases of a step, and the samples of a batch that they are read for
constexpr double kCalibrationSettings = 68.0, kCalibrationSamples = 16.0;  // the defaults of gradient.twin.*
constexpr int kSettingsOfAll = 687, kSamplesOfAll = 8;                     // of a twin of which everything is fitted
// A turn of the transfer estimator: 64 phases, 10 readings each, 32 for all of them.
constexpr int kTurnEach = 10;
constexpr double kTurnSettings = 65.0, kTurnReadings = 32.0 + 64.0 * kTurnEach;

int chip_count(const ReproduceOptions& options) { return options.quick ? 3 : 10; }
double size_of_errors(const ReproduceOptions& options) { return options.quick ? 0.15 : 0.06; }
double train_samples(const ReproduceOptions& options) { return options.mnist.empty() ? 10000.0 : 60000.0; }

ArmKeys common_keys(const ReproduceOptions& options) {
  ArmKeys keys{{"model.kind", "photonic"}, {"dataset.name", options.mnist.empty() ? "glyphs" : "mnist"}};
  if (!options.mnist.empty()) keys.emplace_back("dataset.dir", fs::absolute(options.mnist).string());
  if (options.quick) keys.emplace_back("dataset.crop", 4);
  keys.insert(keys.end(), {{"model.mesh.linear_head", "trained"}, {"training.log_samples", 0}});
  return keys;
}

RunSettings arm_settings(const Arm& arm, const ReproduceOptions& options, int chip) {
  RunSettings settings{.cell = arm.id == "directions" ? "ff_dd" : "", .keys = common_keys(options), .layer_tables = {}};
  settings.keys.insert(settings.keys.end(), arm.keys.begin(), arm.keys.end());
  if (arm.on_chips)
    settings.keys.insert(settings.keys.end(), {{"model.mesh.chip.coupler", size_of_errors(options)},
                                               {"model.mesh.chip.phase", size_of_errors(options)},
                                               {"model.mesh.chip.number", chip}});
  return settings;
}

/// An arm on all its chips.
struct ArmResult {
  std::vector<double> plain, readout;  ///< of each chip, medians over seeds: without a readout, with a linear head
  double readings = kNoValue;          ///< median
  std::string information;
  int diverged = 0, missing = 0;
  std::vector<std::vector<double>> curve;  ///< rows: readings a training sample, median over the chips
};

double last_of(const std::vector<std::vector<double>>& curve) { return curve.empty() ? kNoValue : curve.back().at(2); }

ArmResult arm_result(const Arm& arm, const std::vector<SettingResult>& results, double samples) {
  ArmResult own;
  std::vector<double> readings;
  std::vector<std::vector<std::vector<double>>> curves;
  for (const SettingResult& r : results) {
    if (r.axes[0].second != arm.id) continue;
    own.missing += r.missing;
    own.diverged += r.diverged;
    if (r.seeds.empty()) continue;
    own.plain.push_back(last_of(r.curve));
    own.readout.push_back(r.test.median);
    readings.push_back(r.forward_evals);
    own.information = r.information;
    curves.push_back(r.curve);
  }
  own.readings = quantile(readings, 0.5);
  std::size_t rows = curves.empty() ? 0 : curves[0].size();
  for (const auto& curve : curves) rows = std::min(rows, curve.size());
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<double> x, y;
    for (const auto& curve : curves) {
      x.push_back(curve[i].at(0) / samples);
      y.push_back(curve[i].at(2));
    }
    own.curve.push_back({quantile(x, 0.5), quantile(y, 0.5)});
  }
  return own;
}

double lowest_of(const std::vector<double>& values) { return quantile(values, 0.0); }
double median_of(const std::vector<double>& values) { return quantile(values, 0.5); }
std::string accuracy_text(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; }
std::string three_figures(double value) { return std::isfinite(value) ? fmt::format("{:.3g}", value) : "-"; }

std::vector<std::string> arm_row(const Arm& arm, const ArmResult& r, double direct, double ideal, double samples) {
  const bool known = std::isfinite(r.readings) && arm.writes != nullptr;
  const double writes = known ? arm.writes(r.readings) : kNoValue, readings = known ? r.readings : kNoValue;
  const ChipOptions nominal;
  std::string remarks = r.diverged > 0 ? fmt::format("{} diverged", r.diverged) : "";
  if (r.missing > 0) remarks += fmt::format("{}{} missing", remarks.empty() ? "" : ", ", r.missing);
  return {arm.title,
          arm.knowledge,
          r.information,
          three_figures(readings / samples),
          std::isfinite(writes) ? fmt::format("{:.0f}", writes) : "-",
          three_figures(readings * nominal.row_s + writes * nominal.write_s),
          accuracy_text(median_of(r.plain)),
          accuracy_text(lowest_of(r.plain)),
          arm.on_chips && arm.id != "direct" ? three_figures((median_of(r.plain) - direct) / (ideal - direct)) : "-",
          accuracy_text(median_of(r.readout)),
          accuracy_text(lowest_of(r.readout)),
          remarks};
}

Figure readings_figure(const std::vector<Arm>& arms, const std::vector<ArmResult>& results) {
  Figure f;
  f.name = "imperfect";
  f.title = "Training through the errors of a chip";
  f.caption =
      "Test accuracy without a readout over readings of the chip, medians over the chips. Dashed: trained on the model and loaded. Dotted: "
      "the model itself, without errors.";
  Range x = range_of({}, 1), y = x;
  std::vector<Curve> lines;
  std::vector<LegendEntry> entries;
  std::string marks;
  for (std::size_t i = 0; i < arms.size(); ++i) {
    const std::string colour = palette_colour(lines.size());
    const double end = median_of(results[i].plain);
    if (arms[i].id == "ideal" || arms[i].id == "direct") {
      if (!std::isfinite(end)) continue;
      const bool direct = arms[i].id == "direct";
      marks += fmt::format("set arrow from graph 0, first {} to graph 1, first {} nohead dt {} lc rgb \"{}\"\n", end, end, direct ? 2 : 3,
                           palette_colour(8));
      entries.push_back({arms[i].title, palette_colour(8), direct ? LegendEntry::Mark::dashed : LegendEntry::Mark::dotted});
      y = joined(y, {end, end});
      continue;
    }
    std::vector<std::vector<double>> rows;
    for (const auto& row : results[i].curve)
      if (row[0] > 0.0) rows.push_back(row);
    if (rows.empty()) continue;
    f.data += data_block(arms[i].id, rows);
    x = joined(x, range_of(rows, 1));
    y = joined(y, range_of(rows, 2));
    // An arm of one epoch is one point.
    lines.push_back(
        {arms[i].id, "1:2", fmt::format("with linespoints pt 7 ps {} lw 2 lc rgb \"{}\"", rows.size() == 1 ? 1.0 : 0.35, colour)});
    entries.push_back({arms[i].title, colour});
  }
  if (lines.empty()) return f;
  f.width = 520;
  f.height = 340;
  f.plot =
      legend(f, entries) + logarithmic_axis(x) + axis('y', y, {0.0, 1.0}) + marks +
      fmt::format("set xlabel {}\nset ylabel {}\n", gnuplot_text("readings of the chip a training sample"), gnuplot_text("test accuracy")) +
      plot_command(lines);
  return f;
}

std::string imperfect_introduction(const ReproduceOptions& options) {
  std::string text = fmt::format(
      "A mesh of {} ports whose couplers and phases are off by {} each (standard deviation), "
      "{} chips, on {}. **Everything is simulation**, and the chips share a generator. ",
      options.quick ? 16 : 64, size_of_errors(options), chip_count(options), options.mnist.empty() ? "the built-in glyphs" : "MNIST");
  text += options.quick ? "**Quick**: a small mesh with large errors, few epochs, one seed; the numbers show directions, not results.\n"
                        : "Medians over three seeds of the network.\n";
  return text + fmt::format("\nWritten by `ffzero reproduce imperfect{}`, ffzero {}.\n", options.quick ? " --quick" : "", version());
}

constexpr const char* kExplanation =
    "Readings are samples that the chip was shown in training; settings written follow from the plan of each estimator; seconds are "
    "those of the chip's nominal times (100 us a setting, 1 us a sample). Worst: the lowest of the chips. Recovery: "
    "(arm - direct) / (ideal - direct), medians without a readout. The linear head is digital; those of the transfer matrix and of the "
    "twin learn from modelled powers as well.\n\n"
    "What is known: the twin is the same simulator as the chip, with errors of couplers and phases that are fitted; it knows the layout. "
    "The transfer matrix knows that the chip is linear in its field and read by powers. The other two see outputs alone. \"Directions\" "
    "and \"single phases\" start at random phases, as the transfer matrix does; the twins start from phases that exact gradients of the "
    "model found, and so do \"slopes of the model\": readings of the chip, slopes of the model without errors (physics-aware "
    "training).\n\n"
    "\"Many errors\": these and noise, 8 bits, crosstalk, stuck heaters and drift; \"a hard mix\": losses, gains of phases and of "
    "detectors and more crosstalk as well, without drift. Their recovery is over the loaded chip of the second row, which has none of "
    "these.\n\n"
    "Not run here: noise-injected training, a transfer that is calibrated once without the twin's training, and forward-only training "
    "from the model's phases. Published numbers on such chips are of other networks (three stacked meshes, logits on ten ports) and not "
    "like for like.\n";

}  // namespace

std::vector<Arm> imperfect_arms(const ReproduceOptions& options) {
  const auto size = [&](int quick, int full) { return options.quick ? quick : full; };
  const ArmKeys model{{"objective.temperature", 0.02}, {"update.lr", 1e-2}};
  const auto with = [](ArmKeys keys, const ArmKeys& more) {
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
  };
  const int start = size(6, 20), refine = size(1, 2), epochs = size(10, 30);
  const int long_start = size(6, 40);  // epochs on the model read nothing
  const auto started_on_the_model = [&](const char* fit, int epochs_on_the_model, int epochs_on_chip, double chip_lr) {
    return with({{"preset", "adjoint"},
                 {"gradient.estimator", "twin"},
                 {"gradient.twin.order", "along"},
                 {"gradient.twin.fit", fit},
                 {"gradient.twin.start", epochs_on_the_model},
                 {"gradient.twin.chip_lr", chip_lr},
                 {"training.epochs", epochs_on_the_model + epochs_on_chip}},
                model);
  };
  // Errors that a model cannot know beside those that it is fitted to.
  const auto with_more_errors = [&](int epochs_on_the_model, int all_epochs, const ArmKeys& errors) {
    return with(with({{"preset", "adjoint"},
                      {"gradient.estimator", "twin"},
                      {"gradient.twin.fit", "all"},
                      {"gradient.twin.settings", kSettingsOfAll},
                      {"gradient.twin.samples", kSamplesOfAll},
                      {"gradient.twin.spread", 0.1},
                      {"gradient.twin.start", epochs_on_the_model},
                      {"gradient.twin.calibrated_lr", 3e-3},
                      {"gradient.twin.chip_lr", 3e-3},
                      {"gradient.twin.refine", refine},
                      {"training.epochs", all_epochs}},
                     model),
                errors);
  };
  const auto by_batches = [](double readings) { return readings / kBatch; };
  const auto by_settings_of_all = [](double readings) {
    return kSettingsOfAll + std::max(0.0, readings - kSettingsOfAll * kSamplesOfAll) / kBatch;
  };
  return {{"ideal", "the model itself", false, "-", with({{"preset", "adjoint"}, {"training.epochs", epochs}}, model)},
          {"direct", "trained on the model, loaded", true, "nothing",
           with({{"preset", "adjoint"},
                 {"gradient.estimator", "twin"},
                 {"gradient.twin.start", start},
                 {"gradient.twin.refine", 0},
                 {"training.epochs", start}},
                model),
           [](double) { return 1.0; }},
          {"directions", "random directions", true, "outputs", {{"preset", "opaque"}, {"training.epochs", size(10, 20)}}, by_batches},
          {"single_phases",
           "single phases",
           true,
           "outputs",
           {{"preset", "adjoint"},
            {"gradient.estimator", "coordinate"},
            {"gradient.distribution", "one_sided"},
            {"gradient.directions", kSinglePhases},
            {"gradient.importance_samples", kDrawn},
            {"training.batch_size", static_cast<int>(kBatch)},
            {"training.epochs", 4},
            {"update.lr", 0.1},
            {"update.beta1", 0.5},
            {"update.beta2", 0.95},
            {"objective.temperature", 0.1},
            {"objective.last_temperature", 0.03},
            {"budget.forward_evals", 40 * static_cast<std::int64_t>(train_samples(options))}},
           [](double readings) { return readings * (2.0 + kSinglePhases) / (kBatch + kDrawn * (1.0 + kSinglePhases)); }},
          {"transfer",
           "learnt matrix",
           true,
           "linear in the field",
           {{"preset", "adjoint"},
            {"gradient.estimator", "transfer"},
            {"gradient.transfer.readings", kTurnEach},
            {"gradient.transfer.steps", 10},
            {"training.epochs", 297},
            {"training.batch_size", 2000},
            {"objective.temperature", 0.03},
            {"update.lr", 0.1},
            {"update.beta1", 0.5},
            {"update.beta2", 0.9},
            {"budget.forward_evals", size(100000, 600000)}},
           [](double readings) { return readings * kTurnSettings / kTurnReadings; }},
          {"pat_1", "slopes of the model, 1 epoch", true, "layout and equations", started_on_the_model("none", start, 1, 3e-3), by_batches},
          {"pat_5", "slopes of the model, 5 epochs", true, "layout and equations", started_on_the_model("none", long_start, 5, 2e-3),
           by_batches},
          {"along_1", "twin, fitted along, 1 epoch", true, "layout and equations", started_on_the_model("couplers", start, 1, 3e-3),
           by_batches},
          {"along_5", "twin, fitted along, 5 epochs", true, "layout and equations", started_on_the_model("couplers", start, 5, 3e-3),
           by_batches},
          {"twin", "twin, fitted", true, "layout and equations",
           with({{"preset", "adjoint"},
                 {"gradient.estimator", "twin"},
                 {"gradient.twin.start", start},
                 {"gradient.twin.refine", refine},
                 {"training.epochs", epochs}},
                model),
           [](double readings) {
             return kCalibrationSettings + std::max(0.0, readings - kCalibrationSettings * kCalibrationSamples) / kBatch;
           }},
          {"everything", "twin, many errors", true, "layout and equations",
           with_more_errors(long_start, size(10, 66),
                            {{"model.mesh.chip.read_noise", 0.01},
                             {"model.mesh.chip.dac_bits", 8},
                             {"model.mesh.chip.crosstalk", 0.005},
                             {"model.mesh.chip.stuck", 0.01},
                             {"model.mesh.chip.drift_rms", 0.1},
                             {"model.mesh.chip.drift_time", options.quick ? 0.6 : 6.1}}),
           by_settings_of_all},
          {"hard", "twin, a hard mix", true, "layout and equations",
           with_more_errors(start, epochs,
                            {{"gradient.twin.steps", size(20000, 100000)},
                             {"model.mesh.chip.loss_db", 0.2},
                             {"model.mesh.chip.crosstalk", 0.02},
                             {"model.mesh.chip.phase_gain", 0.05},
                             {"model.mesh.chip.detector_gain", 0.05},
                             {"model.mesh.chip.stuck", 0.02},
                             {"model.mesh.chip.read_noise", 0.01},
                             {"model.mesh.chip.dac_bits", 8}}),
           by_settings_of_all}};
}

Study imperfect_study(const ReproduceOptions& options) {
  Study study{.name = "imperfect chips", .runs = {}, .dropped = {}};
  const std::vector<std::int64_t> seeds = options.quick ? std::vector<std::int64_t>{0} : std::vector<std::int64_t>{0, 1, 2};
  for (const Arm& arm : imperfect_arms(options))
    for (int chip = 0; chip < (arm.on_chips ? chip_count(options) : 1); ++chip)
      add_setting(study, arm_settings(arm, options, chip), {{"arm", arm.id}, {"chip", arm.on_chips ? std::to_string(chip) : "none"}},
                  seeds);
  return study;
}

std::vector<std::string> write_imperfect_study(const ReproduceOptions& options, const fs::path& out, const GnuplotOptions& gnuplot) {
  const Study study = imperfect_study(options);
  const std::vector<SettingResult> results = collect(study, out);
  const std::vector<Arm> arms = imperfect_arms(options);
  std::vector<ArmResult> own;
  double ideal = kNoValue, direct = kNoValue;
  for (const Arm& arm : arms) {
    own.push_back(arm_result(arm, results, train_samples(options)));
    if (arm.id == "ideal") ideal = median_of(own.back().plain);
    if (arm.id == "direct") direct = median_of(own.back().plain);
  }
  Table table{{"trained", "known of the chip", "information", "readings a sample", "settings written", "seconds", "test", "worst chip",
               "recovery", "with a linear head", "worst chip", "remarks"},
              {}};
  for (std::size_t i = 0; i < arms.size(); ++i) table.rows.push_back(arm_row(arms[i], own[i], direct, ideal, train_samples(options)));
  StudyPage page{.title = "Chips that are not their model",
                 .introduction = imperfect_introduction(options),
                 .sections = {{.title = {}, .figures = {}, .curves = {}, .table = table, .words = {}},
                              {.title = {}, .figures = {}, .curves = {}, .table = {}, .words = kExplanation}},
                 .command = options.command};
  Figure figure = readings_figure(arms, own);
  if (!figure.plot.empty()) page.sections[1].figures.push_back(std::move(figure));
  const nlohmann::ordered_json said = study_json(study, results, out);
  const auto notices = write_study_page(page, study, said, out, gnuplot);
  write_file_atomically(out / "report.md", study_markdown(page, study, notices));
  write_file_atomically(out / "table.csv", table.csv());
  write_file_atomically(out / "table.json", said.dump(2) + "\n");
  return notices;
}

}  // namespace ffzero
