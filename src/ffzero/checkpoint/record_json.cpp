// Records as JSON.
// SPDX-License-Identifier: MIT
#include "ffzero/checkpoint/record_json.hpp"

#include <algorithm>

namespace ffzero {

namespace {

using ordered = nlohmann::ordered_json;

ordered measure(const Measure& m, const std::string& metric) { return {{"metric", metric}, {"value", m.value}, {"loss", m.loss}}; }

}  // namespace

nlohmann::ordered_json devices_json(const std::vector<InstrumentRecord>& records) {
  ordered list = ordered::array();
  for (const InstrumentRecord& d : records) {
    const DeviceReceipt& r = d.receipt;
    ordered looks = ordered::array();
    for (const Steadiness& look : d.looks)
      looks.push_back({{"layer", look.layer}, {"epoch", look.epoch}, {"noise", look.noise}, {"drift", look.drift}});
    double drift = 0.0;
    for (const Steadiness& look : d.looks) drift = std::max(drift, look.drift);
    ordered device = {
        {"name", d.name},
        {"address", d.address},
        {"identity", d.identity},
        {"inputs", d.inputs},
        {"outputs", d.outputs},
        {"parameters", d.parameters},
        {"readings", r.rows},
        {"evaluations", r.evaluations},
        {"writes", r.sets},
        {"values", r.values},
        {"failures", r.failed},
        {"dropped", r.dropped},
        {"retries", r.retries},
        {"restarts", r.restarts},
        {"projected", r.projected},
        {"seconds", r.seconds},
        {"noise", {{"declared", d.declared_noise}, {"measured", d.looks.empty() ? ordered(nullptr) : ordered(d.looks.back().noise)}}},
        {"drift", d.looks.empty() ? ordered(nullptr) : ordered(drift)},
        {"looks", looks}};
    if (d.number != InstrumentRecord::kAlone) {
      device["number"] = d.number;
      device["unasked"] = d.unasked;
      device["without_since"] = d.without_since ? ordered(*d.without_since) : ordered(nullptr);
    }
    list.push_back(std::move(device));
  }
  return list;
}

nlohmann::ordered_json to_json(const EpochRecord& r, const std::string& metric) {
  ordered j = {{"layer", r.layer},        {"layer_index", r.layer_index},     {"epoch", r.epoch},
               {"loss", r.training_loss}, {"forward_evals", r.forward_evals}, {"wall_s", r.wall_s},
               {"metric", metric}};
  const auto put = [&](const char* name, const std::optional<Measure>& m) {
    j[name] = m ? ordered(m->value) : ordered(nullptr);
    j[std::string(name) + "_loss"] = m ? ordered(m->loss) : ordered(nullptr);
  };
  put("train", r.train);
  put("test", r.test);
  if (r.validation) put("validation", r.validation);
  return j;
}

nlohmann::ordered_json to_json(const RunRecord& r) {
  ordered layers = ordered::array();
  for (const LayerRecord& layer : r.layers) {
    ordered entry = {{"name", layer.name},
                     {"parameters", layer.parameters},
                     {"information", to_string(layer.information)},
                     {"train", measure(layer.train, r.metric)},
                     {"test", measure(layer.test, r.metric)}};
    const MeasuredControl& m = layer.measured;
    if (m.forward_evals > 0)
      entry["measured"] = {{"eps", m.eps > 0.0 ? ordered(m.eps) : ordered(nullptr)},
                           {"lr", m.lr > 0.0 ? ordered(m.lr) : ordered(nullptr)},
                           {"forward_evals", m.forward_evals}};
    if (m.fallback > 0.0) entry["fallback"] = {{"held_out_error", m.fallback}, {"to", "outputs alone"}};
    if (layer.validation) entry["validation"] = measure(*layer.validation, r.metric);
    layers.push_back(std::move(entry));
  }
  ordered vote = nullptr;
  if (r.vote) {
    vote = {{"rule", r.vote->rule}, {"train", r.vote->train}, {"test", r.vote->test}};
    if (r.vote->validation) vote["validation"] = *r.vote->validation;
  }
  ordered final_result = {{"metric", r.metric}, {"train", r.final_train.value}, {"test", r.final_test.value}};
  if (r.final_validation) final_result["validation"] = r.final_validation->value;
  if (!r.deciding_layer.empty()) final_result["layer"] = r.deciding_layer;
  const Evaluations total = r.ledger.total();
  ordered per_layer = ordered::array();
  for (Index i = 0; i < r.ledger.layers(); ++i) {
    const Evaluations& e = r.ledger.layer(i);
    per_layer.push_back({{"training", e.training},
                         {"propagation", e.propagation},
                         {"logging", e.logging},
                         {"replayed", e.replayed},
                         {"pullbacks", e.pullbacks},
                         {"checks", e.checks},
                         {"failed", e.failed}});
  }
  ordered summary = {{"schema", 1},
                     {"solver", r.solver},
                     {"information", to_string(r.information)},
                     {"front_ends", r.front_ends},
                     {"dataset", r.dataset},
                     {"seed", r.seed},
                     {"epochs", r.epochs},
                     {"layers", layers},
                     {"vote", vote},
                     {"baseline", nullptr},
                     {"control", nullptr},
                     {"stopped_by", r.stopped_by},
                     {"preset", r.preset},
                     {"estimator", r.estimator},
                     {"final", final_result},
                     {"forward_evals",
                      {{"training", total.training},
                       {"propagation", total.propagation},
                       {"logging", total.logging},
                       {"replayed", total.replayed},
                       {"pullbacks", total.pullbacks},
                       {"checks", total.checks},
                       {"failed", total.failed},
                       {"per_layer", per_layer}}},
                     {"wall_s", {{"load", r.load_s}, {"training", r.training_s}, {"evaluation", r.evaluation_s}, {"total", r.total_s}}}};
  if (!r.unreached.empty()) summary["unreached"] = r.unreached;
  if (!r.devices.empty()) {
    summary["devices"] = devices_json(r.devices);
    summary["skipped"] = {{"steps", r.skipped.steps}, {"directions", r.skipped.directions}};
  }
  return summary;
}

}  // namespace ffzero
