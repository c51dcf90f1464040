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

ffzero::Network<float> two_benches(const std::shared_ptr<const ffzero::Executor>& executor) {
  std::vector<ffzero::Layer<float>> layers(2);
  layers[0].map = std::make_shared<Bench>(49, 32, 1e-3F);
  layers[1].map = std::make_shared<Bench>(32, 32, 1e-3F);
  return {{.input = {.width = 49}, .classes = 10, .layers = layers, .seed = 1}, executor};
}

int train_and_ask() {
  ffzero::TrainOptions options{.seed = 1, .encoder = {.downsample = 7}, .log = {.train_samples = 0, .test = false}};
  options.block.estimator = ffzero::DirectionalOptions{.eps = 0.1};  // well above the noise
  options.block.update = {.rule = ffzero::AdamOptions{}, .lr = 1e-2};
  options.block.epochs = 30;
  options.block.batch_size = 16;

  const auto executor = std::make_shared<const ffzero::Executor>(2);
  ffzero::Network<float> network = two_benches(executor);
  const ffzero::RunRecord record = ffzero::train(options, network, ffzero::make_glyphs(1, 2000, 500), {}, executor).record;
  for (const auto& layer : record.layers)
    std::printf("%s: test accuracy %.3f, knows: %s\n", layer.name.c_str(), layer.test.value, to_string(layer.information).c_str());
  std::printf("%lld readings in training\n", static_cast<long long>(record.ledger.total().training));

  // No data set is near when the derivative is asked for: the layers alone are enough to say no.
  options.block.estimator = ffzero::AdjointOptions{};
  try {
    ffzero::require_trainable(options, network);
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
