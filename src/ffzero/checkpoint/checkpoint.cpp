// The state of a run as an npz archive that NumPy reads: arrays as they are, everything else as JSON in the array "meta".
// SPDX-License-Identifier: MIT
#include "ffzero/checkpoint/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ffzero/base/error.hpp"
#include "ffzero/dataset/dataset.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;

constexpr int kFormat = 1;

json to_json(const Evaluations& e) { return {e.training, e.propagation, e.logging, e.replayed, e.pullbacks, e.checks, e.failed}; }

Evaluations evaluations_from(const json& j) {
  return {.training = j.at(0),
          .propagation = j.at(1),
          .logging = j.at(2),
          .replayed = j.at(3),
          .pullbacks = j.at(4),
          .checks = j.size() > 5 ? j[5].get<std::int64_t>() : 0,
          .failed = j.size() > 6 ? j[6].get<std::int64_t>() : 0};
}

json to_json(const std::optional<Measure>& m) { return m ? json{m->value, m->loss} : json(nullptr); }

std::optional<Measure> measure_from(const json& j) {
  if (j.is_null()) return std::nullopt;
  return Measure{.value = j.at(0), .loss = j.at(1)};
}

json epoch_to_meta(const EpochRecord& r) {
  return {{"layer", r.layer},
          {"layer_index", r.layer_index},
          {"epoch", r.epoch},
          {"loss", r.training_loss},
          {"train", to_json(r.train)},
          {"test", to_json(r.test)},
          {"validation", to_json(r.validation)},
          {"forward_evals", r.forward_evals},
          {"wall_s", r.wall_s}};
}

EpochRecord epoch_from_meta(const json& j) {
  return {.layer = j.at("layer"),
          .layer_index = j.at("layer_index"),
          .epoch = j.at("epoch"),
          .training_loss = j.at("loss"),
          .train = measure_from(j.at("train")),
          .test = measure_from(j.at("test")),
          .validation = measure_from(j.at("validation")),
          .forward_evals = j.at("forward_evals"),
          .wall_s = j.at("wall_s")};
}

std::string text_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// Numbers that are possible each by itself, and fit one another.
void require_consistent(const json& meta, const std::string& place) {
  const auto fail = [&](const std::string& requirement, const std::string& value) {
    throw DataError(place, requirement, value, "the file is damaged");
  };
  constexpr std::int64_t kMost = std::int64_t{1} << 40, kLargestSample = std::int64_t{1} << 31;
  for (const char* name : {"block", "epoch", "step", "train_size"})
    if (meta[name].get<std::int64_t>() > kMost) fail(fmt::format("\"{}\" must be a possible number", name), text_of(meta[name]));
  if (meta["train_size"].get<std::int64_t>() < 1) fail("\"train_size\" must be at least 1", text_of(meta["train_size"]));
  const auto classes = meta["classes"].get<std::int64_t>();
  if (classes < 1 || classes > kMostClasses) fail(fmt::format("\"classes\" must lie in 1 .. {}", kMostClasses), std::to_string(classes));
  const std::size_t names = meta["class_names"].size();
  if (meta["task"] == "classification" && names != 0 && isize(names) != classes)
    fail(fmt::format("\"class_names\" must name {} classes", classes), std::to_string(names));
  if (meta["task"] != "classification" && meta["task"] != "regression")
    fail("\"task\" must be classification or regression", text_of(meta["task"]));
  if (meta["sample_type"] != "bytes" && meta["sample_type"] != "floats")
    fail("\"sample_type\" must be bytes or floats", text_of(meta["sample_type"]));
  std::int64_t size = 1;
  for (const json& side : meta["sample_shape"]) {
    const auto n = side.get<std::int64_t>();
    if (n < 1 || n > kLargestSample / size) fail("\"sample_shape\" must be a possible size", text_of(meta["sample_shape"]));
    size *= n;
  }
}

// JSON that nests deeper than ours is not ours, and would be copied and written by recursion.
json parse_meta(const std::vector<std::uint8_t>& bytes) {
  constexpr int kDeepest = 8;
  bool deep = false;
  const auto look = [&](int depth, json::parse_event_t, json&) { return !(deep = deep || depth > kDeepest); };
  json meta = json::parse(bytes.begin(), bytes.end(), look, false);
  return deep ? json() : meta;
}

json instrument_to_meta(const InstrumentRecord& r) {
  json looks = json::array();
  for (const Steadiness& s : r.looks) looks.push_back({s.layer, s.epoch, s.noise, s.drift});
  const DeviceReceipt& d = r.receipt;
  json meta = {{"layer", r.layer},
               {"address", r.address},
               {"identity", r.identity},
               {"shape", {r.inputs, r.outputs, r.parameters}},
               {"receipt", {d.sets, d.values, d.evaluations, d.rows, d.retries, d.restarts, d.failed, d.projected, d.dropped}},
               {"seconds", d.seconds},
               {"reference", r.reference},
               {"looks", looks}};
  if (r.number != InstrumentRecord::kAlone) meta["number"] = r.number;
  if (r.unasked > 0) meta["unasked"] = r.unasked;
  if (r.lost_calls > 0) meta["lost_calls"] = r.lost_calls;
  if (r.without_since) meta["without_since"] = *r.without_since;
  return meta;
}

InstrumentRecord instrument_from(const json& j) {
  const json &d = j.at("receipt"), &shape = j.at("shape");
  InstrumentRecord r{.layer = j.at("layer"),
                     .number = j.value("number", InstrumentRecord::kAlone),
                     .name = {},
                     .address = j.value("address", std::string()),
                     .identity = j.value("identity", std::string()),
                     .inputs = shape.at(0),
                     .outputs = shape.at(1),
                     .parameters = shape.at(2),
                     .receipt = {.sets = d.at(0),
                                 .values = d.at(1),
                                 .evaluations = d.at(2),
                                 .rows = d.at(3),
                                 .retries = d.at(4),
                                 .restarts = d.at(5),
                                 .failed = d.at(6),
                                 .dropped = d.size() > 8 ? d[8].get<std::int64_t>() : 0,
                                 .projected = d.at(7),
                                 .seconds = j.at("seconds")},
                     .reference = j.at("reference").get<std::vector<double>>(),
                     .looks = {},
                     .unasked = j.value("unasked", std::int64_t{0}),
                     .lost_calls = j.value("lost_calls", Index{0}),
                     .without_since = {}};
  if (j.contains("without_since")) r.without_since = j["without_since"];
  for (const json& s : j.at("looks")) r.looks.push_back({.layer = s.at(0), .epoch = s.at(1), .noise = s.at(2), .drift = s.at(3)});
  return r;
}

json data_to_meta(const TrainerState& s) {
  const DatasetInfo& info = s.data;
  const Shape& raw = info.shape;
  json meta = {{"task", to_string(info.task)},
               {"train_size", s.train_size},
               {"classes", s.classes},
               {"class_names", info.class_names},
               {"target_scale", {info.target_scale.offset, info.target_scale.scale}},
               {"sample_type", s.bytes ? "bytes" : "floats"},
               {"sample_shape", {raw.channels, raw.height, raw.width}}};
  for (const auto& [name, texts] : {std::pair("class_texts", &info.class_texts), std::pair("feature_names", &info.feature_names),
                                    std::pair("output_names", &info.output_names)})
    if (!texts->empty()) meta[name] = *texts;
  if (info.outputs > 1) {
    json scales = json::array();
    for (const TargetScale& scale : info.target_scales) scales.push_back({scale.offset, scale.scale});
    meta["target_scales"] = scales;
  }
  return meta;
}

DatasetInfo data_from(const json& meta, const std::string& place) {
  DatasetInfo info;
  info.task = meta.at("task") == "regression" ? Task::regression : Task::classification;
  info.classes = info.task == Task::regression ? 0 : meta.at("classes").get<Index>();
  if (info.task == Task::regression) info.outputs = meta.at("classes");
  const json& shape = meta.at("sample_shape");
  info.shape = {.channels = shape.at(0), .height = shape.at(1), .width = shape.at(2)};
  info.class_names = meta.at("class_names").get<std::vector<std::int32_t>>();
  info.class_texts = meta.value("class_texts", std::vector<std::string>());
  info.feature_names = meta.value("feature_names", std::vector<std::string>());
  info.output_names = meta.value("output_names", std::vector<std::string>());
  for (const json& scale : meta.value("target_scales", json::array()))
    info.target_scales.push_back({.offset = scale.at(0), .scale = scale.at(1)});
  if (info.outputs > 1 && info.target_scales.empty())
    throw DataError(place, "must hold a scale for each target", "none", "the file is damaged");
  info.target_scale = {.offset = meta.at("target_scale").at(0), .scale = meta.at("target_scale").at(1)};
  return info;
}

json prediction_to_meta(const PredictionPlan& p) {
  json meta = {{"crop", p.encoder.crop},
               {"downsample", p.encoder.downsample},
               {"optical_field", to_string(p.encoder.optical_field)},
               {"scale", to_string(p.scale)},
               {"last_layers", p.last_layers},
               {"end_to_end", p.end_to_end},
               {"evaluation_rows", p.evaluation_rows},
               {"vote", nullptr}};
  if (p.vote) meta["vote"] = {{"rule", to_string(p.vote->rule)}, {"validated", p.vote->validated}, {"temperature", p.vote->temperature}};
  return meta;
}

PredictionPlan prediction_from(const json& j, const std::string& place) {
  PredictionPlan p;
  p.encoder.crop = j.at("crop");
  p.encoder.downsample = j.at("downsample");
  p.encoder.optical_field = optical_field_from(j.at("optical_field").get<std::string>());
  p.scale = scale_kind_from(j.at("scale").get<std::string>());
  p.last_layers = j.at("last_layers").get<std::vector<Index>>();
  p.end_to_end = j.at("end_to_end");
  p.evaluation_rows = j.at("evaluation_rows");
  if (const json& vote = j.at("vote"); !vote.is_null())
    p.vote = VoteOptions{.rule = parse_vote_rule(vote.at("rule").get<std::string>()),
                         .validated = vote.at("validated"),
                         .temperature = vote.at("temperature")};
  if (p.evaluation_rows < 1 || p.last_layers.empty() || !std::is_sorted(p.last_layers.begin(), p.last_layers.end()))
    throw DataError(place, "\"prediction\" must name voters, and samples of an evaluation", text_of(j), "the file is damaged");
  return p;
}

bool is_vote_rule(const json& name) {
  if (!name.is_string()) return false;
  try {
    static_cast<void>(parse_vote_rule(name.get<std::string>()));
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

// Every member that a reader may take, with its type, so that a damaged file is told here and nowhere else.
void require_complete(const json& meta, const std::string& place) {
  // Counts are added up over layers.
  constexpr std::uint64_t kMost = std::uint64_t{1} << 50;
  const auto require = [&](const char* name, bool right) {
    if (!right)
      throw DataError(place, fmt::format("the array \"meta\" must hold a proper \"{}\"", name),
                      meta.contains(name) ? text_of(meta[name]) : "none", "the file is damaged");
  };
  const auto holds = [&](const char* name, auto is_right) { require(name, meta.contains(name) && is_right(meta[name])); };
  const auto list_of = [](const json& j, auto is_right) { return j.is_array() && std::all_of(j.begin(), j.end(), is_right); };
  const auto natural = [](const json& j) {
    return j.is_number_integer() && (!j.is_number_unsigned() || j.get<std::uint64_t>() <= kMost) && j.get<std::int64_t>() >= 0;
  };
  const auto integer = [](const json& j) { return j.is_number_integer(); };
  const auto number = [](const json& j) { return j.is_number(); };
  for (const char* name : {"config", "task", "sample_type"}) holds(name, [](const json& j) { return j.is_string(); });
  for (const char* name : {"block", "epoch", "step", "train_size", "classes"}) holds(name, natural);
  for (const char* name : {"loss_sum", "elapsed_s", "evaluation_s"}) holds(name, number);
  holds("finished", [](const json& j) { return j.is_boolean(); });
  if (meta.contains("vote_rule")) require("vote_rule", is_vote_rule(meta["vote_rule"]));
  if (meta.contains("deciding_layer")) require("deciding_layer", natural(meta["deciding_layer"]));
  holds("class_names", [&](const json& j) { return list_of(j, integer); });
  holds("measured", [&](const json& j) {
    return list_of(j, [&](const json& m) { return (m.size() == 3 || m.size() == 4) && list_of(m, number) && natural(m[2]); });
  });
  holds("sample_shape", [&](const json& j) { return j.size() == 3 && list_of(j, natural); });
  // What only some data have.
  const auto text = [](const json& j) { return j.is_string(); };
  for (const char* name : {"class_texts", "feature_names", "output_names", "arithmetic"})
    if (meta.contains(name)) require(name, list_of(meta[name], text));
  if (meta.contains("class_texts")) require("class_texts", meta["class_texts"].size() == meta["classes"].get<std::size_t>());
  if (meta.contains("output_names")) require("output_names", meta["output_names"].size() == meta["classes"].get<std::size_t>());
  if (meta.contains("target_scales"))
    require("target_scales", meta["target_scales"].size() == meta["classes"].get<std::size_t>() &&
                                 list_of(meta["target_scales"], [&](const json& s) { return s.size() == 2 && list_of(s, number); }));
  holds("target_scale", [&](const json& j) { return j.size() == 2 && list_of(j, number); });
  holds("ledger",
        [&](const json& j) { return list_of(j, [&](const json& e) { return e.size() >= 5 && e.size() <= 7 && list_of(e, natural); }); });
  if (meta.contains("devices")) {
    const auto naturals = [&](const json& j, const char* name, std::size_t least, std::size_t most) {
      return j.contains(name) && j[name].size() >= least && j[name].size() <= most && list_of(j[name], natural);
    };
    holds("devices", [&](const json& j) {
      return list_of(j, [&](const json& d) {
        if (!d.is_object()) return false;
        for (const char* optional : {"number", "unasked", "lost_calls", "without_since"})
          if (d.contains(optional) && !natural(d[optional])) return false;
        return d.contains("layer") && natural(d["layer"]) && naturals(d, "shape", 3, 3) && naturals(d, "receipt", 8, 9) &&
               d.contains("seconds") && number(d["seconds"]) && d.contains("reference") && list_of(d["reference"], number) &&
               d.contains("looks") &&
               list_of(d["looks"], [&](const json& s) { return s.size() == 4 && list_of(s, number) && natural(s[0]) && natural(s[1]); });
      });
    });
  }
  if (meta.contains("skipped")) require("skipped", meta["skipped"].size() == 4 && list_of(meta["skipped"], natural));
  holds("records", [&](const json& j) {
    return list_of(j, [&](const json& r) {
      if (!r.is_object()) return false;
      for (const char* split : {"train", "test", "validation"})
        if (!r.contains(split) || !(r[split].is_null() || (r[split].size() == 2 && list_of(r[split], number)))) return false;
      for (const char* count : {"layer_index", "epoch", "forward_evals"})
        if (!r.contains(count) || !natural(r[count])) return false;
      for (const char* real : {"loss", "wall_s"})
        if (!r.contains(real) || !number(r[real])) return false;
      return r.contains("layer") && r["layer"].is_string();
    });
  });
}

// The JSON of a checkpoint, complete and consistent.
json meta_of(const NpzArchive& checkpoint, const std::string& place) {
  const auto found = checkpoint.find("meta");
  if (found == checkpoint.end()) throw DataError(place, "must be a checkpoint of ffzero", "no array \"meta\"", "give the folder of a run");
  const auto bytes = found->second.to<std::uint8_t>();
  json meta = parse_meta(bytes);
  if (!meta.is_object() || !meta.contains("format"))
    throw DataError(place, "the array \"meta\" must hold JSON", "something else", "the file is damaged");
  if (meta["format"] != kFormat)
    throw DataError(place, fmt::format("must be a checkpoint of format {}", kFormat), text_of(meta["format"]),
                    "use the version that wrote it");
  require_complete(meta, place);
  require_consistent(meta, place);
  return meta;
}

TrainerState state_from(const json& meta, const std::string& place) {
  TrainerState s;
  s.description = meta.at("config");
  s.described_by_config = meta.value("network", "config") != "own";
  if (!s.described_by_config && meta.contains("prediction")) s.prediction = prediction_from(meta["prediction"], place);
  s.block = meta.at("block");
  s.epoch = meta.at("epoch");
  s.step = meta.at("step");
  s.loss_sum = meta.at("loss_sum");
  s.finished = meta.at("finished");
  s.elapsed_s = meta.at("elapsed_s");
  s.evaluation_s = meta.at("evaluation_s");
  s.arithmetic = meta.value("arithmetic", std::vector<std::string>());
  s.ledger = Ledger(isize(meta.at("ledger").size()));
  for (Index i = 0; i < s.ledger.layers(); ++i) s.ledger.restore(i, evaluations_from(meta["ledger"][usize(i)]));
  for (const json& r : meta.at("records")) s.records.push_back(epoch_from_meta(r));
  for (const json& m : meta.at("measured"))
    s.measured.push_back({.eps = m.at(0), .lr = m.at(1), .forward_evals = m.at(2), .fallback = m.size() > 3 ? m[3].get<double>() : 0.0});
  for (const json& d : meta.value("devices", json::array())) s.instruments.push_back(instrument_from(d));
  if (meta.contains("skipped")) {
    s.skipped = {.steps = meta["skipped"].at(0), .directions = meta["skipped"].at(1)};
    s.lossless = meta["skipped"].at(2);
    s.skipped_of_block = meta["skipped"].at(3);
  }
  s.train_size = meta.at("train_size");
  s.classes = meta.at("classes");
  s.data = data_from(meta, place);
  s.bytes = meta.at("sample_type") == "bytes";
  if (meta.contains("vote_rule")) s.vote_rule = parse_vote_rule(meta["vote_rule"].get<std::string>());
  if (meta.contains("deciding_layer")) s.deciding_voter = meta["deciding_layer"].get<std::size_t>();
  return s;
}

}  // namespace

NpzArchive checkpoint_of(const TrainerState& s) {
  json ledger = json::array(), records = json::array(), measured = json::array();
  for (const MeasuredControl& m : s.measured) {
    measured.push_back({m.eps, m.lr, m.forward_evals});
    if (m.fallback > 0.0) measured.back().push_back(m.fallback);
  }
  for (Index i = 0; i < s.ledger.layers(); ++i) ledger.push_back(to_json(s.ledger.layer(i)));
  for (const EpochRecord& r : s.records) records.push_back(epoch_to_meta(r));
  json meta = data_to_meta(s);
  meta.update({{"format", kFormat},
               {"config", s.description},
               {"block", s.block},
               {"epoch", s.epoch},
               {"step", s.step},
               {"loss_sum", s.loss_sum},
               {"ledger", ledger},
               {"records", records},
               {"measured", measured},
               {"elapsed_s", s.elapsed_s},
               {"evaluation_s", s.evaluation_s},
               {"finished", s.finished},
               {"arithmetic", s.arithmetic}});
  if (s.vote_rule) meta["vote_rule"] = to_string(*s.vote_rule);
  if (s.deciding_voter) meta["deciding_layer"] = *s.deciding_voter;
  for (const InstrumentRecord& record : s.instruments) meta["devices"].push_back(instrument_to_meta(record));
  if (!s.instruments.empty()) meta["skipped"] = {s.skipped.steps, s.skipped.directions, s.lossless, s.skipped_of_block};
  if (!s.described_by_config) {
    meta["network"] = "own";
    meta["prediction"] = prediction_to_meta(s.prediction);
  }
  NpzArchive archive = s.arrays;
  const std::string text = meta.dump();
  archive["meta"] = NpyArray::of<std::uint8_t>({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, {isize(text.size())});
  return archive;
}

TrainerState state_of(NpzArchive checkpoint, const std::string& place) {
  const json meta = meta_of(checkpoint, place);
  try {
    TrainerState state = state_from(meta, place);
    checkpoint.erase("meta");
    state.arrays = std::move(checkpoint);
    return state;
  } catch (const json::exception& e) {
    throw DataError(place, "the array \"meta\" must be complete", e.what(), "the file is damaged");
  } catch (const ConfigError& e) {
    throw DataError(place, "must hold settings that this version knows", e.what(), "use the version that wrote it");
  }
}

void write_checkpoint(const std::filesystem::path& file, const TrainerState& state) { write_npz(file, checkpoint_of(state)); }

TrainerState read_checkpoint(const std::filesystem::path& file) { return state_of(read_npz(file), file.string()); }

}  // namespace ffzero
