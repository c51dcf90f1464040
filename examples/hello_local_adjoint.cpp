// One problem, four files that differ in the two marked lines: hello_local_directional (ffzero's own), hello_local_adjoint (local learning
// with exact gradients), hello_end_to_end_directional (random search on the whole network), hello_end_to_end_adjoint (backpropagation).
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <exception>
#include <ffzero/ffzero.hpp>
#include <memory>

namespace {

constexpr const char* kSettings = R"(
seed = 1
preset = "paper"
[dataset]
downsample = 7
[model]
layers = [64, 64]
[objective]
scope = "local"  # first line that differs: a loss for every layer, or one for the whole network
[gradient]
estimator = "adjoint"  # second line that differs: differences of forward evaluations, or exact derivatives
[training]
epochs = 30
batch_size = 16
log_samples = 0
log_test = false
)";

int train() {
  // 2,000 images of handwritten-like digits, drawn from a seed: no file, no network.
  const ffzero::Splits splits = ffzero::make_glyphs(1, 2000, 500);

  ffzero::Config config = ffzero::Config::parse(kSettings, "settings");
  config.resolve(ffzero::data_facts(splits));

  ffzero::TrainEvents events;
  events.epoch_done = [](const ffzero::EpochRecord& epoch) {
    if (epoch.epoch % 5 == 0) std::printf("%-8s epoch %2td  loss %.3f\n", epoch.layer.c_str(), epoch.epoch, epoch.training_loss);
  };
  const auto executor = std::make_shared<const ffzero::Executor>(2);
  ffzero::Trainer<float> trainer(config, splits, executor, events);
  const ffzero::RunRecord record = trainer.run();

  std::printf("\n%s on %s:\n", record.solver.c_str(), record.dataset.c_str());
  for (const auto& layer : record.layers) std::printf("  %-8s test accuracy %.3f\n", layer.name.c_str(), layer.test.value);
  const ffzero::Evaluations spent = record.ledger.total();
  std::printf("  %lld thousand forward evaluations in training, %lld thousand exact derivatives\n",
              static_cast<long long>(spent.training / 1000), static_cast<long long>(spent.pullbacks / 1000));
  return record.final_test.value > 0.2 ? 0 : 1;  // twice what guessing gives
}

}  // namespace

int main() {
  try {
    return train();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
