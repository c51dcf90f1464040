// Controls.
// SPDX-License-Identifier: MIT
#include "ffzero/report/control.hpp"

#include <fmt/format.h>

#include "ffzero/base/error.hpp"

namespace ffzero {

nlohmann::ordered_json run_control(const Config& config, const Splits& splits, std::shared_ptr<const Executor> executor,
                                   const RunEvents& events) {
  const Values& v = config.values();
  if (v.is("objective.scope", "end_to_end"))
    throw ConfigError("control.untrained", "a control of untrained layers needs local losses", "objective.scope = \"end_to_end\"", "drop --control");
  const Index untrained = v.is("model.kind", "cnn") ? isize(v.at("model.conv.channels").size()) : config.layer_count() - 1;
  if (untrained < 1) throw ConfigError("control.untrained", "needs a layer in front of the head", "a single layer", "drop --control");
  std::string toml = config.to_toml();
  for (Index i = 0; i < untrained; ++i) toml += fmt::format("\n[[layer]]\nindex = {}\ntraining.epochs = 0\n", i);
  Config control = Config::parse(toml, "control", {.file = {}, .overrides = {{"control.untrained", "false"}, {"vote.rule", "last"}}});
  control.resolve(data_facts(splits));
  TrainEvents train_events;
  train_events.stop_requested = events.stop_requested;
  train_events.step_done = events.step_done;
  Trainer<float> trainer(control, splits, std::move(executor), train_events);
  const RunRecord record = trainer.run();
  return {{"metric", record.metric},
          {"train", record.final_train.value},
          {"test", record.final_test.value},
          {"forward_evals", record.ledger.total().training}};
}

}  // namespace ffzero
