// A device that can be evaluated and nothing else, with noise of its own, trained in place. Then its derivative is asked for, and refused.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <cmath>
#include <cstdio>
#include <exception>
#include <ffzero/ffzero.hpp>
#include <memory>
#include <vector>

namespace {

using ffzero::ConstMatrixRef, ffzero::Index, ffzero::MatrixRef, ffzero::Shape;

/// A bench with a saturating response to a weighted sum of its inputs and a noisy detector at each output. Whoever trains it does not need
/// to know any of this: shapes, a number of knobs and `forward` are all that it says. A real one would talk to an instrument here.
class Bench final : public ffzero::ForwardMap<float> {
 public:
  Bench(Index inputs, Index outputs, float noise) : inputs_(inputs), outputs_(outputs), noise_(noise) {}

  [[nodiscard]] Shape input_shape() const override { return {.width = inputs_}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = outputs_}; }
  [[nodiscard]] Index parameter_count() const override { return inputs_ * outputs_; }
  void forward(std::span<const float> knobs, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    const Eigen::Map<const ffzero::Matrix<float>> gain(knobs.data(), inputs_, outputs_);
    y = (x * gain).array().tanh();
    ffzero::Matrix<float> noise(y.rows(), y.cols());
    const ffzero::RandomStream detector(7, ffzero::Stream::device, 0, readings_++);  // every reading has noise of its own
    detector.fill_normal(std::span<float>(noise.data(), static_cast<std::size_t>(noise.size())));
    y += noise_ * noise;
  }
  [[nodiscard]] std::string kind() const override { return "bench"; }

 private:
  Index inputs_, outputs_;
  float noise_;
  mutable std::atomic<std::uint64_t> readings_{0};
};

ffzero::Layer<float> bench_layer(Index inputs, Index outputs, Index classes, std::uint32_t number) {
  const ffzero::RandomStream rotation(1, ffzero::Stream::prototype, number);
  ffzero::Layer<float> layer;
  layer.name = "bench" + std::to_string(number);
  layer.map = std::make_shared<Bench>(inputs, outputs, 1e-3F);
  layer.head = std::make_shared<ffzero::PrototypeHead<float>>(std::vector{ffzero::simplex_prototypes(classes, outputs, rotation)});
  return layer;
}

ffzero::Network<float> two_benches(const ffzero::Config& config, const std::shared_ptr<const ffzero::Executor>& executor) {
  return ffzero::Network<float>::assemble(config, {.width = 49}, {bench_layer(49, 32, 10, 0), bench_layer(32, 32, 10, 1)}, executor);
}

/// What the benches are trained with, and the user's choices on top.
ffzero::Config settings(std::vector<std::pair<std::string, std::string>> choices) {
  ffzero::Config config = ffzero::Config::parse(R"(
preset = "paper"
[dataset]
downsample = 7
[training]
epochs = 30
batch_size = 16
log_samples = 0
log_test = false
)",
                                                "settings", {.file = {}, .overrides = std::move(choices)});
  config.resolve({.regression = false, .classes = 10, .train_size = 2000});
  return config;
}

int train_and_ask() {
  const auto executor = std::make_shared<const ffzero::Executor>(2);
  const ffzero::Config config = settings({{"gradient.estimator", "directional"}, {"gradient.eps", "0.1"}});  // well above the noise
  const ffzero::Splits splits = ffzero::make_glyphs(1, 2000, 500);
  ffzero::Trainer<float> trainer(config, two_benches(config, executor), splits, executor);
  const ffzero::RunRecord record = trainer.run();
  for (const auto& layer : record.layers)
    std::printf("%s: test accuracy %.3f, knows: %s\n", layer.name.c_str(), layer.test.value, layer.information.c_str());
  std::printf("%lld readings in training\n", static_cast<long long>(record.ledger.total().training));

  // No data set is near when the derivative is asked for: the layers alone are enough to say no.
  try {
    const ffzero::Network<float> refused = two_benches(settings({{"gradient.estimator", "adjoint"}}), executor);
    std::printf("a derivative of a black box?\n");
    return 1;
  } catch (const ffzero::ConfigError& refusal) {
    std::printf("asked for its adjoint: %s\n", refusal.what());
  }
  return record.final_test.value > 0.2 ? 0 : 1;  // twice what guessing gives
}

}  // namespace

int main() {
  try {
    return train_and_ask();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
