// Training a device by the slopes of a model that its owner gave.
// SPDX-License-Identifier: MIT
#include "ffzero/train/model_twin.hpp"

#include <algorithm>

#include "ffzero/base/error.hpp"
#include "ffzero/objective/twin_block_loss.hpp"
#include "ffzero/train/twin_stages.hpp"

namespace ffzero {

namespace {

class ModelTwinStep final : public StepGradient<float> {
 public:
  ModelTwinStep(const TwinOptions& options, const TwinModel<float>& twin, const Block<float>& block, const Executor& executor,
                Ledger& ledger)
      : stages_(options), twin_(twin), loss_(block, executor, ledger) {}

  void begin_step(Index number, Index steps, Index epochs) override { stages_.begin_step(number, steps, epochs); }
  [[nodiscard]] std::optional<TrainingStage> stage() const override { return stages_.stage(); }

  double estimate(const Batch<float>& batch, std::span<const float> theta, const RandomStream& /*random*/,
                  std::span<float> gradient) override {
    loss_.set_batch(batch);
    const ConstMatrixRef<float>& x = loss_.inputs();
    if (stages_.on_device()) {
      loss_.read(theta, readings_);
      twin_.learn(theta, x, readings_);
    } else {
      twin_.model(theta, x, readings_);
      loss_.keep_modelled(readings_);
    }
    const double loss = loss_.slope(readings_);
    loss_.bill_pullback();
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    twin_.pull(theta, x, readings_, gradient);
    return loss;
  }

  [[nodiscard]] std::int64_t cost_per_sample() const override { return 1; }
  [[nodiscard]] Information information() const override { return Information::twin; }
  [[nodiscard]] BlockLoss<float>& loss() override { return loss_; }

 private:
  TwinStages stages_;
  const TwinModel<float>& twin_;
  TwinBlockLoss<float> loss_;
  Matrix<float> readings_;  // then dL/dreadings
};

}  // namespace

std::unique_ptr<StepGradient<float>> make_model_twin_step(const TwinOptions& options, const TwinModel<float>& twin,
                                                          const Block<float>& block, const Executor& executor, Ledger& ledger) {
  const Layer<float>& layer = *block.layers[0];
  if (block.layers.size() != 1 || block.end_to_end || !layer.tail().empty())
    throw ConfigError(layer.name + ": gradient.estimator", "a twin is that of one device whose own outputs the local loss reads",
                      "another block", "use objective.scope = \"local\" and model.local_loss_at = \"pre\"");
  if (!options.along && !twin.says())
    throw ConfigError(layer.name + ": gradient.twin.order", "training on the twin needs what it says of a batch",
                      "a twin with slopes alone", "use gradient.twin.order = \"along\", or give the twin its forward function");
  return std::make_unique<ModelTwinStep>(options, twin, block, executor, ledger);
}

}  // namespace ffzero
