// One problem, four files that differ in the two marked lines: hello_local_directional (ffzero's own), hello_local_adjoint (local learning
// with exact gradients), hello_end_to_end_directional (random search on the whole network), hello_end_to_end_adjoint (backpropagation).
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <exception>
#include <ffzero/ffzero.hpp>
#include <memory>
#include <vector>

namespace {

// First line that differs: a loss for every layer, or one for the whole network.
constexpr auto kScope = ffzero::Scope::end_to_end;
// Second line that differs: differences of forward evaluations, or exact derivatives.
using Estimator = ffzero::AdjointOptions;

// Two layers of 64 units on 7 x 7 pixels. Heads are added by the network: a target direction for each of the ten digits.
ffzero::Network<float> two_layers(const std::shared_ptr<const ffzero::Executor>& executor) {
  std::vector<ffzero::Layer<float>> layers(2);
  layers[0].map = std::make_shared<ffzero::Dense<float>>(ffzero::Shape{.width = 49}, 64);
  layers[1].map = std::make_shared<ffzero::Dense<float>>(ffzero::Shape{.width = 64}, 64);
  return {{.input = {.width = 49}, .classes = 10, .layers = layers, .end_to_end = kScope == ffzero::Scope::end_to_end, .seed = 1},
          executor};
}

int train() {
  // 2,000 images of handwritten-like digits, drawn from a seed: no file, no network.
  const ffzero::Splits splits = ffzero::make_glyphs(1, 2000, 500);

  ffzero::TrainOptions options{.scope = kScope, .seed = 1, .encoder = {.downsample = 7}, .log = {.train_samples = 0, .test = false}};
  // Similarities with the targets lie in [-1, 1] and need a small temperature; raw outputs of a whole network do not.
  options.block.loss = ffzero::CrossEntropyOptions{.temperature = kScope == ffzero::Scope::end_to_end ? 1.0 : 0.05};
  options.block.estimator = Estimator{};
  options.block.update = {.rule = ffzero::AdamOptions{}, .lr = 5e-3};
  options.block.epochs = 30;
  options.block.batch_size = 16;

  ffzero::TrainEvents events;
  events.epoch_done = [](const ffzero::EpochRecord& epoch) {
    if (epoch.epoch % 5 == 0) std::printf("%-8s epoch %2td  loss %.3f\n", epoch.layer.c_str(), epoch.epoch, epoch.training_loss);
  };
  const auto executor = std::make_shared<const ffzero::Executor>(2);
  ffzero::Network<float> network = two_layers(executor);
  const ffzero::RunRecord record = ffzero::train(options, network, splits, events, executor).record;

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
