// Presets.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/presets.hpp"

#include <algorithm>

namespace ffzero {

namespace {

using json = nlohmann::json;

void add(PresetValues& values, const PresetValues& more) { values.insert(values.end(), more.begin(), more.end()); }

// The loss looks behind the nonlinearity, similarities go through a softmax, the last layer speaks.
PresetValues local_layers() {
  return {{"model.activation", "relu"}, {"model.local_loss_at", "post"}, {"objective.temperature", 0.05},
          {"update.rule", "adam"},      {"update.schedule", "cosine"},   {"vote.rule", "last"}};
}

// Directions in the space of the weights: few parameters per loss that is read, and many small steps.
PresetValues few_parameters() { return {{"gradient.distribution", "rademacher"}, {"training.batch_size", 16}, {"training.epochs", 10}}; }

PresetValues dense(std::string_view preset, const Values& v) {
  const bool directional = v.is("gradient.estimator", "directional");
  PresetValues values = local_layers();
  if (!directional) {
    add(values, {{"model.layers", json::array({400, 400})},
                 {"model.normalise", "centre_length"},
                 {"training.batch_size", 64},
                 {"training.epochs", 15}});
    return values;
  }
  add(values, few_parameters());
  // Layers that are trained as one block share one loss.
  if (v.is("objective.scope", "end_to_end"))
    add(values, {{"model.layers", json::array({100, 30})},
                 {"model.pca", json::array({25})},
                 {"model.activation", "none"},
                 {"update.lr", 2e-3},
                 {"training.batch_size", 8}});
  else if (v.is("objective.scope", "blocks"))
    add(values, {{"model.layers", json::array({50, 30})}, {"model.pca", json::array({40})}});
  else if (preset == "opaque")
    add(values, {{"model.layers", json::array({100, 100})},
                 {"model.pca", json::array({25, 30})},
                 {"model.normalise", "centre_length"},
                 {"objective.temperature", 0.1},
                 {"update.lr", 5e-3},
                 {"training.batch_size", 8},
                 {"vote.rule", "sum"}});
  else
    add(values, {{"model.layers", json::array({1280, 1280})}, {"model.groups", 20}, {"model.pca", json::array({40, 60})}});
  return values;
}

PresetValues convolutional(std::string_view preset, const Values& v) {
  const bool directional = v.is("gradient.estimator", "directional"), end_to_end = v.is("objective.scope", "end_to_end");
  PresetValues values = local_layers();
  add(values, {{"model.conv.channels", json::array({16, 16})},
               {"model.conv.kernel", json::array({5})},
               {"model.conv.projection_pool", 7},
               {"model.layers", json::array({100})},
               {"training.batch_size", 64},
               {"training.epochs", 5}});
  add(values, {{"model.normalise", "centre_length"}});
  if (!directional) return values;
  add(values, few_parameters());
  add(values, {{"training.epochs", 5}});
  if (end_to_end) {
    add(values, {{"model.conv.channels", json::array({4, 4})}, {"model.layers", json::array({10})}, {"model.normalise", "none"}});
    return values;
  }
  add(values, {{"model.pca", json::array({60})}, {"update.hold_norm", true}, {"model.normalise", "none"}});
  if (preset == "opaque")
    add(values, {{"gradient.one_loss", true}});
  else
    add(values, {{"model.layers", json::array({1280})}, {"model.groups", 20}});
  return values;
}

PresetValues photonic(const Values& v) {
  PresetValues values = {
      {"dataset.optical_field", "fourier"}, {"dataset.crop", 8},           {"model.mesh.layers", 1},    {"model.mesh.gain", "unit_power"},
      {"objective.temperature", 0.05},      {"update.schedule", "cosine"}, {"training.batch_size", 64}, {"training.epochs", 20},
      {"vote.rule", "sum_log_softmax"},     {"gradient.eps", 0.05}};
  if (v.is("gradient.estimator", "directional")) add(values, {{"gradient.distribution", "rademacher"}});
  if (v.is("gradient.estimator", "adjoint")) add(values, {{"objective.temperature", 0.02}});
  return values;
}

// A device answers with noise: perturbations well above it, several directions, and no reading that training does not need.
PresetValues device(std::string_view preset) {
  PresetValues values = {{"model.layers", json::array()}};
  if (is_paper_preset(preset)) return values;
  add(values, local_layers());
  add(values, {{"objective.temperature", 0.1},
               {"gradient.distribution", "rademacher"},
               {"gradient.directions", 4},
               {"gradient.eps", 0.1},
               {"update.lr", 1e-2},
               {"training.batch_size", 16},
               {"training.epochs", 10},
               {"training.log_samples", 0},
               {"training.log_test", false}});
  return values;
}

PresetValues paper(const Values& v) {
  if (v.is("model.kind", "cnn")) return {{"model.layers", json::array({10})}, {"model.conv.batchnorm", "batch"}};
  if (!v.is("model.kind", "photonic")) return {};
  PresetValues values = {{"training.batch_size", 128},
                         {"vote.rule", "majority_early"},
                         {"model.mesh.dead_parameters", true},
                         {"model.mesh.direction", "separate"},
                         {"update.epsilon", 1e-7},
                         {"update.epsilon_form", "keras"},
                         {"dataset.crop", 5},
                         {"training.epochs", 100}};
  if (v.is("objective.scope", "end_to_end")) add(values, {{"objective.temperature", 1.0}});
  return values;
}

const char* estimator_of(std::string_view preset, const Values& said) {
  if (said.is("model.kind", "device")) return "directional";
  if (preset == "activity" || preset == "adjoint") return preset == "activity" ? "activity" : "adjoint";
  // What ffzero computes itself has a known structure; what is trained as one block of several layers, or is a mesh, stands for a device.
  const bool known = said.is("objective.scope", "local") && !said.is("model.kind", "photonic");
  return preset == "default" && known ? "activity" : "directional";
}

// Sides of the maps that the convolutions pass on.
Index conv_outputs(const Values& v, const Shape& sample) {
  const auto channels = v.integers("model.conv.channels");
  const auto entry = [&](const char* key, std::size_t i) {
    const auto list = v.integers(key);
    return list.at(std::min(i, list.size() - 1));
  };
  Index height = sample.height, width = sample.width;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const auto reduce = [&](Index side) {
      const Index maps = (side + 2 * entry("model.conv.padding", i) - entry("model.conv.kernel", i)) / entry("model.conv.stride", i) + 1;
      const Index pool = entry("model.conv.pool", i);
      return pool == 0 ? maps : (maps - pool) / entry("model.conv.pool_stride", i) + 1;
    };
    height = reduce(height);
    width = reduce(width);
  }
  return std::max<Index>(0, height) * std::max<Index>(0, width) * (channels.empty() ? 0 : channels.back());
}

constexpr Index kUnitsPerClass = 3;  // narrower groups stop learning before they stop being cheap

void fit_groups(Values& v, Index classes, bool regression) {
  Index groups = regression ? 1 : v.integer("model.groups");
  const auto fits = [&](Index width) { return width % groups == 0 && width / groups >= kUnitsPerClass * classes; };
  const auto widths = v.integers("model.layers");
  while (groups > 1 && !std::all_of(widths.begin(), widths.end(), fits)) --groups;
  v.resolve("model.groups", groups);
}

void fit_components(Values& v, const std::optional<Shape>& sample) {
  const auto widths = v.integers("model.layers");
  std::vector<std::int64_t> pca = v.integers("model.pca");
  const Index block = layers_per_block(v, isize(widths.size()));
  pca.resize(widths.size(), pca.back());
  for (std::size_t i = 0; i < pca.size(); ++i) {
    Index inputs = i > 0 ? widths[i - 1] : sample ? sample->size() : pca[i];
    if (i == 0 && sample && v.is("model.kind", "cnn")) inputs = conv_outputs(v, *sample);
    pca[i] = isize(i) % block == 0 ? std::min(pca[i], inputs) : 0;
  }
  v.resolve("model.pca", pca);
}

constexpr Index kSmallSet = 2000;

// One layer of the preset's first width: what a second one adds to a table is mostly over-fitting.
void fit_widths(Values& v, const DataFacts& facts) {
  constexpr Index kManyFeatures = 2000, kFewUnits = 100, kUnitsOfRegression = 40;
  const bool directional = v.is("gradient.estimator", "directional");
  Index width = v.integers("model.layers").front();
  if (!directional && facts.sample.size() > kManyFeatures) width = kFewUnits;
  if (directional && facts.regression) width = kUnitsOfRegression;
  v.resolve("model.layers", json::array({width}));
  if (!v.at("model.pca").empty() && !v.is_explicit("model.pca")) v.resolve("model.pca", json::array({v.integers("model.pca").front()}));
}

// Small batches for few samples, and at least fewest_steps in all. Targets with noise are over-fitted less by as many steps on smaller
// batches (docs/results.md, Small tables).
void fit_steps(Values& v, const DataFacts& facts) {
  constexpr Index kLeastBatch = 8, kBatchesOfSet = 4, kBatchesOfTargets = 32;
  const Index n = std::max<Index>(1, facts.train_size);
  const bool directional = v.is("gradient.estimator", "directional");
  const Index batches = facts.regression && !directional ? kBatchesOfTargets : kBatchesOfSet;
  if (!v.is_explicit("training.batch_size"))
    v.resolve("training.batch_size", std::clamp<Index>(n / batches, std::min(n, kLeastBatch), v.integer("training.batch_size")));
  if (v.is_explicit("training.epochs")) return;
  constexpr Index most = 100000;
  const Index fewest = fewest_steps(v, facts).value_or(0);
  const Index batch = std::min(n, v.integer("training.batch_size")), steps = divide_up(n, batch);
  Index epochs = std::max(v.integer("training.epochs"), divide_up(fewest, steps));
  // More samples have more to tell, which one direction a step is slow to take in.
  constexpr Index kPasses = 600, kStepsOfPasses = 30000;
  if (directional && facts.regression) epochs = std::max(epochs, std::min(kPasses, kStepsOfPasses / steps));
  v.resolve("training.epochs", std::max<Index>(1, std::min(epochs, most / steps)));
}

}  // namespace

bool is_paper_preset(std::string_view preset) { return preset.starts_with("paper"); }

PresetValues preset_frame(std::string_view preset, const Values& said) {
  if (preset == "paper_mnist" || preset == "paper_fashion") return {{"model.kind", "cnn"}};
  if (is_paper_preset(preset)) return {};
  return {{"gradient.estimator", estimator_of(preset, said)}};
}

PresetValues preset_values(std::string_view preset, const Values& v) {
  if (v.is("model.kind", "device")) return device(preset);
  if (preset == "paper" || preset == "paper_stable") return paper(v);
  if (preset == "paper_mnist")
    return {{"model.conv.channels", json::array({4, 4})},
            {"model.layers", json::array({10})},
            {"model.conv.batchnorm", "batch"},
            {"training.epochs", 5}};
  if (preset == "paper_fashion")
    return {{"model.conv.channels", json::array({16, 16})},
            {"model.layers", json::array({100, 10})},
            {"model.dropout", 0.1},
            {"model.conv.batchnorm", "batch"},
            {"training.epochs", 5}};
  if (v.is("model.kind", "photonic")) return photonic(v);
  return v.is("model.kind", "cnn") ? convolutional(preset, v) : dense(preset, v);
}

bool is_table(const Values& v, const DataFacts& facts) {
  return !facts.images && facts.sample.channels == 1 && facts.sample.size() > 0 && !v.word("dataset.name").starts_with("function");
}

bool is_table_or_small(const Values& v, const DataFacts& facts) { return is_table(v, facts) || facts.train_size < kSmallSet; }

std::optional<Index> fewest_steps(const Values& v, const DataFacts& facts) {
  if (is_paper_preset(v.word("preset")) || v.is("model.kind", "photonic") || v.is("model.kind", "device") || !is_table_or_small(v, facts))
    return std::nullopt;
  return v.is("gradient.estimator", "directional") ? 7500 : facts.regression ? 4500 : 2000;
}

void fit_size(Values& v, const DataFacts& facts) {
  if (!fewest_steps(v, facts)) return;
  const bool one_loss_end_to_end = v.is("objective.scope", "end_to_end") && v.is("gradient.estimator", "directional");
  if (v.is("model.kind", "mlp") && v.is("preset", "default") && is_table(v, facts) && !one_loss_end_to_end &&
      !v.is_explicit("model.layers"))
    fit_widths(v, facts);
  fit_steps(v, facts);
}

void fit_preset(Values& v, Index classes, bool regression, const std::optional<Shape>& sample) {
  if (v.is("model.kind", "photonic") || v.is("model.kind", "device")) return;
  if (!v.is_explicit("model.groups") && v.integer("model.groups") > 1) fit_groups(v, classes, regression);
  if (!v.is_explicit("model.pca") && !v.at("model.pca").empty()) fit_components(v, sample);
}

}  // namespace ffzero
