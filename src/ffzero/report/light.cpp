// Light as data.
// SPDX-License-Identifier: MIT
#include "ffzero/report/light.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/page.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/run/evaluate.hpp"
#include "ffzero/run/evaluation_data.hpp"
#include "ffzero/run/mesh_light.hpp"
#include "ffzero/run/pictures.hpp"
#include "ffzero/run/run.hpp"
#include "ffzero/settings/build_network.hpp"
#include "ffzero/train/mesh_start.hpp"

namespace ffzero {

namespace {

constexpr Index kAngleBins = 36;
constexpr double kTurn = 2.0 * std::numbers::pi;

NpyArray array_of(const Matrix<float>& m) { return NpyArray::of<float>({m.data(), usize(m.size())}, {m.rows(), m.cols()}); }
NpyArray array_of(const std::vector<float>& v) { return NpyArray::of<float>(v, {isize(v.size())}); }

// Counts of theta, phi and gamma over the turn; phases that drive nothing are left out.
NpyArray histogram(const MeshLayout& layout, std::span<const float> phases) {
  std::vector<std::int32_t> counts(usize(3 * kAngleBins), 0);
  const auto add = [&](Index row, Index at) {
    const double part = static_cast<double>(phases[usize(at)]) / kTurn;
    const auto bin = static_cast<Index>((part - std::floor(part)) * static_cast<double>(kAngleBins));
    ++counts[usize(row * kAngleBins + std::min(bin, kAngleBins - 1))];
  };
  for (Index column = 0; column < layout.columns(); ++column)
    for (Index pair = 0; pair < layout.pairs(column); ++pair) {
      add(0, layout.offset(column) + pair);
      add(1, layout.phi_begin() + layout.offset(column) + pair);
    }
  for (Index i = 0; i < layout.ports(); ++i) add(2, layout.gamma_begin() + i);
  return NpyArray::of<std::int32_t>(counts, {3, kAngleBins});
}

struct Drift {
  std::vector<float> angles;
  double mean = 0.0, most = 0.0;
};

Drift drift_of(std::span<const float> before, std::span<const float> after) {
  Drift drift;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double angle = wrapped(static_cast<double>(after[i]) - static_cast<double>(before[i]));
    drift.angles.push_back(static_cast<float>(angle));
    drift.mean += std::abs(angle) / static_cast<double>(before.size());
    drift.most = std::max(drift.most, std::abs(angle));
  }
  return drift;
}

nlohmann::ordered_json add_mesh(std::size_t i, const MeshView& before, const MeshView& after, const std::array<Matrix<float>, 2>& fields,
                                NpzArchive& arrays) {
  const Drift drift = drift_of(before.theta, after.theta);
  const auto put = [&](const char* name, NpyArray array) { arrays[fmt::format("{}.{}", name, i)] = std::move(array); };
  put("fields_before", array_of(fields[0]));
  put("fields_after", array_of(fields[1]));
  put("phases_before", NpyArray::of<float>(before.theta, {isize(before.theta.size())}));
  put("phases_after", NpyArray::of<float>(after.theta, {isize(after.theta.size())}));
  put("phases_drift", array_of(drift.angles));
  put("histogram_before", histogram(before.layout, before.theta));
  put("histogram_after", histogram(after.layout, after.theta));
  const auto energy = [&](const Matrix<float>& field, Index row) { return field.row(row).cast<double>().squaredNorm(); };
  return {{"name", after.name},
          {"layer", after.layer},
          {"ports", after.layout.ports()},
          {"columns", after.layout.columns()},
          {"energy_in", energy(fields[1], 0)},
          {"energy_out", energy(fields[1], fields[1].rows() - 1)},
          {"mean_drift_rad", drift.mean},
          {"largest_drift_rad", drift.most}};
}

NpyArray powers(const NpyArray& fields) {
  const auto values = fields.to<float>();
  return array_of(powers_of(Eigen::Map<const Matrix<float>>(values.data(), fields.shape[0], fields.shape[1])));
}

// The data as the figures of a run expect them.
RunData as_run(const LightData& light, const LightRequest& request) {
  const LoadedRun loaded = load_run(request.run);
  RunData run;
  run.name = request.run.filename().string();
  run.folder = request.run;
  nlohmann::json meshes = nlohmann::json::array();
  for (std::size_t i = 0; i < light.summary.at("meshes").size(); ++i) {
    const auto& mesh = light.summary["meshes"][i];
    meshes.push_back({{"name", mesh.at("name")},
                      {"ports", mesh.at("ports")},
                      {"layout", loaded.config.values().word("model.mesh.layout")},
                      {"dead_parameters", loaded.config.values().flag("model.mesh.dead_parameters")}});
    run.arrays[fmt::format("phases_initial.{}", i)] = light.arrays.at(fmt::format("phases_before.{}", i));
    run.arrays[fmt::format("phases_final.{}", i)] = light.arrays.at(fmt::format("phases_after.{}", i));
    run.arrays[fmt::format("mesh_power.{}", i)] = light.arrays.at(fmt::format("power_by_class.{}", i));
    for (const char* when : {"before", "after"})
      run.arrays[fmt::format("light_{}.{}", when, i)] = powers(light.arrays.at(fmt::format("fields_{}.{}", when, i)));
  }
  run.arrays["energy"] = light.arrays.at("energy");
  const DatasetInfo& names = loaded.state.data;
  run.about = {{"meshes", meshes},
               {"light_sample", light.summary.at("sample")},
               {"class_names", names.class_texts.empty() ? nlohmann::json(names.class_names) : nlohmann::json(names.class_texts)}};
  return run;
}

std::string number(const nlohmann::ordered_json& j) { return fmt::format("{:.6g}", j.get<double>()); }

// What the sample is, and what the network says about it.
void add_prediction(const TrainedNetwork& trained, const Dataset& test, Index sample, LightData& light) {
  const Opinions opinions = trained.infer(test.slice(sample, 1), "the test set");
  nlohmann::ordered_json& summary = light.summary;
  if (test.task() == Task::classification) {
    const Matrix<float> scores = joint_scores(trained, opinions);
    summary["label"] = test.labels()[usize(sample)];
    summary["prediction"] = opinions.decision.at(0);
    summary[gives_similarities(trained) ? "similarities" : "scores"] = std::vector<float>(scores.data(), scores.data() + scores.cols());
  } else {
    const Matrix<double> values = trained.predictor().values(opinions);
    summary["targets"] = summary["predictions"] = nlohmann::ordered_json::array();
    for (Index t = 0; t < test.outputs(); ++t) {
      const double target = test.targets()[usize(sample * test.outputs() + t)];
      summary["targets"].push_back(trained.info().scale_of(t).original(target));
      summary["predictions"].push_back(values(0, t));
    }
  }
  if (has_pictures(test))
    light.arrays["image"] = NpyArray::of<std::uint8_t>(grey_picture(test, sample), {test.shape().height, test.shape().width});
}

// "is 7, taken for 1 (similarity 0.93; 7: 0.41)" or targets and what was got, for HTML.
std::string prediction_words(const nlohmann::ordered_json& summary, const RunData& run) {
  if (!summary.contains("prediction")) {
    const auto row = [&](const char* name) {
      std::string text;
      for (const auto& value : summary.at(name)) text += (text.empty() ? "" : ", ") + number(value);
      return text;
    };
    return fmt::format("target {}<br><b class=\"right\">got {}</b>", row("targets"), row("predictions"));
  }
  const Index label = summary.at("label"), taken = summary.at("prediction");
  const bool similar = summary.contains("similarities");
  const auto& scores = summary.at(similar ? "similarities" : "scores");
  std::string words = fmt::format("is {}<br><b{}>taken for {}</b><br>{} {:.3f}", html_escaped(run.class_name(label)),
                                  label == taken ? " class=\"right\"" : "", html_escaped(run.class_name(taken)),
                                  similar ? "similarity" : "score", scores.at(usize(taken)).get<double>());
  if (label != taken) words += fmt::format("<br>{}: {:.3f}", html_escaped(run.class_name(label)), scores.at(usize(label)).get<double>());
  return words;
}

}  // namespace

ReportResult write_light(const LightData& light, const LightRequest& request, const std::filesystem::path& out,
                         const GnuplotOptions& gnuplot) {
  const RunData run = as_run(light, request);
  const FigureGroup group = photonic_figures(run);
  const Drawing drawing = draw(group.figures, out / "figures", gnuplot);
  ReportResult result{out / "light.html", 0, drawing_notices(drawing)};
  if (drawing.available) result.figures = static_cast<int>(group.figures.size() - drawing.failures.size());
  write_npz(out / "light.npz", light.arrays, true);
  write_file_atomically(out / "light.json", light.summary.dump(2) + "\n");
  Table table{{"mesh", "waveguides", "energy in", "energy out", "mean drift, rad", "largest drift, rad"}, {}};
  for (const auto& mesh : light.summary.at("meshes"))
    table.rows.push_back({mesh.at("name"), mesh.at("ports").dump(), number(mesh.at("energy_in")), number(mesh.at("energy_out")),
                          number(mesh.at("mean_drift_rad")), number(mesh.at("largest_drift_rad"))});
  const std::string title =
      fmt::format("Light of test sample {} through {}", light.summary.at("sample").dump(), request.run.filename().string());
  const auto image = light.arrays.find("image");
  const std::string card = sample_html(
      image == light.arrays.end() ? nullptr : &image->second, out / "figures" / "sample.png",
      prediction_words(light.summary, run) + fmt::format("<br><span class=\"quiet\">test {}</span>", light.summary.at("sample").dump()));
  write_file_atomically(result.file, page(title, "<h1>" + html_escaped(title) + "</h1>\n" + notices_html(result.notices) + card +
                                                     table.html() + figures_html(group, out / "figures", "m")));
  return result;
}

LightData light_of(const LightRequest& request) {
  LoadedRun run = load_run(request.run);
  if (!run.config.values().is("model.kind", "photonic"))
    throw ConfigError(request.run.string(), "only photonic networks have light to look at",
                      "model.kind = " + run.config.values().at("model.kind").dump());
  const Splits splits = load_splits(run.config, request.cache_dir);
  if (request.sample < 0 || request.sample >= splits.test.size())
    throw DataError("--sample", fmt::format("the test set has samples 0 .. {}", splits.test.size() - 1), std::to_string(request.sample));
  const auto executor = std::make_shared<const Executor>(0);
  const TrainedNetwork trained(std::move(run));
  const Config& config = trained.config();
  const Encoder& encoder = trained.encoder();
  const auto initial = initial_network<float>(config, encoder.output_shape(), trained.state().classes, executor);

  std::vector<float> x(usize(encoder.output_shape().size()));
  encode_sample(encoder, splits.test, request.sample, x);
  const auto before = light_through(initial, x), after = light_through(trained.network(), x);
  const auto meshes_before = meshes_of(initial), meshes_after = meshes_of(trained.network());

  LightData light;
  light.summary = {{"sample", request.sample}, {"label", nullptr}, {"meshes", nlohmann::ordered_json::array()}};
  add_prediction(trained, splits.test, request.sample, light);
  const Outputs none;
  NpzArchive powers = mesh_powers(
      {.config = config, .encoder = encoder, .network = trained.network(), .outputs = none, .splits = splits, .executor = executor});
  for (std::size_t i = 0; i < after.size(); ++i) {
    light.summary["meshes"].push_back(add_mesh(i, meshes_before[i], meshes_after[i], {before[i], after[i]}, light.arrays));
    light.arrays[fmt::format("power_by_class.{}", i)] = std::move(powers.at(fmt::format("mesh_power.{}", i)));
  }
  light.arrays["energy"] = std::move(powers.at("energy"));
  return light;
}

}  // namespace ffzero
