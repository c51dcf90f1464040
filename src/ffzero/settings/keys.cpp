// The table of keys.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/base/spelling.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/map/imperfect.hpp"
#include "ffzero/map/map_registry.hpp"
#include "ffzero/train/plan.hpp"
#include "ffzero/train/step_gradient.hpp"
#include "ffzero/update/rule.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;
constexpr double kMost = 1e15;
constexpr std::size_t kMostEntries = 1024;  // of a list with an entry a layer

std::string always(const Values&) { return {}; }

std::string needs_kind(const Values& v, std::string_view kind) {
  return v.is("model.kind", kind) ? "" : fmt::format("it belongs to model.kind = \"{}\"", kind);
}
std::string device_key(const Values& v) { return needs_kind(v, "device"); }
std::string failing_key(const Values& v) {
  return v.is("model.kind", "device") || v.number("model.imperfect.fail") > 0.0
             ? ""
             : "it belongs to model.kind = \"device\" or model.imperfect.fail > 0";
}
std::string mlp_or_cnn(const Values& v) { return v.is("model.kind", "photonic") ? "it belongs to model.kind = \"mlp\" or \"cnn\"" : ""; }
std::string local_only(const Values& v) {
  return v.is("objective.scope", "end_to_end") ? "it belongs to objective.scope = \"local\" or \"blocks\"" : "";
}
std::string has_distribution(const Values& v) {
  return v.is("gradient.estimator", "adjoint") || v.is("gradient.estimator", "twin") || v.is("gradient.estimator", "transfer")
             ? "it belongs to gradient.estimator = \"directional\", \"activity\" or \"coordinate\""
             : "";
}
std::string directional_or_activity(const Values& v) {
  if (one_sided(v)) return {};
  return v.is("gradient.estimator", "adjoint") || v.is("gradient.estimator", "coordinate") || v.is("gradient.estimator", "twin") ||
                 v.is("gradient.estimator", "transfer")
             ? "it belongs to gradient.estimator = \"directional\" or \"activity\", or gradient.distribution = \"one_sided\""
             : "";
}
std::string directional_only(const Values& v) {
  return v.is("gradient.estimator", "directional") ? "" : "it belongs to gradient.estimator = \"directional\"";
}
std::string twin_only(const Values& v) { return v.is("gradient.estimator", "twin") ? "" : "it belongs to gradient.estimator = \"twin\""; }
std::string transfer_only(const Values& v) {
  return v.is("gradient.estimator", "transfer") ? "" : "it belongs to gradient.estimator = \"transfer\"";
}
std::string twin_first(const Values& v) {
  if (!twin_only(v).empty()) return twin_only(v);
  return v.is("gradient.twin.order", "first") ? "" : "it belongs to gradient.twin.order = \"first\"";
}
// What is fitted by this program: the twin of a device is its owner's.
std::string chip_twin(const Values& v) {
  if (!twin_only(v).empty()) return twin_only(v);
  return v.is("model.kind", "photonic") ? "" : "it belongs to the twin of a photonic chip";
}
std::string fitted_chip_twin(const Values& v) {
  if (!chip_twin(v).empty()) return chip_twin(v);
  return v.is("gradient.twin.fit", "none") ? "with gradient.twin.fit = \"none\" nothing is fitted" : "";
}
std::string calibrated_chip_twin(const Values& v) { return fitted_chip_twin(v).empty() ? twin_first(v) : fitted_chip_twin(v); }
std::string gated(const Values& v) {
  if (transfer_only(v).empty()) return {};
  return twin_only(v).empty() ? calibrated_chip_twin(v) : "it belongs to gradient.estimator = \"twin\" or \"transfer\"";
}
std::string several_directions(const Values& v) {
  if (!directional_only(v).empty()) return directional_only(v);
  return v.integer("gradient.directions") > 1 ? "" : "it belongs to gradient.directions > 1";
}
std::string several_losses(const Values& v) {
  if (!directional_only(v).empty()) return directional_only(v);
  if (!local_only(v).empty()) return local_only(v);
  if (v.is("model.kind", "cnn")) return {};
  if (v.is("model.kind", "photonic"))
    return v.integer("model.mesh.parallel") > 1 ? "" : "one mesh has one loss, it belongs to model.mesh.parallel > 1";
  return v.integer("model.groups") > 1 ? "" : "a layer without groups has one loss";
}
std::string adam_only(const Values& v) { return v.is("update.rule", "adam") ? "" : "it belongs to update.rule = \"adam\""; }
std::string images_only(const Values& v) {
  return v.is("dataset.name", "function1") || v.is("dataset.name", "function2") ? "the functions have no images" : "";
}
std::string csv_only(const Values& v) { return v.is("dataset.name", "csv") ? "" : "it belongs to dataset.name = \"csv\""; }
std::string conv_key(const Values& v) { return needs_kind(v, "cnn"); }
std::string mesh_key(const Values& v) { return needs_kind(v, "photonic"); }
std::string deciding_key(const Values& v) {
  if (!local_only(v).empty()) return local_only(v);
  return v.is("dataset.task", "regression") || v.is("vote.rule", "last") ? "" : "it belongs to vote.rule = \"last\", and to regression";
}
std::string vote_key(const Values& v) {
  if (v.is("dataset.task", "regression")) return "regression has no vote";
  return local_only(v);
}

std::vector<std::string> auto_or(std::vector<std::string> names) {
  names.insert(names.begin(), "auto");
  return names;
}

// What is built in has keys of its own.
template <class Made>
std::function<std::string(const Values&)> of_registered(const Registry<Made>& registry) {
  return [&registry](const Values& v) {
    const auto added = registry.added();
    if (std::find(added.begin(), added.end(), v.word(registry.kind())) != added.end()) return std::string();
    return fmt::format("it belongs to a {} that the program has registered", registry.kind());
  };
}

/// Where a temperature means something; votes: in a vote, too.
std::function<std::string(const Values&)> of_temperature(bool votes) {
  return [votes](const Values& v) {
    if (!local_only(v).empty() && !v.is("model.kind", "photonic")) return local_only(v);
    return v.is("objective.loss", "cross_entropy") || v.is("objective.loss", "n_pair") || (votes && v.is("vote.rule", "sum_log_softmax"))
               ? std::string()
               : std::string("it belongs to objective.loss = \"cross_entropy\" or \"n_pair\"");
  };
}

std::vector<KeyInfo> make_table() {
  std::vector<KeyInfo> t;
  const auto choice = [&](const char* name, const char* fallback, std::vector<std::string> choices, const char* doc,
                          std::function<std::string(const Values&)> unused = always, bool per_layer = false) {
    t.push_back({name, KeyType::word, fallback, std::move(choices), 0, 0, per_layer, doc, std::move(unused)});
  };
  const auto add = [&](const char* name, KeyType type, json fallback, double minimum, double maximum, const char* doc,
                       std::function<std::string(const Values&)> unused = always, bool per_layer = false) {
    t.push_back({name, type, std::move(fallback), {}, minimum, maximum, per_layer, doc, std::move(unused)});
  };
  using enum KeyType;

  add("seed", integer, 0, 0, 9007199254740991.0, "Every random number of the run follows from it.");
  add("threads", integer, 0, 0, 1024, "Threads that work at once; 0: all cores. Results do not depend on it.");
  choice("preset", "default",
         {"default", "paper", "paper_stable", "paper_mnist", "paper_fashion", "opaque", "grouped", "activity", "adjoint"},
         "A named set of values under the user's own.");

  choice("dataset.name", "glyphs", {"mnist", "fashion-mnist", "function1", "function2", "glyphs", "npz", "csv", "idx", "memory"},
         "Data set; glyphs is built in and needs no file; memory: arrays of the program that calls (ffzero.train in Python).");
  add("dataset.dir", text, "", 0, 0,
      "Folder with the files, in <dir>/<name>/ or <dir>; for npz and csv the file itself. Empty: the cache folder.", [](const Values& v) {
        const auto name = v.word("dataset.name");
        return name == "glyphs" || name == "memory" || name.starts_with("function") ? std::string("this data set is not read from files")
                                                                                    : std::string();
      });
  choice("dataset.task", "auto", {"auto", "classification", "regression"},
         "auto: functions and real targets regress, labels classify; whole numbers that may be either are asked about.");
  add("dataset.label", text, "", 0, 0,
      "Column of a csv with labels or targets; several targets, separated by commas. Empty: the last column.", csv_only);
  add("dataset.ignore", text, "", 0, 0, "Columns of a csv that are left out, separated by commas.", csv_only);
  add("dataset.weights", text, "", 0, 0,
      "How much each training sample counts in the losses: a column of a csv, or an array of an npz. Empty: all alike.",
      [](const Values& v) {
        const bool may = v.is("dataset.name", "csv") || v.is("dataset.name", "npz") || v.is("dataset.name", "memory");
        return may ? std::string() : std::string("it belongs to dataset.name = \"csv\", \"npz\" or \"memory\"");
      });
  add("dataset.test", number, 0.2, 0.0001, 0.9999, "Share of a csv's rows that becomes the test set, of every class alike.", csv_only);
  add("dataset.split_seed", integer, 0, 0, 9007199254740991.0, "Of the shuffle of a csv's rows before the test set is taken.", csv_only);
  add("dataset.classes", classes, 0, 0, 65535, "0: all; K: the first K labels; a list: these labels, renumbered in its order.",
      [](const Values& v) { return v.is("dataset.task", "regression") ? std::string("regression has no classes") : std::string(); });
  add("dataset.crop", integer, 0, 0, 65535,
      "Centre crop to n x n pixels; with optical_field = \"fourier\" the window of frequencies. 0: whole image.", images_only);
  add("dataset.downsample", integer, 0, 0, 65535, "Adaptive average pooling to n x n pixels; 0: none.", images_only);
  add("dataset.validation", integer, 0, 0, kMost, "Samples held out from the end of the train set for choosing settings.");
  add("dataset.shift", integer, 0, 0, 64, "Training images are moved by up to this many pixels in each direction, anew each epoch.",
      images_only);
  add("dataset.flip", boolean, false, 0, 0, "Training images are mirrored left to right, half of them, anew each epoch.", images_only);
  choice("dataset.scale", "auto", {"auto", "none", "standardise", "sphere", "unit"},
         "Features on a common scale, fitted on the train set without labels: mean 0 and deviation 1 (standardise), the same over the root "
         "of the "
         "number of features (sphere), or range 0 .. 1 (unit). auto: sphere for vectors of real numbers, none for images, complex fields "
         "and the "
         "functions.");
  t.back().before = "none";
  choice("dataset.optical_field", "amplitude", {"amplitude", "fourier"},
         "How an image becomes light: pixels as amplitudes, or its low frequencies.", mesh_key);

  choice("model.kind", "mlp", {"mlp", "cnn", "photonic", "device"},
         "Which maps the layers are; device: hardware behind the device protocol, one [[model.device]] each.");
  add("model.layers", integers, json::array({100, 100, 100, 10}), 1, 1e6,
      "Widths of the dense layers (cnn: those after the convolutions; device: those behind the devices).", [](const Values& v) {
        return v.is("model.kind", "photonic") ? std::string("the number of meshes is model.mesh.layers, their width follows from the data")
                                              : std::string();
      });
  add("model.layers_before", integers, json::array(), 1, 1e6, "Widths of dense layers in front of the devices.", device_key);
  choice("model.map", "dense", layer_maps().built_in(),
         "What the layers of model.layers are made of: weights and biases, or weights on an analog crossbar (docs/imperfect.md).",
         mlp_or_cnn, true);
  t.back().before = "dense";
  t.back().registered = [] { return layer_maps().added(); };
  add(
      "model.map_options", text, "", 0, 0, "Numbers of a map other than dense: \"name = 0.5, other = 2\".",
      [](const Values& v) {
        return v.is("model.map", "dense") ? std::string("it belongs to another model.map than \"dense\"") : std::string();
      },
      true);
  choice("model.activation", "auto", {"auto", "none", "relu", "tanh"}, "Nonlinearity behind each dense layer.", mlp_or_cnn, true);
  choice(
      "model.local_loss_at", "pre", {"pre", "post"},
      "Where the local loss looks: before or after the nonlinearity (cnn: and pooling). Where a preset says post, dense layers with fewer "
      "than 3 outputs a class and group (regression: 12) stay with pre.",
      local_only, true);
  choice("model.normalise", "none", {"none", "length", "centre_length"}, "What a dense layer does to its output, after the nonlinearity.",
         mlp_or_cnn, true);
  add(
      "model.groups", integer, 1, 1, 1e6, "Output groups of each dense layer: prototypes of their own, perturbed together.",
      [](const Values& v) { return mlp_or_cnn(v).empty() ? local_only(v) : mlp_or_cnn(v); }, true);
  add("model.dropout", number, 0.0, 0, 0.99, "Share of what a layer passes on that is dropped in training.", mlp_or_cnn);
  add("model.input_dropout", number, 0.0, 0, 0.99, "Share of the network's inputs that is dropped in training.", mlp_or_cnn);
  add("model.pca", integers, json::array(), 0, 1e6,
      "Components kept before each dense layer (and each device), fitted without labels; one entry a layer, 0: none there. End to end: "
      "before the first only.",
      mlp_or_cnn);
  choice("model.front_end", "pca", {"pca", "dct"},
         "What model.pca keeps: principal components, or (dct) the lowest spatial frequencies where a layer takes images or maps.",
         [](const Values& v) { return v.at("model.pca").empty() ? std::string("model.pca is empty") : std::string(); });
  add("model.pca_power", number, 0.5, 0, 1, "Components are divided by eigenvalue^(power/2): 0 none, 0.5 half-whitened, 1 whitened.",
      [](const Values& v) { return v.at("model.pca").empty() ? std::string("model.pca is empty") : std::string(); });

  add("model.skip_zeros", boolean, true, 0, 0,
      "Dense layers skip the zeros of inputs that are mostly zero; false: dense arithmetic, for comparisons of speed.", mlp_or_cnn);

  add("model.conv.channels", integers, json::array({4, 4}), 1, 65536, "Output channels of each convolution.", conv_key);
  add("model.conv.kernel", integers, json::array({6}), 1, 1024, "Kernel size of each convolution, or one for all.", conv_key);
  add("model.conv.padding", integers, json::array({2}), 0, 1024, "Zero padding.", conv_key);
  add("model.conv.stride", integers, json::array({1}), 1, 1024, "Stride.", conv_key);
  add("model.conv.pool", integers, json::array({2}), 0, 1024, "Max pooling size; 0: none.", conv_key);
  add("model.conv.pool_stride", integers, json::array({2}), 1, 1024, "Max pooling stride; smaller than pool: overlapping.", conv_key);
  add("model.conv.projection", integer, 10, 1, 65536, "Dimension that a channel's map is projected to before its prototypes.",
      [](const Values& v) { return conv_key(v).empty() ? local_only(v) : conv_key(v); });
  add("model.conv.projection_pool", integer, 0, 0, 1024, "Maps are averaged to n x n before the projection; 0: not.",
      [](const Values& v) { return conv_key(v).empty() ? local_only(v) : conv_key(v); });
  choice("model.conv.batchnorm", "running", {"running", "batch"},
         "Inference with the train set's statistics, or with the batch's own (paper).", conv_key);

  add("model.mesh.layers", integer, 2, 1, 1024, "Number of meshes in a row.", mesh_key);
  choice("model.mesh.layout", "rectangular", {"rectangular", "triangular"}, "Order of the interferometers.", mesh_key);
  t.push_back({"model.mesh.gain",
               KeyType::number_or_auto,
               "none",
               {"none", "unit_power"},
               0,
               1e12,
               false,
               "Amplification between layers: none, unit_power, or a power factor.",
               mesh_key});
  choice("model.mesh.nonlinearity", "electro_optic", {"electro_optic", "detect", "none"}, "Between the meshes.", mesh_key);
  add("model.mesh.parallel", integer, 1, 1, 1024, "Meshes side by side on the same input; each has prototypes of its own.", mesh_key);
  choice("model.mesh.prototypes", "simplex", {"simplex", "ports", "last_ports"},
         "What powers are compared with. simplex: corners of a randomly turned simplex; ports: class c is the power at port c; "
         "last_ports: the last mesh has ports, those before it a simplex.",
         [](const Values& v) { return mesh_key(v).empty() ? local_only(v) : mesh_key(v); });
  choice("model.mesh.linear_head", "none", {"none", "trained", "joint"},
         "trained: behind the mesh a digital linear head on the intensities that training measured; joint: one that learns along with the "
         "mesh.",
         [](const Values& v) { return mesh_key(v).empty() ? local_only(v) : mesh_key(v); });
  choice("model.mesh.direction", "joint", {"joint", "separate"},
         "One unit direction over all phases, or one each for theta, phi and gamma (paper).", mesh_key);
  add("model.mesh.file", text, "", 0, 0,
      "Meshes to start from, and their prototypes: an .npz of the reference or of ffzero export. Empty: random.", mesh_key);
  add("model.mesh.dead_parameters", boolean, false, 0, 0, "Count the reference's unused phases in directions and sizes.", mesh_key);
  add("model.mesh.chip.seed", integer, 0, 0, 9007199254740991.0,
      "Of the chip: what is drawn of it, its noise and drift (docs/imperfect.md). With 0 in all that follow the mesh is its model.",
      mesh_key);
  add("model.mesh.chip.number", integer, 0, 0, 4095,
      "The first mesh is this chip of the seed, or of the file; those after it the next ones.", mesh_key);
  add("model.mesh.chip.file", text, "", 0, 0, "An .npz with errors of chips, in place of drawn ones. Empty: drawn.", mesh_key);
  add("model.mesh.chip.coupler", number, 0.0, 0, 0.3,
      "Spread of the couplers' e: amplitudes sqrt((1 +- e)/2). With a file: its set of that name.", mesh_key);
  add("model.mesh.chip.phase", number, 0.0, 0, 10, "Spread of static offsets of theta and phi, rad. With a file: its set of that name.",
      mesh_key);
  add("model.mesh.chip.phase_gain", number, 0.0, 0, 0.5,
      "Spread of the factor between the phase that is asked for and the one that is set.", mesh_key);
  add("model.mesh.chip.crosstalk", number, 0.0, -0.25, 0.25, "Share of a heater's phase that each of its four neighbours gets.", mesh_key);
  add("model.mesh.chip.dac_bits", integer, 0, 0, 24, "A full turn of a phase has 2^bits steps; 0: no steps.", mesh_key);
  add("model.mesh.chip.stuck", number, 0.0, 0, 1, "Share of the heaters that stand at a random phase for ever.", mesh_key);
  add("model.mesh.chip.loss_db", number, 0.0, 0, 10, "Loss of power in each interferometer, dB.", mesh_key);
  add("model.mesh.chip.loss_spread", number, 0.0, 0, 1, "Spread of the loss, as a share of it.", mesh_key);
  add("model.mesh.chip.detector_gain", number, 0.0, 0, 0.5, "Spread of the detectors' factors.", mesh_key);
  add("model.mesh.chip.read_noise", number, 0.0, 0, 100, "Standard deviation of a reading, in mean powers of a port.", mesh_key);
  add("model.mesh.chip.adc_bits", integer, 0, 0, 24, "Readings have 2^bits - 1 steps from 0 to adc_range; 0: no steps.", mesh_key);
  add("model.mesh.chip.adc_range", number, 16.0, 1, 1e6, "Largest reading, in mean powers of a port.", mesh_key);
  add("model.mesh.chip.drift_rms", number, 0.0, 0, 100, "Spread that the drift of the phases reaches after drift_time and keeps, rad.",
      mesh_key);
  add("model.mesh.chip.drift_time", number, 1.0, 1e-9, 1e12, "Seconds of the chip's nominal time.", mesh_key);
  add("model.mesh.chip.age", number, 0.0, 0, 1e12, "Seconds that the phases have drifted before the run begins.", mesh_key);
  add("model.mesh.chip.write_s", number, 1e-4, 0, 1e6, "Nominal time of setting all phases, seconds.", mesh_key);
  add("model.mesh.chip.row_s", number, 1e-6, 0, 1e6, "Nominal time of reading a sample, seconds.", mesh_key);
  for (const ImperfectField& field : imperfect_fields()) {
    const auto* real = std::get_if<double ImperfectOptions::*>(&field.member);
    const json fallback = real != nullptr ? json(ImperfectOptions{}.**real) : json(0);
    // What follows a reading that fails is said for the whole run.
    const bool per_layer = field.name != "fail";
    t.push_back({"model.imperfect." + field.name,
                 real != nullptr ? number : integer,
                 fallback,
                 {},
                 field.least,
                 field.most,
                 per_layer,
                 field.doc,
                 always});
  }

  choice("objective.scope", "local", {"local", "end_to_end", "blocks"},
         "One loss per layer, one for the network, or one for every few layers.");
  add("objective.block_layers", integer, 2, 1, 1024, "Layers per block of scope blocks.", [](const Values& v) {
    return v.is("objective.scope", "blocks") ? std::string() : std::string("it belongs to objective.scope = \"blocks\"");
  });
  choice("objective.loss", "auto", auto_or(losses().built_in()),
         "n_pair: cross-entropy with a margin. auto: cross_entropy, squared in regression; paper presets take the paper's.", always, true);
  t.back().registered = [] { return losses().added(); };
  add("objective.options", text, "", 0, 0, "Numbers of a loss of one's own: \"name = 0.5, other = 2\".", of_registered(losses()), true);
  choice("objective.reduction", "auto", {"auto", "sum", "mean"}, "Over the batch; a learning rate means something only with it.", always,
         true);
  add("objective.temperature", number, 0.05, 1e-9, 1e9, "Of cross-entropy and n_pair over similarities, or over the powers of a mesh.",
      of_temperature(true), true);
  add("objective.last_temperature", number, 0.0, 0, 1e9,
      "Temperature of the last step of the training of a block, approached from objective.temperature by the same factor from step to "
      "step; what is evaluated stays at objective.temperature. 0: steps do, too.",
      of_temperature(false), true);
  add(
      "objective.smoothing", number, 0.0, 0, 0.99, "Label smoothing of cross-entropy.",
      [](const Values& v) {
        return v.is("objective.loss", "cross_entropy") ? std::string() : std::string("it belongs to objective.loss = \"cross_entropy\"");
      },
      true);
  add(
      "objective.margin", number, 0.3, 0, 2, "Of the losses margin and n_pair.",
      [](const Values& v) {
        return v.is("objective.loss", "margin") || v.is("objective.loss", "n_pair")
                   ? std::string()
                   : std::string("it belongs to objective.loss = \"margin\" or \"n_pair\"");
      },
      true);

  choice("gradient.estimator", "directional", estimators().built_in(), "Where the gradient comes from.", always, true);
  t.back().registered = [] { return estimators().added(); };
  add("gradient.options", text, "", 0, 0, "Numbers of an estimator of one's own: \"name = 0.5, other = 2\".", of_registered(estimators()),
      true);
  add(
      "gradient.directions", integer, 1, 1, 65536,
      "m: directions averaged in a step (activity in the space of the prototypes: always K; one_sided: parameters of each group in a step, "
      "32 unless given).",
      [](const Values& v) {
        if (v.is("gradient.estimator", "activity") && v.is("gradient.distribution", "prototypes"))
          return std::string("perturbing along the prototypes takes each of them once");
        return directional_or_activity(v);
      },
      true);
  t.push_back({"gradient.eps",
               number_or_auto,
               1e-3,
               {"measured"},
               1e-12,
               1e3,
               true,
               "Length of the perturbation along a unit direction; measured (directional): where slopes depend on it least, found at the "
               "start of each block. one_sided: of a single parameter, 0.02 unless given.",
               directional_or_activity});
  choice("gradient.distribution", "auto",
         {"auto", "gaussian", "rademacher", "hadamard", "coordinate", "prototypes", "span", "full", "shifted", "one_sided"},
         "Of directions (the first four), of activity perturbations (the next three) or of single parameters (estimator coordinate): "
         "shifted readings of a mesh, or one reading of each parameter of any map, held against one that all share.",
         has_distribution, true);

  add(
      "gradient.importance_samples", integer, 0, 0, 1e9,
      "Importance sampling: a step reads its batch once, and estimates from this many of its samples, drawn by the slope of their loss and "
      "weighted by the inverse of their chance. 0: from all.",
      [](const Values& v) {
        const bool built_in = v.is("gradient.estimator", "activity") || (v.is("gradient.estimator", "coordinate") && !one_sided(v)) ||
                              v.is("gradient.estimator", "twin") || v.is("gradient.estimator", "transfer") ||
                              v.is("gradient.estimator", "adjoint");
        return built_in ? std::string("it belongs to gradient.estimator = \"directional\", or gradient.distribution = \"one_sided\"")
                        : std::string();
      },
      true);
  choice("gradient.aggregation", "average", {"average", "aligned"},
         "How several directions become a gradient: their average, or the least-squares solution in their span.", several_directions, true);
  choice(
      "gradient.fallback", "outputs", {"outputs", "stop"},
      "If what was learnt of a device misses its gate (gradient.twin.gate, gradient.transfer.gate): go on with outputs alone, which reads "
      "far more; or save, and end with exit code 6.",
      gated);
  choice("gradient.twin.order", "first", {"first", "along"},
         "first: the twin is calibrated, the network trained on it, then refined on the chip; along: trained on the chip, the twin fitted "
         "meanwhile.",
         twin_only);
  choice(
      "gradient.twin.fit", "couplers", {"none", "couplers", "all"},
      "Errors that the twin may have: none (it stays the mesh without errors, or the calibration of gradient.twin.file), of couplers and "
      "offsets of phases, or also of gains, crosstalk and detectors.",
      chip_twin);
  add("gradient.twin.file", text, "", 0, 0, "A calibration of this chip to begin with (ffzero calibrate). Empty: none.", chip_twin);
  add("gradient.twin.start", integer, 0, 0, 1e6, "Epochs on the twin without errors, before the chip is read for the first time.",
      chip_twin);
  add("gradient.twin.settings", integer, 68, 2, 1e6, "Settings of the phases that are read to calibrate; one in ten is held out.",
      calibrated_chip_twin);
  add("gradient.twin.samples", integer, 16, 1, 1e6, "Samples read at each setting.", calibrated_chip_twin);
  add("gradient.twin.spread", number, 0.2, 1e-6, 10, "Spread of the settings around the phases reached, rad.", calibrated_chip_twin);
  add("gradient.twin.steps", integer, 10000, 1, 1e8, "Steps of the fit, one setting each.", calibrated_chip_twin);
  add("gradient.twin.lr", number, 3e-3, 1e-9, 1, "Of the fit: learning rate of Adam, along a cosine.", calibrated_chip_twin);
  add("gradient.twin.gate", number, 1.0, 1e-9, 1e9,
      "Largest relative error of held-out readings with which a calibrated twin is used; above it gradient.fallback says what follows.",
      calibrated_chip_twin);
  add("gradient.twin.refine", integer, 2, 0, 1e6, "Last epochs, which are trained on the chip, the twin fitted along.", twin_first);
  add("gradient.twin.fit_lr", number, 1e-3, 1e-9, 1, "Learning rate of the twin while it is fitted along.", fitted_chip_twin);
  add("gradient.twin.calibrated_lr", number, 0.0, 0, 1e9,
      "Learning rate of the epochs on the calibrated twin, with which update.schedule begins again. 0: they go on with the rate and the "
      "schedule before them.",
      calibrated_chip_twin);
  add("gradient.twin.chip_lr", number, 0.0, 0, 1e9,
      "Learning rate of the epochs that read the chip, with which update.schedule begins again. 0: they go on with the rate and the "
      "schedule before them.",
      twin_only);
  add("gradient.transfer.parameters", integer, 64, 1, 65536, "Parameters that are measured together, then moved.", transfer_only);
  add("gradient.transfer.readings", integer, 16, 8, 65536, "Readings of each; three of them judge what was fitted to the others.",
      transfer_only);
  add("gradient.transfer.base", integer, 32, 8, 65536,
      "Readings for all of them, by which the matrix is corrected; at least gradient.transfer.readings.", transfer_only);
  add("gradient.transfer.steps", integer, 5, 1, 65536, "Steps of training that move them before the next ones are measured.",
      transfer_only);
  add("gradient.transfer.step", number, 0.5, 1e-9, 10, "That a parameter is moved by for its readings, in its units.", transfer_only);
  add("gradient.transfer.gate", number, 0.5, 1e-9, 1e9,
      "Largest relative error of held-out readings with which a parameter is moved; of the first matrix, above which "
      "gradient.fallback says what follows.",
      transfer_only);
  add("gradient.recycle", number, 0.0, 0, 1,
      "Share of what a new difference tells that a memory of past ones takes over; the memory is a control variate. 0: no memory.",
      directional_only, true);
  add("gradient.one_loss", boolean, false, 0, 0,
      "Read one loss for the whole layer, as from a device that returns one number: groups, channels and parallel meshes move along one "
      "direction.",
      several_losses, true);

  choice("update.rule", "auto", auto_or(update_rules().built_in()), "auto: sgd for directional, adam for the others (paper).", always,
         true);
  t.back().registered = [] { return update_rules().added(); };
  add("update.options", text, "", 0, 0, "Numbers of a rule of one's own: \"name = 0.5, other = 2\".", of_registered(update_rules()), true);
  t.push_back({"update.lr",
               number_or_auto,
               "auto",
               {"auto", "measured"},
               1e-15,
               1e9,
               true,
               "Learning rate; measured: from a line search along the first steps of each block.",
               always});
  choice("update.schedule", "constant", {"constant", "cosine", "step", "plateau"}, "Of the learning rate, over a block's training.", always,
         true);
  add("update.warmup", integer, 0, 0, 1e12, "Steps over which the learning rate rises to its value.", always, true);
  add(
      "update.momentum", number, 0.9, 0, 0.999999, "Of rule momentum.",
      [](const Values& v) {
        return v.is("update.rule", "momentum") ? std::string() : std::string("it belongs to update.rule = \"momentum\"");
      },
      true);
  add("update.beta1", number, 0.9, 0, 0.999999, "Of adam.", adam_only, true);
  add("update.beta2", number, 0.999, 0, 0.999999999, "Of adam.", adam_only, true);
  add("update.epsilon", number, 1e-8, 0, 1, "Of adam.", adam_only, true);
  choice("update.epsilon_form", "torch", {"torch", "keras"}, "Epsilon behind the bias correction, or outside it.", adam_only, true);
  add("update.weight_decay", number, 0.0, 0, 1e3, "Times theta, added to the gradient (adam).", adam_only, true);
  add("update.hold_norm", boolean, false, 0, 0,
      "Scale each unit of parameters back to its initial length after every step: for losses that do not see the scale.", always, true);

  add("training.epochs", integer, 20, 0, 1e9, "Passes over the train set per block.", always, true);
  add("training.batch_size", integer, 256, 1, 1e9, "Samples in a step.", always, true);
  add("training.log_samples", integer, 5000, 0, 1e12,
      "Train samples (the first ones) in the train metric of each epoch; 0: none until the block ends.");
  add("training.log_test", boolean, true, 0, 0,
      "Evaluate the test set after every epoch, billed as logging; else at the end of each block.");
  add("training.cache_mib", integer, kDefaultCacheMib, 0, 1e9,
      "Most memory for the outputs of trained layers, and for small Fourier transforms of images, of each split by itself, in MiB. Outputs "
      "that do not fit are computed again for every batch, and billed: a device is read again.");
  add("training.save_every_s", number, 1.0, 0, 1e9,
      "Seconds from one checkpoint to the next that follows an epoch, at least; 0: after every epoch. What a killed run loses is computed "
      "again, to the same bits.");
  add("budget.forward_evals", integer, 0, 0, 9e15,
      "Stop before the training evaluations pass this number, all layers together; 0: no limit.");
  choice("budget.split", "none", {"none", "even"},
         "How the layers share budget.forward_evals: none (in the order of training, the first ones take what they need) or even (equal "
         "shares; what a layer leaves over goes to those after it).",
         [](const Values& v) {
           if (!local_only(v).empty()) return local_only(v);
           return v.integer("budget.forward_evals") > 0 ? std::string() : std::string("it belongs to budget.forward_evals > 0");
         });
  add("budget.device_seconds", number, 0.0, 0, 1e12,
      "Stop before the time spent waiting for the devices passes this number of seconds; 0: no limit.", device_key);
  choice("device.on_failure", "retry", {"retry", "skip", "stop"},
         "What follows a failed evaluation: retry (start the device again, repeat, then stop), skip (the same, then train without it) or "
         "stop at "
         "once. A run that stops is saved and can be resumed.",
         failing_key);
  add("device.retries", integer, 3, 1, 1000000, "Times that the same evaluation is repeated before it is given up.", [](const Values& v) {
    if (!failing_key(v).empty()) return failing_key(v);
    return !v.is("device.on_failure", "stop") ? std::string() : std::string("device.on_failure = \"stop\" repeats nothing");
  });
  choice(
      "device.journal", "resume", {"off", "resume", "all"},
      "Readings that are kept in journal.bin: those since the last checkpoint, so that a run that is cut off takes none twice; or all, so "
      "that ffzero train --replay repeats the run without the device.",
      device_key);
  add("device.journal_mb", integer, 1024, 1, 1000000,
      "Largest size of journal.bin in megabytes; beyond it nothing more is kept until the next checkpoint makes room.",
      [](const Values& v) {
        if (!device_key(v).empty()) return device_key(v);
        return v.is("device.journal", "off") ? std::string("device.journal = \"off\" keeps nothing") : std::string();
      });
  choice("device.out_of_range", "project", {"project", "refuse"},
         "Parameters that leave the declared range: moved to its nearest value and counted, or an error.", device_key);
  add("device.steadiness", integer, 8, 0, 65536,
      "Readings of a fixed input after each epoch, by which noise and drift over the run are judged; 0: none, else at least 2.",
      device_key);
  add("device.hello_s", number, 30.0, 0.1, 3600, "Seconds until a device must have said what it is, or have asked to wait.", device_key);
  add("device.connect_s", number, 5.0, 0.1, 3600, "Seconds until a connection must stand.", device_key);
  add("device.wait_s", number, 3600.0, 0, 86400, "Longest time that a device may ask to wait, in seconds.", device_key);
  choice("vote.rule", "majority", {"majority", "majority_early", "sum", "sum_log_softmax", "last", "validated"},
         "How the layers decide together; validated: the one of last, sum and majority that decides best on the validation samples.",
         vote_key);
  choice(
      "vote.layer", "auto", {"auto", "last", "best"},
      "The layer that decides where one does (vote.rule = \"last\", regression). best: the last one, unless an earlier one does better on "
      "the validation samples; without these, better by 0.01 on the train set. auto: best for vectors of numbers and fewer than 2000 "
      "training samples, else last.",
      deciding_key);
  t.back().before = "last";
  add("baseline.untrained", boolean, false, 0, 0, "Train the same head on untrained layers and put it beside the result.");
  return t;
}

std::string_view last_part(std::string_view key) { return key.substr(key.rfind('.') + 1); }

// Distance to a key, or to its last part if the user left the table's name out, or the end of it ("batch").
std::size_t key_distance(std::string_view asked, const std::string& key) {
  const std::string_view last = last_part(key);
  if (asked == last) return 0;
  if (last.starts_with(asked) && last[asked.size()] == '_') return 1;
  return std::min(edit_distance(asked, key), edit_distance(asked, last) + 1);
}

std::string spaced(std::string_view words) {
  std::string out(words);
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

// The key that may have been meant: the one spelt most alike, or the one whose description opens with the asked words ("learning_rate":
// update.lr). Null if nothing is near.
const KeyInfo* nearest_key(std::string_view asked) {
  const auto& table = keys();
  const auto nearest = std::min_element(table.begin(), table.end(), [&](const KeyInfo& a, const KeyInfo& b) {
    return key_distance(asked, a.name) < key_distance(asked, b.name);
  });
  if (key_distance(asked, nearest->name) <= 1) return &*nearest;
  const std::string opening = spaced(last_part(asked));
  const auto opens = [&](const KeyInfo& k) {
    return opening.size() > 3 && k.doc.size() >= opening.size() &&
           std::equal(opening.begin(), opening.end(), k.doc.begin(),
                      [](char a, char b) { return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b))); });
  };
  // Of several, the most general one.
  const KeyInfo* described = nullptr;
  for (const KeyInfo& key : table)
    if (opens(key) && (described == nullptr || key.name.size() < described->name.size())) described = &key;
  if (described != nullptr) return described;
  return key_distance(asked, nearest->name) > 1 + last_part(asked).size() / 3 ? nullptr : &*nearest;
}

// Whatever its bytes are.
std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

[[noreturn]] void wrong_value(const KeyInfo& key, std::string_view place, const std::string& requirement, const json& value) {
  // JSON has no word for NaN.
  const bool odd = value.is_number_float() && !std::isfinite(value.get<double>());
  throw ConfigError(fmt::format("{}: {}", place, key.name), requirement, odd ? fmt::format("{}", value.get<double>()) : text_of(value),
                    key.doc);
}

json checked_number(const KeyInfo& key, const json& value, std::string_view place, bool integral) {
  if (!value.is_number() || (integral && !value.is_number_integer() && value.get<double>() != std::floor(value.get<double>())))
    wrong_value(key, place, integral ? "must be an integer" : "must be a number", value);
  const auto number = value.get<double>();
  if (!(number >= key.minimum && number <= key.maximum)) {
    const bool open = key.maximum >= 1e9;
    const std::string bound =
        number > key.maximum ? fmt::format("must be at most {:g}", key.maximum) : fmt::format("must be at least {:g}", key.minimum);
    wrong_value(key, place, open ? bound : fmt::format("must lie in {:g} .. {:g}", key.minimum, key.maximum), value);
  }
  return integral ? json(value.get<std::int64_t>()) : json(number);
}

}  // namespace

const std::vector<KeyInfo>& keys() {
  static const std::vector<KeyInfo> table = make_table();
  return table;
}

const std::vector<RenamedKey>& renamed_keys() {
  static const std::vector<RenamedKey> table{
      {.before = "control.untrained", .now = "baseline.untrained", .words = {}},
      {.before = "model.mesh.readout", .now = "model.mesh.linear_head", .words = {{"prototypes", "none"}}},
      {.before = "objective.scope", .now = "objective.scope", .words = {{"grouped", "blocks"}}},
  };
  return table;
}

std::string name_now(std::string_view name) {
  for (const RenamedKey& key : renamed_keys())
    if (name == key.before) return std::string(key.now);
  return std::string(name);
}

std::string renaming_notice(std::string_view name, const json& value) {
  for (const RenamedKey& key : renamed_keys()) {
    if (name != key.before && name != key.now) continue;
    std::string before(key.before), now(key.now);
    bool word = false;
    for (const auto& [old_word, new_word] : key.words)
      if (value.is_string() && value.get<std::string>() == old_word) {
        before += fmt::format(" = \"{}\"", old_word);
        now += fmt::format(" = \"{}\"", new_word);
        word = true;
      }
    if (word || name != key.now) return fmt::format("{} is called {} since 0.2", before, now);
  }
  return "";
}

const KeyInfo& key_info(std::string_view name, std::string_view place) {
  const std::string now = name_now(name);
  const auto& table = keys();
  const auto found = std::find_if(table.begin(), table.end(), [&](const KeyInfo& k) { return k.name == now; });
  if (found != table.end()) return *found;
  const KeyInfo* nearest = nearest_key(name);
  throw ConfigError(place, "unknown key", fmt::format("\"{}\"", name),
                    nearest == nullptr ? "\"ffzero keys\" lists all" : fmt::format("did you mean \"{}\"?", nearest->name));
}

void require_text(const KeyInfo& key, const json& value, std::string_view place) {
  if (!value.is_string()) wrong_value(key, place, "must be a text", value);
  // The resolved configuration and the checkpoint hold it, as TOML and JSON do.
  if (text_of(value).find("\xEF\xBF\xBD") != std::string::npos) wrong_value(key, place, "must be UTF-8", value);
}

void require_choice(const KeyInfo& key, const json& value, std::string_view place) {
  std::vector<std::string> choices = key.choices;
  if (key.registered)
    for (const std::string& name : key.registered()) choices.push_back(name);
  if (!value.is_string() || std::find(choices.begin(), choices.end(), value.get<std::string>()) == choices.end())
    wrong_value(key, place, fmt::format("must be one of {}", fmt::join(choices, ", ")), value);
}

// The word as it is spelt now.
json with_new_word(const KeyInfo& key, const json& value) {
  if (!value.is_string()) return value;
  for (const RenamedKey& renamed : renamed_keys())
    if (renamed.now == key.name)
      for (const auto& [before, now] : renamed.words)
        if (value.get<std::string>() == before) return now;
  return value;
}

json checked_value(const KeyInfo& key, const json& asked, std::string_view place) {
  const json value = with_new_word(key, asked);
  switch (key.type) {
    case KeyType::boolean:
      if (!value.is_boolean()) wrong_value(key, place, "must be true or false", value);
      return value;
    case KeyType::integer:
      return checked_number(key, value, place, true);
    case KeyType::number:
      return checked_number(key, value, place, false);
    case KeyType::number_or_auto:
      if (value.is_string()) {
        const auto words = key.choices.empty() ? std::vector<std::string>{"auto"} : key.choices;
        if (std::find(words.begin(), words.end(), value.get<std::string>()) == words.end())
          wrong_value(key, place, fmt::format("must be a number or one of {}", fmt::join(words, ", ")), value);
        return value;
      }
      return checked_number(key, value, place, false);
    case KeyType::word:
      require_choice(key, value, place);
      return value;
    case KeyType::text:
      require_text(key, value, place);
      return value;
    case KeyType::texts:
      if (!value.is_array()) wrong_value(key, place, "must be a list of texts", value);
      if (static_cast<double>(value.size()) > key.maximum)
        wrong_value(key, place, fmt::format("must have at most {:g} entries", key.maximum), value);
      for (const auto& entry : value) require_text(key, entry, place);
      return value;
    case KeyType::classes:
      if (!value.is_array()) return checked_number(key, value, place, true);
      [[fallthrough]];
    case KeyType::integers: {
      if (!value.is_array()) wrong_value(key, place, "must be a list of integers", value);
      if (value.size() > kMostEntries && key.type == KeyType::integers)
        throw ConfigError(fmt::format("{}: {}", place, key.name), fmt::format("must have at most {} entries", kMostEntries),
                          std::to_string(value.size()), "use fewer layers");
      json list = json::array();
      for (const auto& entry : value) list.push_back(checked_number(key, entry, place, true));
      return list;
    }
  }
  throw ConfigError(place, "unknown type of key", key.name);
}

Values::Values() {
  for (const KeyInfo& key : keys()) values_[key.name] = key.fallback;
}

const nlohmann::json& Values::at(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) throw ConfigError("key table", "unknown key", key);
  return found->second;
}

void Values::set(std::string_view key, const nlohmann::json& value, std::string_view place, bool said_by_user) {
  const KeyInfo& info = key_info(key, place);
  values_[info.name] = checked_value(info, value, place);
  if (said_by_user) explicit_.insert(info.name);
  if (place != "auto") places_[info.name] = place;
}

const std::string& Values::place_of(std::string_view key) const {
  static const std::string nowhere = "defaults";
  const auto found = places_.find(key);
  return found == places_.end() ? nowhere : found->second;
}

}  // namespace ffzero
