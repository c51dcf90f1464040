// The state of a run as an npz archive that NumPy reads: arrays as they are, everything else as JSON in the array "meta".
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "ffzero/base/error.hpp"
#include "ffzero/train/checkpoint.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero {

namespace {

using json = nlohmann::json;

constexpr int kFormat = 1;

json to_json(const Evaluations& e) { return {e.training, e.propagation, e.logging, e.replayed, e.pullbacks, e.checks}; }

Evaluations evaluations_from(const json& j) {
  return {.training = j.at(0),
          .propagation = j.at(1),
          .logging = j.at(2),
          .replayed = j.at(3),
          .pullbacks = j.at(4),
          .checks = j.size() > 5 ? j[5].get<std::int64_t>() : 0};
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
  constexpr std::int64_t kMost = std::int64_t{1} << 40, kMostClasses = 65536, kLargestSample = std::int64_t{1} << 31;
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
  return {{"layer", r.layer},
          {"address", r.address},
          {"identity", r.identity},
          {"shape", {r.inputs, r.outputs, r.parameters}},
          {"receipt", {d.sets, d.values, d.evaluations, d.rows, d.retries, d.restarts, d.failed, d.projected}},
          {"seconds", d.seconds},
          {"reference", r.reference},
          {"looks", looks}};
}

void take_instrument(const json& j, InstrumentRecord& r) {
  const json& d = j.at("receipt");
  r.receipt = {.sets = d.at(0),
               .values = d.at(1),
               .evaluations = d.at(2),
               .rows = d.at(3),
               .retries = d.at(4),
               .restarts = d.at(5),
               .failed = d.at(6),
               .projected = d.at(7),
               .seconds = j.at("seconds")};
  r.reference = j.at("reference").get<std::vector<double>>();
  for (const json& s : j.at("looks")) r.looks.push_back({.layer = s.at(0), .epoch = s.at(1), .noise = s.at(2), .drift = s.at(3)});
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
  holds("measured", [&](const json& j) { return list_of(j, [&](const json& m) { return m.size() == 3 && list_of(m, number); }); });
  holds("sample_shape", [&](const json& j) { return j.size() == 3 && list_of(j, natural); });
  // What only some data have.
  const auto text = [](const json& j) { return j.is_string(); };
  for (const char* name : {"class_texts", "feature_names", "output_names"})
    if (meta.contains(name)) require(name, list_of(meta[name], text));
  if (meta.contains("class_texts")) require("class_texts", meta["class_texts"].size() == meta["classes"].get<std::size_t>());
  if (meta.contains("output_names")) require("output_names", meta["output_names"].size() == meta["classes"].get<std::size_t>());
  if (meta.contains("target_scales"))
    require("target_scales", meta["target_scales"].size() == meta["classes"].get<std::size_t>() &&
                                 list_of(meta["target_scales"], [&](const json& s) { return s.size() == 2 && list_of(s, number); }));
  holds("target_scale", [&](const json& j) { return j.size() == 2 && list_of(j, number); });
  holds("ledger",
        [&](const json& j) { return list_of(j, [&](const json& e) { return (e.size() == 5 || e.size() == 6) && list_of(e, natural); }); });
  if (meta.contains("devices")) {
    const auto naturals = [&](const json& j, const char* name, std::size_t count) {
      return j.contains(name) && j[name].size() == count && list_of(j[name], natural);
    };
    holds("devices", [&](const json& j) {
      return list_of(j, [&](const json& d) {
        return d.is_object() && d.contains("layer") && natural(d["layer"]) && naturals(d, "shape", 3) && naturals(d, "receipt", 8) &&
               d.contains("seconds") && number(d["seconds"]) && d.contains("reference") && list_of(d["reference"], number) &&
               d.contains("looks") && list_of(d["looks"], [&](const json& s) { return s.size() == 4 && list_of(s, number); });
      });
    });
  }
  holds("records", [&](const json& j) {
    return list_of(j, [&](const json& r) {
      if (!r.is_object()) return false;
      for (const char* split : {"train", "test"})
        if (!r.contains(split) || !(r[split].is_null() || (r[split].size() == 2 && list_of(r[split], number)))) return false;
      return r.contains("layer") && r["layer"].is_string() && r.contains("epoch") && natural(r["epoch"]) && r.contains("loss");
    });
  });
}

}  // namespace

nlohmann::json checkpoint_meta(const NpzArchive& checkpoint, const std::string& place) {
  const auto found = checkpoint.find("meta");
  if (found == checkpoint.end()) throw DataError(place, "must be a checkpoint of ffzero", "no array \"meta\"", "give the folder of a run");
  const auto bytes = found->second.to<std::uint8_t>();
  const json meta = parse_meta(bytes);
  if (!meta.is_object() || !meta.contains("format"))
    throw DataError(place, "the array \"meta\" must hold JSON", "something else", "the file is damaged");
  if (meta["format"] != kFormat)
    throw DataError(place, fmt::format("must be a checkpoint of format {}", kFormat), text_of(meta["format"]),
                    "use the version that wrote it");
  require_complete(meta, place);
  require_consistent(meta, place);
  return meta;
}

template <class S>
NpzArchive Trainer<S>::checkpoint() const {
  NpzArchive archive;
  network_.save(archive);
  save_encoder(encoder_, archive);
  if (rule_) {
    const std::span<const S> moments = std::as_const(*rule_).state();
    archive["optimizer.moments"] = NpyArray::of<S>(moments, {isize(moments.size())});
    if (const std::span<const S> memory = blocks_[block_].gradient->memory(); !memory.empty())
      archive["gradient.memory"] = NpyArray::of<S>(memory, {isize(memory.size())});
  }
  if (readout_rule_) {
    const std::span<const S> moments = std::as_const(*readout_rule_).state();
    archive["readout.moments"] = NpyArray::of<S>(moments, {isize(moments.size())});
  }
  if (reads_.size() > 0 && !reads_will_be_replaced())
    archive["readout.reads"] = NpyArray::of<S>({reads_.data(), usize(reads_.size())}, {reads_.rows(), reads_.cols()});
  // An array, because JSON has no infinity: the best loss before the first epoch is over.
  const Schedule::State schedule = schedule_.state();
  archive["optimizer.schedule"] = NpyArray::of<double>(schedule, {isize(schedule.size())});
  json ledger = json::array(), records = json::array(), measured = json::array();
  for (const MeasuredControl& m : measured_) measured.push_back({m.eps, m.lr, m.forward_evals});
  for (Index i = 0; i < ledger_.layers(); ++i) ledger.push_back(to_json(ledger_.layer(i)));
  for (const auto& r : records_) records.push_back(epoch_to_meta(r));
  const Shape raw = splits_.train.shape();
  const bool finished = block_ >= blocks_.size() || stopped_by_ == "budget";
  json meta = {{"format", kFormat},
               {"config", plan_.description},
               {"block", block_},
               {"epoch", epoch_},
               {"step", step_},
               {"loss_sum", loss_sum_},
               {"ledger", ledger},
               {"records", records},
               {"measured", measured},
               {"elapsed_s", elapsed()},
               {"evaluation_s", evaluation_s_},
               {"finished", finished},
               {"task", to_string(splits_.train.task())},
               {"train_size", splits_.train.size()},
               {"classes", network_.classes()},
               {"class_names", splits_.train.info().class_names},
               {"target_scale", {splits_.train.target_scale().offset, splits_.train.target_scale().scale}},
               {"sample_type", splits_.train.is_bytes() ? "bytes" : "floats"},
               {"sample_shape", {raw.channels, raw.height, raw.width}}};
  const DatasetInfo& info = splits_.train.info();
  for (const auto& [name, texts] : {std::pair("class_texts", &info.class_texts), std::pair("feature_names", &info.feature_names),
                                    std::pair("output_names", &info.output_names)})
    if (!texts->empty()) meta[name] = *texts;
  if (info.outputs > 1) {
    json scales = json::array();
    for (const TargetScale& scale : info.target_scales) scales.push_back({scale.offset, scale.scale});
    meta["target_scales"] = scales;
  }
  // Settings name any other rule themselves.
  if (plan_.vote && plan_.vote->validated && finished) meta["vote_rule"] = to_string(vote_rule_);
  if (plan_.chooses_layer() && finished) meta["deciding_layer"] = outputs_.deciding;
  for (const InstrumentRecord& record : instrument_records()) meta["devices"].push_back(instrument_to_meta(record));
  if (!plan_.described_by_config) meta["network"] = "own";
  const std::string text = meta.dump();
  archive["meta"] = NpyArray::of<std::uint8_t>({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, {isize(text.size())});
  return archive;
}

template <class S>
void Trainer<S>::restore(const NpzArchive& checkpoint, const std::string& place) {
  const json meta = checkpoint_meta(checkpoint, place);
  const std::string written = meta.at("config").get<std::string>();
  if ((plan_.rewrite ? plan_.rewrite(written) : written) != plan_.description)
    throw DataError(place, "must belong to this configuration", "another configuration",
                    "resume without changing settings, or start a new run");
  if (meta.at("train_size") != splits_.train.size())
    throw DataError(place, fmt::format("was trained on {} samples", meta.at("train_size").dump()),
                    fmt::format("a train set of {}", splits_.train.size()), "give the data set back that the run began with");
  encoder_ = restored_encoder(plan_.encoder, plan_.scale, splits_.train.shape(), checkpoint, place);
  network_.load(checkpoint, place);
  try {
    block_ = meta.at("block");
    epoch_ = meta.at("epoch");
    step_ = meta.at("step");
    loss_sum_ = meta.at("loss_sum");
    if (isize(meta.at("ledger").size()) != ledger_.layers())
      throw DataError(place, fmt::format("must count {} layers", ledger_.layers()), std::to_string(meta.at("ledger").size()));
    for (Index i = 0; i < ledger_.layers(); ++i) ledger_.layer(i) = evaluations_from(meta.at("ledger").at(usize(i)));
    for (const auto& r : meta.at("records")) records_.push_back(epoch_from_meta(r));
    if (block_ > blocks_.size())
      throw DataError(place, fmt::format("must stand in one of {} blocks", blocks_.size()), std::to_string(block_), "the file is damaged");
    if (block_ < blocks_.size() && (epoch_ > blocks_[block_].options.epochs || step_ > blocks_[block_].steps))
      throw DataError(place, "must stand within its training", fmt::format("epoch {}, step {}", epoch_, step_), "the file is damaged");
    trained_ = meta.at("finished");
    for (std::size_t b = 0; b < std::min(measured_.size(), meta.at("measured").size()); ++b) {
      const json& m = meta.at("measured")[b];
      measured_[b] = {.eps = m.at(0), .lr = m.at(1), .forward_evals = m.at(2)};
    }
    for (const json& device : meta.value("devices", json::array()))
      for (InstrumentRecord& record : instruments_) {
        if (device.at("layer") != record.layer) continue;
        if (device.at("shape") != json{record.inputs, record.outputs, record.parameters})
          throw DataError(place, fmt::format("{} must have the inputs, outputs and parameters {}", record.name, device.at("shape").dump()),
                          fmt::format("[{},{},{}]", record.inputs, record.outputs, record.parameters),
                          "connect the device that the run began with");
        take_instrument(device, record);
        if (!record.reference.empty() && isize(record.reference.size()) != record.outputs) record.reference.clear();
      }
    earlier_s_ = meta.at("elapsed_s");
    evaluation_s_ = meta.at("evaluation_s");
  } catch (const json::exception& e) {
    throw DataError(place, "the array \"meta\" must be complete", e.what(), "the file is damaged");
  }
  const auto schedule = checkpoint.find("optimizer.schedule");
  const auto state = schedule == checkpoint.end() ? std::vector<double>() : schedule->second.to<double>();
  if (state.size() != restored_schedule_.size())
    throw DataError(place, fmt::format("must hold the array optimizer.schedule with {} numbers", restored_schedule_.size()),
                    std::to_string(state.size()), "the file is damaged");
  std::copy(state.begin(), state.end(), restored_schedule_.begin());
  if (const auto moments = checkpoint.find("optimizer.moments"); moments != checkpoint.end()) {
    const auto values = moments->second.to<S>();
    restored_moments_ = as_vector(std::span<const S>(values));
  }
  if (const auto memory = checkpoint.find("gradient.memory"); memory != checkpoint.end()) {
    const auto values = memory->second.to<S>();
    restored_memory_ = as_vector(std::span<const S>(values));
  }
  if (const auto moments = checkpoint.find("readout.moments"); moments != checkpoint.end()) {
    const auto values = moments->second.to<S>();
    restored_readout_moments_ = as_vector(std::span<const S>(values));
  }
  if (const auto reads = checkpoint.find("readout.reads"); reads != checkpoint.end()) {
    const auto& shape = reads->second.shape;
    const Index inputs = block_ < blocks_.size() ? blocks_[block_].block.head->input_size() : 0;
    if (shape != std::vector<Index>{splits_.train.size(), inputs})
      throw DataError(place, fmt::format("readout.reads must be {} x {}", splits_.train.size(), inputs),
                      fmt::format("{}", fmt::join(shape, " x ")), "the file is damaged");
    const auto values = reads->second.to<S>();
    reads_ = Eigen::Map<const Matrix<S>>(values.data(), shape[0], shape[1]);
  }
  restored_ = true;
}

template NpzArchive Trainer<float>::checkpoint() const;
template NpzArchive Trainer<double>::checkpoint() const;
template void Trainer<float>::restore(const NpzArchive&, const std::string&);
template void Trainer<double>::restore(const NpzArchive&, const std::string&);

}  // namespace ffzero
