// Presets.
// SPDX-License-Identifier: MIT
#include "ffzero/train/presets.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;

// Losses per sample do not depend on the batch, the loss looks behind the nonlinearity, similarities go through a softmax.
PresetValues better_dense() {
  return {{"model.activation", "relu"},
          {"model.local_loss_at", "post"},
          {"model.normalise", "centre_length"},
          {"objective.temperature", 0.05},
          {"update.rule", "adam"},
          {"update.schedule", "cosine"},
          {"vote.rule", "last"}};
}

PresetValues better(std::string_view kind) {
  PresetValues v = better_dense();
  if (kind == "mlp") {
    v.insert(v.end(), {{"model.layers", json::array({400, 400})}, {"training.batch_size", 64}, {"training.epochs", 15}});
  } else if (kind == "cnn") {
    v.insert(v.end(), {{"model.conv.channels", json::array({16, 16})},
                       {"model.conv.kernel", json::array({5})},
                       {"model.conv.projection_pool", 7},
                       {"model.layers", json::array({100})},
                       {"training.batch_size", 64},
                       {"training.epochs", 5}});
  } else {
    v = {
        {"dataset.optical_field", "fourier"}, {"dataset.crop", 8},           {"model.mesh.layers", 1},    {"model.mesh.gain", "unit_power"},
        {"objective.temperature", 0.05},      {"update.schedule", "cosine"}, {"training.batch_size", 64}, {"training.epochs", 20},
        {"vote.rule", "sum_log_softmax"},     {"gradient.eps", 0.05}};
  }
  return v;
}

void add(PresetValues& values, PresetValues more) { values.insert(values.end(), more.begin(), more.end()); }

PresetValues paper(std::string_view kind) {
  if (kind != "photonic") return {};
  return {{"training.batch_size", 128}, {"vote.rule", "majority_early"},  {"model.mesh.dead_parameters", true},
          {"update.epsilon", 1e-7},     {"update.epsilon_form", "keras"}, {"dataset.crop", 5},
          {"training.epochs", 100}};
}

}  // namespace

bool is_paper_preset(std::string_view preset) { return preset.starts_with("paper"); }

PresetValues preset_values(std::string_view preset, std::string_view kind) {
  if (preset == "paper" || preset == "paper_stable") {
    PresetValues v = paper(kind);
    if (kind == "cnn") add(v, {{"model.layers", json::array({10})}, {"model.conv.batchnorm", "batch"}});
    return v;
  }
  if (preset == "paper_mnist")
    return {{"model.kind", "cnn"},
            {"model.conv.channels", json::array({4, 4})},
            {"model.layers", json::array({10})},
            {"model.conv.batchnorm", "batch"},
            {"training.epochs", 5}};
  if (preset == "paper_fashion")
    return {{"model.kind", "cnn"},
            {"model.conv.channels", json::array({16, 16})},
            {"model.layers", json::array({100, 10})},
            {"model.dropout", 0.1},
            {"model.conv.batchnorm", "batch"},
            {"training.epochs", 5}};
  PresetValues v = better(kind);
  if (preset == "default") {
    if (kind == "mlp") add(v, {{"gradient.estimator", "activity"}});
    if (kind == "photonic") add(v, {{"gradient.distribution", "rademacher"}});
  } else if (preset == "activity") {
    add(v, {{"gradient.estimator", "activity"}});
  } else if (preset == "adjoint") {
    add(v, {{"gradient.estimator", "adjoint"}});
    if (kind == "photonic") add(v, {{"objective.temperature", 0.02}});
  } else {
    add(v, {{"gradient.estimator", "directional"}, {"gradient.distribution", "rademacher"}});
    if (preset == "grouped" && kind == "mlp")
      add(v, {{"model.layers", json::array({1280, 1280})},
              {"model.groups", 20},
              {"model.pca", json::array({40, 60})},
              {"training.batch_size", 16},
              {"update.lr", 1e-2}});
  }
  return v;
}

}  // namespace ffzero
