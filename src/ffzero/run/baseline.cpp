// Baselines.
// SPDX-License-Identifier: MIT
#include "ffzero/run/baseline.hpp"

#include <fmt/format.h>

#include <map>
#include <string>

#include "ffzero/base/error.hpp"
#include "ffzero/metric/metric.hpp"
#include "ffzero/train/readout.hpp"
#include "ffzero/vote/vote.hpp"

namespace ffzero {

namespace {

using json = nlohmann::ordered_json;

double linear_accuracy(const Matrix<float>& readout, const Matrix<float>& x, const Dataset& data) {
  Matrix<float> scores(x.rows(), readout.rows());
  readout_scores<float>(readout, x, scores);
  return accuracy(predict<float>(scores), data.labels());
}

// What a linear classifier makes of the same inputs; real and imaginary parts are its features.
json linear_baseline(const Config& config, const Splits& splits) {
  const Encoder encoder = fitted_encoder(encoder_options(config.values()), feature_scale(config.values()), splits.train);
  const Matrix<float> train = encode_samples(encoder, splits.train, 0, splits.train.size());
  const Matrix<float> readout = fit_readout<float>(train, splits.train.labels(), splits.train.classes(),
                                                   {.seed = config.values().seed(), .weights = splits.train.weights()});
  return {{"kind", "linear classifier on the same inputs"},
          {"metric", "accuracy"},
          {"train", linear_accuracy(readout, train, splits.train)},
          {"test", linear_accuracy(readout, encode_samples(encoder, splits.test, 0, splits.test.size()), splits.test)},
          {"forward_evals", 0}};
}

json untrained_baseline(const Config& config, const Splits& splits, std::shared_ptr<const Executor> executor, const TrainEvents& events,
                        Index untrained) {
  std::map<std::string, std::string> changed{{"baseline.untrained", "false"}};
  if (config.values().is("model.mesh.linear_head", "joint")) changed["model.mesh.linear_head"] = "trained";
  if (splits.train.task() == Task::classification) changed["vote.rule"] = "last";
  changed["vote.layer"] = "last";
  Config changed_config = Config::parse(config.to_toml(), "baseline", {.file = {}, .overrides = {changed.begin(), changed.end()}});
  changed_config.resolve(data_facts(splits));
  TrainEvents watched;
  watched.stop_requested = events.stop_requested;
  watched.step_done = events.step_done;
  Network<float> network =
      initial_network<float>(changed_config, Encoder(encoder_options(changed_config.values()), splits.train.shape()).output_shape(),
                             data_facts(splits).classes, executor);
  TrainPlan plan = changed_config.plan(network.layers());
  for (BlockPlan& block : plan.blocks)
    if (block.first < untrained) block.options.epochs = 0;
  Trainer<float> trainer(plan, std::move(network), splits, std::move(executor), watched);
  const RunRecord record = trainer.run();
  return {{"kind", "the same head on untrained layers"},
          {"metric", record.metric},
          {"train", record.final_train.value},
          {"test", record.final_test.value},
          {"forward_evals", record.ledger.total().training + (untrained == config.layer_count() ? record.ledger.total().propagation : 0)}};
}

}  // namespace

const json& baseline_of(const json& summary) { return summary.at(summary.contains("baseline") ? "baseline" : "control"); }

nlohmann::ordered_json run_baseline(const Config& config, const Splits& splits, std::shared_ptr<const Executor> executor,
                                    const TrainEvents& events) {
  const Values& v = config.values();
  if (v.is("model.kind", "photonic")) {
    json linear = linear_baseline(config, splits);
    if (v.is("objective.scope", "end_to_end") || v.is("model.mesh.linear_head", "none")) return linear;
    json untrained = untrained_baseline(config, splits, std::move(executor), events, config.layer_count());
    untrained["linear"] = std::move(linear);
    return untrained;
  }
  // Config::resolve has refused what has no baseline.
  const Index untrained = v.is("model.kind", "cnn") ? isize(v.at("model.conv.channels").size()) : config.layer_count() - 1;
  return untrained_baseline(config, splits, std::move(executor), events, untrained);
}

}  // namespace ffzero
