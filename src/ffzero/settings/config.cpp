// Settings from presets, TOML and overrides.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/config.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/map/imperfect.hpp"
#include "ffzero/settings/presets.hpp"
#include "ffzero/settings/toml_values-inl.hpp"
#include "ffzero/train/step_gradient.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;
using Flat = TomlKeys;

std::string toml_value(const json& v) {
  if (v.is_number_float()) {
    const std::string text = fmt::format("{}", v.get<double>());
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  if (v.is_array()) {
    std::string list = "[";
    for (std::size_t i = 0; i < v.size(); ++i) list += (i == 0 ? "" : ", ") + toml_value(v[i]);
    return list + "]";
  }
  return v.dump();
}

Scope scope_of(const Values& v) {
  if (v.is("objective.scope", "end_to_end")) return Scope::end_to_end;
  return v.is("objective.scope", "blocks") ? Scope::grouped : Scope::local;
}

constexpr std::size_t kMostDevices = 64;

bool is_activity_space(const std::string& distribution) {
  return distribution == "prototypes" || distribution == "span" || distribution == "full";
}

// The estimator that a distribution belongs to.
const char* estimator_of(const std::string& distribution) {
  if (is_activity_space(distribution)) return "activity";
  return distribution == "shifted" || distribution == "one_sided" ? "coordinate" : "directional";
}

// Keys that every run folder's configuration holds, whatever the run.
constexpr std::array kAlwaysWritten{"seed",
                                    "threads",
                                    "preset",
                                    "dataset.name",
                                    "dataset.task",
                                    "dataset.validation",
                                    "model.kind",
                                    "objective.scope",
                                    "objective.loss",
                                    "objective.reduction",
                                    "gradient.estimator",
                                    "update.rule",
                                    "update.lr",
                                    "update.schedule",
                                    "update.warmup",
                                    "training.epochs",
                                    "training.batch_size",
                                    "training.log_samples",
                                    "training.log_test",
                                    "budget.forward_evals",
                                    "baseline.untrained"};

// The tables [[model.device]], taken out of the document.
std::vector<DeviceLayer> device_tables(toml::table& table, const std::string& place) {
  auto* const model = table["model"].as_table();
  auto* const node = model == nullptr ? nullptr : model->get("device");
  if (node == nullptr) return {};
  const auto* list = node->as_array();
  if (list == nullptr)
    throw ConfigError(place + ": model.device", "devices are an array of tables", "", "write [[model.device]] with address = \"..\"");
  std::vector<DeviceLayer> devices;
  for (const auto& entry : *list) {
    Flat flat;
    if (const auto* inner = entry.as_table()) flatten_toml(*inner, "", place, flat);
    DeviceLayer device = device_layer("", fmt::format("{}: [[model.device]] {}", place, devices.size()));
    for (const auto& [key, value] : flat) set_device_key(device, key, value);
    if (device.reached_at.front().address.empty())
      throw ConfigError(device.place, "needs an address", "none", "for example address = \"tcp:127.0.0.1:5555\"");
    devices.push_back(std::move(device));
  }
  if (devices.size() > kMostDevices)
    throw ConfigError(place + ": [[model.device]]", fmt::format("at most {} devices", kMostDevices), std::to_string(devices.size()));
  model->erase("device");
  return devices;
}

// A configuration as a run writes it says everything; a key that it lacks did not exist yet.
void complete_earlier(Values& v, const std::string& place) {
  const bool complete =
      std::all_of(kAlwaysWritten.begin(), kAlwaysWritten.end(), [&](const char* key) { return v.is_explicit(key) && v.at(key) != "auto"; });
  if (!complete) return;
  for (const KeyInfo& key : keys())
    if (!key.before.is_null() && !v.is_explicit(key.name)) v.set(key.name, key.before, place, false);
}

// What TOML writes in another way and has one meaning for a key of this type: .06, 5., True, 10,20.
json as_meant(const std::string& key, const std::string& text) {
  const std::string name = name_now(key);
  const auto found = std::find_if(keys().begin(), keys().end(), [&](const KeyInfo& info) { return info.name == name; });
  if (found == keys().end()) return text;
  const char* const end = text.data() + text.size();
  double number = 0.0;
  const auto read = std::from_chars(text.data() + (text.starts_with('+') ? 1 : 0), end, number);
  switch (found->type) {
    case KeyType::number:
    case KeyType::number_or_auto:
      if (read.ec == std::errc() && read.ptr == end && std::isfinite(number)) return number;
      break;
    case KeyType::boolean:
      if (text == "True") return true;
      if (text == "False") return false;
      break;
    case KeyType::integers:
    case KeyType::classes:
      if (!text.starts_with('[') && text.find(',') != std::string::npos) return override_value(key, "[" + text + "]");
      break;
    default:
      break;
  }
  return text;
}

}  // namespace

json override_value(const std::string& key, const std::string& text) {
  toml::table table;
  try {
    table = parse_toml("v = " + text, "command line");
  } catch (const ConfigError&) {
    return as_meant(key, text);
  }
  // A line break in the text would begin another key.
  if (table.size() != 1) return text;
  return toml_value_of(*table.get("v"), "command line: " + key);
}

std::vector<std::pair<std::string, std::string>> solver_overrides(const std::string& solver) {
  const auto cell = [](const char* scope, const char* estimator) {
    return std::vector<std::pair<std::string, std::string>>{{"objective.scope", scope}, {"gradient.estimator", estimator}};
  };
  if (solver == "ff_dd") return cell("local", "directional");
  if (solver == "ff_ad") return cell("local", "adjoint");
  if (solver == "bp_dd") return cell("end_to_end", "directional");
  if (solver == "bp_ad") return cell("end_to_end", "adjoint");
  if (solver == "ff_activity") return cell("local", "activity");
  if (solver == "ff_coordinate") return cell("local", "coordinate");
  throw ConfigError("--solver", "must be ff_dd, ff_ad, bp_dd, bp_ad, ff_activity or ff_coordinate", "\"" + solver + "\"",
                    "see the 2 x 2 table in the README");
}

Config Config::load(const ConfigSources& sources) {
  if (!sources.file) return parse(sources.text, sources.text.empty() ? "(no file)" : "config", sources);
  return parse(read_toml_text(*sources.file), sources.file->string(), sources);
}

Config Config::parse(const std::string& text, const std::string& place, const ConfigSources& more) {
  toml::table table = parse_toml(text, place);
  Config config;
  if (const auto* node = table.get("layer")) {
    const auto* list = node->as_array();
    if (list == nullptr) throw ConfigError(place + ": layer", "layers are an array of tables", "", "write [[layer]] with index = N");
    for (const auto& entry : *list) {
      Flat flat;
      if (const auto* inner = entry.as_table()) flatten_toml(*inner, "", place, flat);
      const auto index = std::find_if(flat.begin(), flat.end(), [](const auto& kv) { return kv.first == "index"; });
      if (index == flat.end() || !index->second.is_number_integer() || index->second.get<Index>() < 0)
        throw ConfigError(place + ": [[layer]]", "needs index = N, counted from 0", index == flat.end() ? "none" : index->second.dump());
      LayerTable layer{index->second.get<Index>(), {}, fmt::format("{}: [[layer]] {}", place, index->second.get<Index>())};
      flat.erase(index);
      for (const LayerTable& earlier : config.layers_)
        if (earlier.layer == layer.layer)
          throw ConfigError(place + ": [[layer]]", "each layer has one table", fmt::format("two with index = {}", layer.layer),
                            "put its keys into one");
      for (const auto& [key, value] : flat) {
        const KeyInfo& info = key_info(key, layer.place);
        if (!info.per_layer) throw ConfigError(layer.place, "this key cannot differ between layers", key, "set it for the whole run");
        layer.values.emplace_back(key, checked_value(info, value, layer.place));
      }
      config.layers_.push_back(std::move(layer));
    }
    table.erase("layer");
  }
  config.devices_ = device_tables(table, place);
  Flat flat;
  flatten_toml(table, "", place, flat);
  for (const auto& [key, value] : flat) config.say(key, value, place);
  complete_earlier(config.values_, place);
  for (const auto& [key, value] : more.overrides) config.say(key, override_value(key, value), "command line");
  config.take_devices(more.devices, place);
  config.apply_preset();
  return config;
}

void Config::take_devices(const DeviceAccess& access, const std::string& place) {
  if (access.replicas != 1 && access.groups != 1)
    throw UsageError("--groups", "devices of a layer hold the same parameters or are groups of it", "--replicas as well",
                     "use one of the two");
  for (const auto& [flag, count] : {std::pair("--replicas", access.replicas), std::pair("--groups", access.groups)})
    if (count != 1 && (!devices_.empty() || access.addresses.empty()))
      throw UsageError(flag, "says how the devices of --device form layers", devices_.empty() ? "no --device" : "a file that says so",
                       devices_.empty() ? "give their addresses" : fmt::format("drop it: see {} in [[model.device]]", flag + 2));
  if (devices_.empty()) devices_ = device_layers(access);
  const bool device = values_.is("model.kind", "device");
  if (!devices_.empty() && !device) {
    if (values_.is_explicit("model.kind"))
      throw ConfigError(fmt::format("{}: model.kind", values_.place_of("model.kind")), "devices belong to model.kind = \"device\"",
                        values_.at("model.kind").dump(), "drop the key, or the devices");
    values_.set("model.kind", "device", access.addresses.empty() ? place : "command line");
  }
  if (devices_.empty() && device)
    throw ConfigError(fmt::format("{}: model.kind", values_.place_of("model.kind")), "a model of devices needs at least one", "none",
                      "name it with --device ADDRESS, or in [[model.device]]");
  allow(access);
  // A new run keeps the addresses that the command line gave it.
  keep_addresses(devices_);
}

void Config::allow(const DeviceAccess& access, const std::vector<DeviceShape>& shapes) {
  allow_devices(devices_, access);
  recorded_ = access.recorded;
  if (!recorded_.empty()) recorded_.resize(usize(device_count(devices_)));
  if (!access.stand_ins) return;
  stand_ins_ = shapes;
  stand_ins_.resize(devices_.size());
}

void Config::set(const std::string& key, const json& value, const std::string& place) { say(key, value, place); }

void Config::say(const std::string& key, const json& value, const std::string& place) {
  values_.set(key, value, place);
  if (const std::string notice = renaming_notice(key, value); !notice.empty()) notices_.push_back(place + ": " + notice);
}

void Config::apply_preset() {
  const std::string preset = values_.word("preset");
  const auto say = [&](const PresetValues& preset_says) {
    for (const auto& [key, value] : preset_says)
      if (!values_.is_explicit(key)) values_.set(key, value, "preset " + preset, false);
  };
  say(preset_frame(preset, values_));
  say(preset_values(preset, values_));
}

Index Config::layer_count() const {
  const Index dense = isize(values_.at("model.layers").size());
  if (values_.is("model.kind", "photonic")) return values_.integer("model.mesh.layers");
  if (values_.is("model.kind", "device")) return first_device() + isize(devices_.size()) + dense;
  return values_.is("model.kind", "cnn") ? dense + isize(values_.at("model.conv.channels").size()) : dense;
}

Values Config::layer_values(Index layer) const {
  Values v = values_;
  for (const LayerTable& table : layers_)
    if (table.layer == layer)
      for (const auto& [key, value] : table.values) v.set(key, value, table.place);
  if (resolved_) resolve_values(v, facts_);
  return v;
}

void Config::resolve_values(Values& v, const DataFacts& facts) const {
  const bool paper = is_paper_preset(v.word("preset"));
  const bool end_to_end = v.is("objective.scope", "end_to_end");
  const bool photonic = v.is("model.kind", "photonic");
  const bool directional = v.is("gradient.estimator", "directional");
  const auto fill = [&](std::string_view key, const json& value) {
    if (v.at(key) == "auto") v.resolve(key, value);
  };
  fill("dataset.task", facts.regression ? "regression" : "classification");
  fill("dataset.scale", facts.table && !v.word("dataset.name").starts_with("function") ? "sphere" : "none");
  fill("model.activation", paper && !(v.is("model.kind", "cnn") && end_to_end) ? "none" : "relu");
  if (facts.regression)
    fill("objective.loss", "squared");
  else if (end_to_end || !paper)
    fill("objective.loss", "cross_entropy");
  else
    fill("objective.loss", photonic ? "cosine" : "margin");
  fill("objective.reduction", paper && !photonic && v.is("objective.loss", "margin") ? "sum" : "mean");
  // A preset's distribution belongs to the preset's estimator; under another one of the user's it means nothing.
  const bool activity = v.is("gradient.estimator", "activity"), coordinate = v.is("gradient.estimator", "coordinate");
  if (!v.is("gradient.estimator", estimator_of(v.word("gradient.distribution"))) && !v.is_explicit("gradient.distribution"))
    v.resolve("gradient.distribution", "auto");
  fill("gradient.distribution", activity ? "prototypes" : coordinate ? "shifted" : "gaussian");
  // What defaults and presets say is meant for directions in the space of all parameters.
  if (one_sided(v)) {
    if (!v.is_explicit("gradient.directions")) v.resolve("gradient.directions", CoordinateOptions{}.parameters);
    if (!v.is_explicit("gradient.eps")) v.resolve("gradient.eps", CoordinateOptions{}.step);
  }
  // A preset's groups are made for dense layers.
  if (!v.is("model.map", "dense") && !v.is_explicit("model.groups")) v.resolve("model.groups", 1);
  fill("update.rule", directional ? "sgd" : "adam");
  const bool adam = v.is("update.rule", "adam");
  if (paper && adam && end_to_end && v.is("model.kind", "cnn") && !v.is_explicit("update.weight_decay"))
    v.resolve("update.weight_decay", 1e-5);
  double lr = 1e-3;
  if (directional && v.is("preset", "paper_stable")) lr = 1e-4;
  if (directional && !paper) lr = !photonic ? 1e-2 : end_to_end ? 3e-2 : 3e-3;
  if (!directional && !paper && photonic) lr = 3e-2;
  fill("update.lr", lr);
  fill("vote.layer", !paper && !photonic && is_table_or_small(v, facts) ? "best" : "last");
}

void Config::resolve(const DataFacts& facts) {
  facts_ = facts;
  std::vector<std::string> said;
  for (const KeyInfo& key : keys())
    if (values_.is_explicit(key.name)) said.push_back(key.name);
  // A preset speaks of images; what it says about them is void for vectors. The user's own words are left for the encoder to refuse.
  if (!facts.images)
    for (const char* key : {"dataset.crop", "dataset.downsample", "dataset.shift", "dataset.flip", "dataset.optical_field"})
      if (!values_.is_explicit(key)) values_.set(key, key_info(key, "auto").fallback, "auto", false);
  const bool device = values_.is("model.kind", "device");
  if (values_.at("model.layers").empty() && !device && (values_.is("model.kind", "mlp") || values_.is("objective.scope", "end_to_end")))
    throw ConfigError(fmt::format("{}: model.layers", values_.place_of("model.layers")), "needs at least one dense layer", "[]",
                      "give their widths, for example [100, 10]");
  resolve_values(values_, facts);
  fit_projection_pool(facts.sample);
  const bool paper = is_paper_preset(values_.word("preset")), photonic = values_.is("model.kind", "photonic");
  if (!paper) fit_size(values_, facts);
  if (values_.is("objective.scope", "end_to_end") && !photonic && !values_.at("model.layers").empty()) {
    json layers = values_.at("model.layers");
    // End to end the last layer is the output: one number a target in regression, and one score a class if a preset chose the widths.
    const Index outputs = facts.classes;
    if (!values_.is_explicit("model.layers") && !(facts.regression && paper) && layers.back() != outputs)
      layers.push_back(outputs);
    else if (facts.regression)
      layers.back() = outputs;
    values_.resolve("model.layers", layers);
  }
  if (!paper && !photonic) {
    std::optional<Shape> sample;
    if (facts.sample.size() > 0) sample = Encoder(encoder_options(values_), facts.sample).output_shape();
    fit_preset(values_, facts.classes, facts.regression, sample);
  }
  if (facts.regression && facts.classes > 1) fit_outputs(facts.classes);
  check_used(values_, said);
  for (const LayerTable& table : layers_) {
    if (table.layer >= layer_count())
      throw ConfigError(table.place, fmt::format("the model has {} layers", layer_count()), std::to_string(table.layer), "count from 0");
    std::vector<std::string> names;
    for (const auto& kv : table.values) names.push_back(kv.first);
    resolved_ = true;
    check_used(layer_values(table.layer), names);
  }
  resolved_ = true;
  if (!paper) fit_narrow_layers(facts);
  check_baseline(facts);
  check_combinations(facts);
}

// Each of several targets has groups of outputs of its own: target g mod T in group g.
void Config::fit_outputs(Index outputs) {
  const auto fail = [&](const char* key, const std::string& requirement, const std::string& remedy) {
    throw ConfigError(fmt::format("{}: {}", values_.place_of(key), key), requirement, values_.at(key).dump(), remedy);
  };
  if (values_.is("model.kind", "photonic"))
    fail("model.kind", "a photonic network has one target", "use model.kind = \"mlp\", or train one run for each target");
  if (values_.is("objective.scope", "end_to_end")) return;
  if (values_.is("model.kind", "device"))
    fail("model.kind", "a device with a local loss has one target",
         "use objective.scope = \"end_to_end\", or train one run for each target");
  if (values_.is("model.kind", "cnn"))
    for (const Index channels : values_.integers("model.conv.channels"))
      if (channels % outputs != 0)
        fail("model.conv.channels", fmt::format("channels must share themselves among the {} targets alike", outputs),
             fmt::format("use multiples of {}", outputs));
  if (!values_.is_explicit("model.groups")) values_.resolve("model.groups", outputs);
  const Index groups = values_.integer("model.groups");
  if (groups % outputs != 0)
    fail("model.groups", fmt::format("groups must share themselves among the {} targets alike", outputs),
         fmt::format("use a multiple of {}", outputs));
  auto widths = values_.integers("model.layers");
  for (auto& width : widths) {
    if (width % groups == 0) continue;
    if (values_.is_explicit("model.layers"))
      fail("model.layers", fmt::format("layers must have outputs for {} groups alike, which {} targets need", groups, outputs),
           fmt::format("use multiples of {}", groups));
    width = (width / groups + 1) * groups;
  }
  values_.resolve("model.layers", widths);
}

// Behind a nonlinearity that stops at zero, a few outputs cannot point everywhere, and samples for which all of them are zero teach
// nothing: such a layer stays at chance now and then. Its loss looks at what comes before.
void Config::fit_narrow_layers(const DataFacts& facts) {
  constexpr const char* kKey = "model.local_loss_at";
  constexpr Index kFewInRegression = 12, kFewPerClass = 3;  // docs/results.md, Narrow last layers
  if (!(values_.is("model.kind", "mlp") || values_.is("model.kind", "cnn")) || values_.is("objective.scope", "end_to_end") ||
      values_.is_explicit(kKey))
    return;
  const auto widths = values_.integers("model.layers");
  const Index before = layer_count() - isize(widths.size()), few = facts.regression ? kFewInRegression : kFewPerClass * facts.classes;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const Index layer = before + isize(i);
    const Values v = layer_values(layer);
    if (!v.is(kKey, "post") || widths[i] / v.integer("model.groups") >= few) continue;
    auto table = std::find_if(layers_.begin(), layers_.end(), [&](const LayerTable& t) { return t.layer == layer; });
    if (table == layers_.end()) table = layers_.insert(table, LayerTable{.layer = layer, .values = {}, .place = "defaults"});
    // In the order in which a file of settings is read.
    const auto at = std::find_if(table->values.begin(), table->values.end(), [&](const auto& kv) { return kv.first >= kKey; });
    if (at == table->values.end() || at->first != kKey) table->values.insert(at, {kKey, "pre"});
  }
}

// A preset averages maps to a size that suits 28 x 28 images; smaller maps are averaged less. The user's own number stands, or is refused.
void Config::fit_projection_pool(const Shape& sample) {
  constexpr const char* kKey = "model.conv.projection_pool";
  if (!values_.is("model.kind", "cnn") || values_.is("objective.scope", "end_to_end") || values_.is_explicit(kKey) || sample.size() == 0)
    return;
  const Index most = smallest_projected_map(Encoder(encoder_options(values_), sample).output_shape());
  if (most < values_.integer(kKey)) values_.resolve(kKey, most);
}

// Side of the smallest map that a convolution's local loss looks at, up to where the layers do not fit, which is for the builder to say.
Index Config::smallest_projected_map(const Shape& input) const {
  const auto channels = values_.integers("model.conv.channels");
  const auto entry = [&](const char* key, std::size_t i) {
    const auto list = values_.integers(key);
    return list.empty() ? 0 : list[std::min(i, list.size() - 1)];
  };
  Index side = std::min(input.height, input.width), smallest = std::numeric_limits<Index>::max();
  for (std::size_t i = 0; i < channels.size() && side > 0; ++i) {
    side =
        (side + 2 * entry("model.conv.padding", i) - entry("model.conv.kernel", i)) / std::max<Index>(1, entry("model.conv.stride", i)) + 1;
    const Index map = side, pool = entry("model.conv.pool", i);
    if (pool > 0) side = side < pool ? 0 : (side - pool) / std::max<Index>(1, entry("model.conv.pool_stride", i)) + 1;
    const Index looked_at = layer_values(isize(i)).is("model.local_loss_at", "post") ? side : map;
    if (looked_at > 0) smallest = std::min(smallest, looked_at);
  }
  return smallest;
}

void Config::check_used(const Values& v, const std::vector<std::string>& said) const {
  for (const std::string& name : said) {
    const KeyInfo& key = key_info(name, "config");
    // An empty text says nothing: a recorded one must not be in the way of evaluating the run on another map.
    if (key.type == KeyType::text && v.word(name).empty()) continue;
    if (const std::string reason = key.unused(v); !reason.empty())
      throw ConfigError(fmt::format("{}: {}", v.place_of(name), name), "this key has no effect here: " + reason, v.at(name).dump(),
                        "remove it");
  }
}

void Config::check_baseline(const DataFacts& facts) const {
  if (!values_.flag("baseline.untrained")) return;
  const auto fail = [&](const std::string& requirement, const std::string& value) {
    throw ConfigError(fmt::format("{}: baseline.untrained", values_.place_of("baseline.untrained")), requirement, value, "drop --baseline");
  };
  if (values_.is("model.kind", "device")) fail("devices are not trained a second time for a baseline", "model.kind = \"device\"");
  if (values_.is("model.kind", "photonic")) {
    if (facts.regression) fail("the baseline of a photonic network is a classifier", "a regression task");
    return;
  }
  if (values_.is("objective.scope", "end_to_end"))
    fail("a baseline of untrained layers needs local losses", "objective.scope = \"end_to_end\"");
  if (values_.is("model.kind", "mlp") && layer_count() < 2) fail("needs a layer in front of the head", "a single layer");
}

void Config::check_combinations(const DataFacts& facts) const {
  const auto fail = [&](std::string_view key, const std::string& requirement, const std::string& remedy) {
    throw ConfigError(fmt::format("{}: {}", values_.place_of(key), key), requirement, values_.at(key).dump(), remedy);
  };
  const bool end_to_end = values_.is("objective.scope", "end_to_end");
  if (vote() && values_.is("vote.rule", "validated") && values_.integer("dataset.validation") == 0)
    fail("vote.rule", "a rule chosen by validation needs validation samples", "set dataset.validation, or name a rule");
  if (facts.regression) {
    if (!values_.is("objective.loss", "squared"))
      fail("objective.loss", "regression needs the squared loss", "use \"squared\" or \"auto\"");
  } else {
    if (values_.is("objective.loss", "squared"))
      fail("objective.loss", "the squared loss is for regression", "use \"margin\" or \"cross_entropy\"");
    if (end_to_end && !values_.is("objective.loss", "cross_entropy"))
      fail("objective.loss", "an end-to-end classifier is trained by cross-entropy on its outputs", "use \"cross_entropy\" or \"auto\"");
  }
  for (Index layer = 0; layer < layer_count(); ++layer) {
    const Values v = layer_values(layer);
    const std::string estimator = v.word("gradient.estimator"), distribution = v.word("gradient.distribution");
    const bool device =
        v.is("model.kind", "device") && (end_to_end || (layer >= first_device() && layer < first_device() + isize(devices_.size())));
    const auto own = estimators().added();
    if (device && estimator != "directional" && estimator != "twin" && estimator != "transfer" && !one_sided(v) &&
        std::find(own.begin(), own.end(), estimator) == own.end())
      fail("gradient.estimator", "a device answers with its outputs and nothing else",
           "use \"directional\", \"coordinate\" with gradient.distribution = \"one_sided\", or \"twin\" with a model of it; [[layer]] sets "
           "others apart");
    const bool several = device && !end_to_end && devices_[usize(layer - first_device())].reached_at.size() > 1;
    if (several && (estimator == "twin" || estimator == "transfer"))
      fail("gradient.estimator", "the devices of a layer are several: one model does not describe them all",
           "use \"directional\", or a single device");
    if (facts.regression && facts.classes > 1 && !device && !end_to_end && !v.is("model.kind", "cnn") &&
        v.integer("model.groups") % facts.classes != 0)
      fail("model.groups", fmt::format("groups must share themselves among the {} targets alike, in every layer", facts.classes),
           fmt::format("use multiples of {}", facts.classes));
    if (estimator == "activity" && end_to_end)
      fail("gradient.estimator", "activity perturbation needs local losses", "use objective.scope = \"local\"");
    const std::string family = estimator_of(distribution);
    if (estimator == "activity" && family != estimator)
      fail("gradient.distribution", "activity perturbations are prototypes, span or full", "use \"prototypes\" or \"auto\"");
    if (estimator == "directional" && family != estimator)
      fail("gradient.distribution", "directions are gaussian, rademacher, hadamard or coordinate", "use \"gaussian\" or \"auto\"");
    if (estimator == "coordinate" && family != estimator)
      fail("gradient.distribution", "single parameters are shifted or one_sided", "use \"one_sided\" or \"auto\"");
    if (estimator != "directional" && v.is("gradient.eps", "measured"))
      fail("gradient.eps", "only directional estimates have an eps to measure", "give a number");
    if ((estimator == "twin" || (estimator == "coordinate" && !one_sided(v))) &&
        std::any_of(imperfect_fields().begin(), imperfect_fields().end(),
                    [&](const ImperfectField& f) { return f.effect && v.number("model.imperfect." + f.name) != 0.0; }))
      fail("gradient.estimator", "twins and the rule of shifted reads know nothing of model.imperfect.*",
           "use \"directional\", or model.mesh.chip.*");
    const bool may_have_twin = v.is("model.kind", "photonic") || v.is("model.kind", "device");
    if (estimator == "twin" && (!may_have_twin || end_to_end))
      fail("gradient.estimator", "a twin is that of a photonic chip or a device, with a local loss",
           "use model.kind = \"photonic\" or \"device\", and scope \"local\"");
    const std::int64_t budget = v.integer("budget.forward_evals");
    if (estimator == "twin" && v.is("model.kind", "photonic") && v.is("gradient.twin.order", "first") &&
        v.word("gradient.twin.file").empty() && !v.is("gradient.twin.fit", "none")) {
      const std::int64_t readings = v.integer("gradient.twin.settings") * v.integer("gradient.twin.samples");
      if (budget > 0 && budget < readings)
        fail("budget.forward_evals", fmt::format("must hold the {} readings that calibrate the twin", readings),
             "raise it, or lower gradient.twin.settings or gradient.twin.samples");
    }
    if (estimator == "transfer" && ((!v.is("model.kind", "photonic") && !device) || end_to_end))
      fail("gradient.estimator", "a transfer matrix is that of a mesh, a chip or a device with a local loss",
           "use model.kind = \"photonic\" or \"device\" and scope \"local\"");
    if (estimator == "transfer" && v.integer("gradient.transfer.base") < v.integer("gradient.transfer.readings"))
      fail("gradient.transfer.base", "must not be fewer than gradient.transfer.readings", "give at least as many");
    if (estimator == "coordinate" && !one_sided(v) && (!v.is("model.kind", "photonic") || end_to_end))
      fail("gradient.estimator", "the coordinate rule is for the phases of a mesh with a local loss",
           "use model.kind = \"photonic\" and scope \"local\", or gradient.distribution = \"one_sided\"");
    if (!end_to_end && v.is("model.kind", "photonic") && v.is("model.mesh.linear_head", "joint") &&
        (estimator == "activity" || !v.is("objective.loss", "cross_entropy")))
      fail("model.mesh.linear_head", "a readout that learns along with the mesh needs cross-entropy and no activity perturbation",
           "use objective.loss = \"cross_entropy\", or \"trained\"");
    if (!end_to_end && v.is("model.kind", "photonic") && v.is("model.mesh.linear_head", "joint") &&
        v.number("objective.last_temperature") > 0.0)
      fail("objective.last_temperature", "a readout that learns along with the mesh is at one temperature",
           "use 0, or linear_head = \"trained\"");
    if (v.number("objective.last_temperature") > 0.0 && v.is("update.schedule", "plateau"))
      fail("update.schedule", "plateau compares losses of epochs, which objective.last_temperature puts at different temperatures",
           "use \"cosine\", \"step\" or \"constant\"");
    if (const std::int64_t drawn = v.integer("gradient.importance_samples"); drawn > 0 && drawn >= v.integer("training.batch_size"))
      fail("gradient.importance_samples",
           fmt::format("must be below the {} samples of training.batch_size", v.integer("training.batch_size")),
           "choose fewer, or a larger batch");
    if (v.integer("training.batch_size") > facts.train_size)
      fail("training.batch_size", fmt::format("must not exceed the {} training samples", facts.train_size), "choose a smaller batch");
  }
}

std::string Config::solver() const { return solver_name(scope_of(values_), values_.word("gradient.estimator")); }

std::string Config::to_toml() const {
  std::string text, table;
  const auto write = [&](const std::string& name, const json& value) {
    const auto dot = name.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : name.substr(0, dot);
    if (owner != table) {
      text += fmt::format("\n[{}]\n", owner);
      table = owner;
    }
    text += fmt::format("{} = {}\n", dot == std::string::npos ? name : name.substr(dot + 1), toml_value(value));
  };
  // Of most runs nothing is imperfect; a page of zeros would hide what they are.
  const auto of_imperfection = [](const KeyInfo& key) { return key.name.starts_with("model.imperfect."); };
  const bool perfect = std::all_of(keys().begin(), keys().end(),
                                   [&](const KeyInfo& key) { return !of_imperfection(key) || values_.at(key.name) == key.fallback; });
  for (const KeyInfo& key : keys())
    if (key.unused(values_).empty() && !(perfect && of_imperfection(key))) write(key.name, values_.at(key.name));
  for (const DeviceLayer& device : devices_) {
    text += "\n[[model.device]]\n";
    for (const KeyInfo& key : device_keys())
      if (key.type != KeyType::texts || !device.at(key.name).empty())
        text += fmt::format("{} = {}\n", key.name, toml_value(device.at(key.name)));
  }
  for (const LayerTable& layer : layers_) {
    text += fmt::format("\n[[layer]]\nindex = {}\n", layer.layer);
    for (const auto& [key, value] : layer.values) text += fmt::format("{} = {}\n", key, toml_value(value));
  }
  return text;
}

}  // namespace ffzero
