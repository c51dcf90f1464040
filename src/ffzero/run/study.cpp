// From a grid to runs.
// SPDX-License-Identifier: MIT
#include "ffzero/run/study.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "ffzero/base/error.hpp"
#include "ffzero/settings/config.hpp"
#include "ffzero/settings/toml_values-inl.hpp"

namespace ffzero {

namespace {

using Value = nlohmann::json;
using Keys = TomlKeys;

// What decides most about which other keys apply comes first, the rest in the order of the manual.
int priority(const std::string& key) {
  static const std::vector<std::string> first{"preset",          "model.kind",         "dataset.name",   "dataset.task",
                                              "objective.scope", "gradient.estimator", "objective.loss", "update.rule"};
  const auto found = std::find(first.begin(), first.end(), key);
  if (found != first.end()) return static_cast<int>(found - first.begin());
  const auto& table = keys();
  return 100 + static_cast<int>(std::find_if(table.begin(), table.end(), [&](const KeyInfo& k) { return k.name == key; }) - table.begin());
}

std::string toml_text(const Keys& keys, const std::string& layer_tables) {
  std::string text;
  for (const auto& [key, value] : keys) text += fmt::format("{} = {}\n", key, value.dump());
  return text + layer_tables;
}

Config resolved(const Keys& said, const std::string& layer_tables) {
  Config config = Config::parse(toml_text(said, layer_tables), "study");
  const Values& v = config.values();
  const bool regression = v.is("dataset.task", "regression") || v.word("dataset.name").starts_with("function");
  const auto& classes = v.at("dataset.classes");
  const Index count = classes.is_array() ? isize(classes.size()) : classes.get<Index>();
  config.resolve({.regression = regression, .classes = regression ? 1 : count > 0 ? count : 10, .train_size = std::int64_t{1} << 40});
  return config;
}

// A configuration as keys and [[layer]] tables.
RunSettings base_settings(toml::table table, const std::string& place) {
  RunSettings settings;
  if (const auto* layers = table.get_as<toml::array>("layer")) {
    std::ostringstream text;
    text << "\n" << toml::table{{"layer", *layers}} << "\n";
    settings.layer_tables = text.str();
    table.erase("layer");
  }
  auto* const model = table["model"].as_table();
  if (const auto* devices = model == nullptr ? nullptr : model->get_as<toml::array>("device")) {
    for (const auto& entry : *devices) {
      Keys keys;
      if (const auto* device = entry.as_table()) flatten_toml(*device, "", place, keys);
      settings.device_tables += "\n[[model.device]]\n" + toml_text(keys, "");
    }
    model->erase("device");
  }
  flatten_toml(table, "", place, settings.keys);
  // Unknown ones are found later.
  for (auto& [key, value] : settings.keys) key = name_now(key);
  return settings;
}

RunSettings read_base(const toml::table& study, const std::string& place, const std::filesystem::path& folder) {
  const auto* base = study.get("base");
  if (base == nullptr) return {};
  if (const auto* table = base->as_table()) return base_settings(*table, place + ": base");
  if (const auto* name = base->as_string()) {
    const std::filesystem::path file = folder / name->get();
    return base_settings(parse_toml(read_toml_text(file), file.string()), file.string());
  }
  throw ConfigError(place + ": base", "must be a table of settings or the name of a file", "something else");
}

struct Axis {
  std::string key;
  std::vector<Value> values;
};

std::vector<Value> list_of(const toml::table& study, const char* key, const std::string& place) {
  const auto* node = study.get(key);
  if (node == nullptr) return {};
  const Value list = toml_value_of(*node, place + ": " + key);
  if (!list.is_array() || list.empty()) throw ConfigError(place + ": " + key, "must be a list with at least one entry", list.dump());
  return list.get<std::vector<Value>>();
}

std::vector<Axis> axes_of(const toml::table& study, const std::string& place) {
  std::vector<Axis> axes;
  if (const auto cells = list_of(study, "cells", place); !cells.empty()) axes.push_back({"solver", cells});
  const auto* grid = study.get("grid");
  if (grid == nullptr) return axes;
  if (grid->as_table() == nullptr) throw ConfigError(place + ": grid", "must be a table: key = [values]", "something else");
  Keys entries;
  flatten_toml(*grid->as_table(), "", place + ": grid", entries);
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return priority(a.first) < priority(b.first); });
  for (const auto& [key, values] : entries) {
    if (key == "seed") throw ConfigError(place + ": grid.seed", "seeds are listed apart", values.dump(), "write seeds = [0, 1, 2]");
    (void)key_info(key, place + ": grid");
    if (!values.is_array() || values.empty())
      throw ConfigError(place + ": grid." + key, "needs a list of values", values.dump(), "write [value, value]");
    axes.push_back({name_now(key), values.get<std::vector<Value>>()});
  }
  return axes;
}

void require_known_keys(const toml::table& study, const std::string& place) {
  static const std::set<std::string> known{"name", "base", "seeds", "cells", "grid"};
  for (const auto& [key, node] : study)
    if (!known.contains(std::string(key.str())))
      throw ConfigError(place, "unknown key of a study", std::string(key.str()),
                        "name, base, seeds, cells and grid; settings of the runs belong into base");
}

// The study's folder is called after it, in runs/.
std::string name_of(const toml::table& study, const std::string& place) {
  const auto* node = study.get("name");
  if (node == nullptr) return "study";
  const auto* name = node->as_string();
  if (name == nullptr) throw ConfigError(place + ": name", "must be a text", "something else", "write name = \"...\"");
  const std::string& text = name->get();
  const auto unfit = [](char c) { return c == '/' || (c >= 0 && c < ' ') || c == '\x7f'; };
  if (text.empty() || text.front() == '.' || text.size() > 200 || std::any_of(text.begin(), text.end(), unfit))
    throw ConfigError(place + ": name", "must be the name of a folder, without a path", "\"" + text + "\"", "choose the place with --out");
  return text;
}

std::string text_of(const Value& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void set_key(Keys& keys, const std::string& key, const Value& value) {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const auto& kv) { return kv.first == key; });
  if (found != keys.end())
    found->second = value;
  else
    keys.emplace_back(key, value);
}

void add_combination(Study& study, const RunSettings& base, const std::vector<Axis>& axes, const std::vector<std::size_t>& at,
                     const std::vector<std::int64_t>& seeds) {
  RunSettings settings = base;
  std::vector<std::pair<std::string, std::string>> chosen;
  for (std::size_t a = 0; a < axes.size(); ++a) {
    const Value& value = axes[a].values[at[a]];
    chosen.emplace_back(axes[a].key, text_of(value));
    if (axes[a].key == "solver")
      settings.cell = text_of(value);
    else
      set_key(settings.keys, axes[a].key, value);
  }
  add_setting(study, settings, chosen, seeds);
}

void note_dropped(Study& study, const std::string& key, const std::string& reason, const std::string& setting) {
  auto found =
      std::find_if(study.dropped.begin(), study.dropped.end(), [&](const DroppedKey& d) { return d.key == key && d.reason == reason; });
  if (found == study.dropped.end()) found = study.dropped.insert(found, {key, reason, {}});
  if (std::find(found->where.begin(), found->where.end(), setting) == found->where.end()) found->where.push_back(setting);
}

}  // namespace

std::string setting_title(const std::vector<std::pair<std::string, std::string>>& axes) {
  std::string title;
  for (const auto& [key, value] : axes) {
    if (value == "-") continue;
    const bool speaks = key == "solver" || key == "dataset.name" || key == "model.kind" || key == "preset" || key == "settings";
    title += (title.empty() ? "" : ", ") + (speaks ? value : key.substr(key.rfind('.') + 1) + " " + value);
  }
  return title.empty() ? "all" : title;
}

std::vector<std::string> Study::notes() const {
  std::vector<std::string> lines;
  for (const DroppedKey& d : dropped) {
    std::string where;
    for (const auto& setting : d.where) where += (where.empty() ? "" : "; ") + setting;
    lines.push_back(fmt::format("{} is dropped in {}: {}", d.key, where, d.reason));
  }
  return lines;
}

std::string applicable_toml(const RunSettings& settings, std::vector<std::pair<std::string, std::string>>& dropped) {
  Keys all = settings.keys;
  if (!settings.cell.empty())
    for (const auto& [key, value] : solver_overrides(settings.cell)) set_key(all, key, value);
  for (const auto& [key, value] : all) (void)checked_value(key_info(key, "study"), value, "study");
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return priority(a.first) < priority(b.first); });
  // What chooses the kind of run always applies; every other key is tried on the run as it is without it.
  Keys kept;
  for (const auto& entry : all)
    if (priority(entry.first) < 100) kept.push_back(entry);
  Keys open(all.begin() + static_cast<std::ptrdiff_t>(kept.size()), all.end());
  // It says what the keys of the gradient in front of it are for.
  std::stable_partition(open.begin(), open.end(), [](const auto& entry) { return entry.first == "gradient.distribution"; });
  for (const auto& entry : open) {
    const std::string reason = key_info(entry.first, "study").unused(resolved(kept, settings.device_tables).values());
    if (reason.empty())
      kept.push_back(entry);
    else
      dropped.emplace_back(entry.first, reason);
  }
  std::stable_sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return priority(a.first) < priority(b.first); });
  const std::string tables = settings.device_tables + settings.layer_tables;
  (void)resolved(kept, tables);
  return toml_text(kept, tables);
}

void add_setting(Study& study, const RunSettings& settings, const std::vector<std::pair<std::string, std::string>>& asked,
                 const std::vector<std::int64_t>& seeds) {
  std::vector<std::pair<std::string, std::string>> axes = asked;
  std::vector<std::pair<std::string, std::string>> dropped;
  const std::string toml = applicable_toml(settings, dropped);
  for (auto& [key, value] : axes)
    if (std::any_of(dropped.begin(), dropped.end(), [&](const auto& d) { return d.first == key; })) value = "-";
  for (const auto& [key, reason] : dropped) note_dropped(study, key, reason, setting_title(axes));
  // Two settings that differ in a dropped key only are one.
  for (const PlannedRun& run : study.runs)
    if (run.axes == axes) return;
  std::set<std::string> settings_seen;
  for (const PlannedRun& run : study.runs) settings_seen.insert(run.setting);
  const std::string setting = fmt::format("s{:02}", settings_seen.size());
  for (const std::int64_t seed : seeds)
    study.runs.push_back({fmt::format("{}-seed{}", setting, seed), setting, axes, seed, fmt::format("seed = {}\n{}", seed, toml),
                          !settings.device_tables.empty()});
}

Study parse_study(const std::string& text, const std::string& place, const std::filesystem::path& folder,
                  const std::vector<std::pair<std::string, std::string>>& overrides) {
  const toml::table table = parse_toml(text, place);
  require_known_keys(table, place);
  Study study;
  study.name = name_of(table, place);
  RunSettings base = read_base(table, place, folder);
  const std::vector<Axis> axes = axes_of(table, place);
  for (const auto& [key, value] : overrides) {
    (void)key_info(key, "command line");
    if (std::any_of(axes.begin(), axes.end(), [now = name_now(key)](const Axis& axis) { return axis.key == now; }) ||
        (key == "seed" && table.contains("seeds")))
      throw ConfigError("command line: " + key, "must not be listed in the study", key + "=" + value, "change it in " + place);
    set_key(base.keys, name_now(key), override_value(key, value));
  }
  std::vector<std::int64_t> seeds;
  for (const Value& seed : list_of(table, "seeds", place)) {
    (void)checked_value(key_info("seed", place), seed, place + ": seeds");
    if (!seed.is_number_integer()) throw ConfigError(place + ": seeds", "must be integers", seed.dump());
    const auto value = seed.get<std::int64_t>();
    if (std::find(seeds.begin(), seeds.end(), value) != seeds.end())
      throw ConfigError(place + ": seeds", "must name each seed once", std::to_string(value) + " twice",
                        "the same seed gives the same run");
    seeds.push_back(value);
  }
  const auto seed = std::find_if(base.keys.begin(), base.keys.end(), [](const auto& kv) { return kv.first == "seed"; });
  std::int64_t only = 0;
  if (seed != base.keys.end()) {
    only = checked_value(key_info("seed", place), seed->second, place + ": base").get<std::int64_t>();
    base.keys.erase(seed);
  }
  if (seeds.empty()) seeds.push_back(only);
  std::vector<std::size_t> at(axes.size(), 0);
  while (true) {
    add_combination(study, base, axes, at, seeds);
    std::size_t a = axes.size();
    while (a > 0 && ++at[a - 1] == axes[a - 1].values.size()) at[--a] = 0;
    if (a == 0) return study;
  }
}

Study read_study(const std::filesystem::path& file, const std::vector<std::pair<std::string, std::string>>& overrides) {
  return parse_study(read_toml_text(file), file.string(), file.parent_path(), overrides);
}

}  // namespace ffzero
