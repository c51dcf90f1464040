// A service: one thread trains, others answer questions with the newest network that was saved. A Predictor is immutable and may be asked
// by any number of threads at once; a new one takes its place after each epoch. SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdio>
#include <exception>
#include <ffzero/ffzero.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// Two layers of 64 units on 7 x 7 pixels. Made anew for each predictor, so that it shares nothing with the network in training.
ffzero::Network<float> two_layers(const std::shared_ptr<const ffzero::Executor>& executor) {
  std::vector<ffzero::Layer<float>> layers(2);
  layers[0].map = std::make_shared<ffzero::Dense<float>>(ffzero::Shape{.width = 49}, 64);
  layers[1].map = std::make_shared<ffzero::Dense<float>>(ffzero::Shape{.width = 64}, 64);
  return {{.input = {.width = 49}, .classes = 10, .layers = layers, .seed = 1}, executor};
}

// The predictor of the moment. Whoever holds one keeps it until the answer is there.
class Service {
 public:
  void publish(std::shared_ptr<const ffzero::Predictor> newest) {
    const std::lock_guard lock(mutex_);
    newest_ = std::move(newest);
  }
  [[nodiscard]] std::shared_ptr<const ffzero::Predictor> predictor() const {
    const std::lock_guard lock(mutex_);
    return newest_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ffzero::Predictor> newest_;
};

double accuracy_now(const Service& service, const ffzero::Dataset& test) {
  const auto predictor = service.predictor();
  if (predictor == nullptr) return 0.0;
  return ffzero::accuracy(predictor->predict(test, "test").decision, test.labels());
}

int serve() {
  const ffzero::Splits splits = ffzero::make_glyphs(1, 2000, 200);
  ffzero::TrainOptions options{.seed = 1, .encoder = {.downsample = 7}, .log = {.train_samples = 0, .test = false}};
  options.block.loss = ffzero::CrossEntropyOptions{.temperature = 0.05};
  options.block.update = {.rule = ffzero::AdamOptions{}, .lr = 5e-3};
  options.block.epochs = 20;
  options.block.batch_size = 16;

  const auto executor = std::make_shared<const ffzero::Executor>(2);
  Service service;
  ffzero::TrainEvents events;
  events.save = [&](const ffzero::TrainerState& state) {
    service.publish(std::make_shared<const ffzero::Predictor>(two_layers(executor), state, "the newest state", executor));
  };

  std::atomic<bool> training{true};
  std::atomic<long> answers{0};
  std::vector<std::thread> askers;
  for (int i = 0; i < 3; ++i)
    askers.emplace_back([&] {
      while (training) {
        accuracy_now(service, splits.test);
        answers += splits.test.size();
      }
    });
  ffzero::Network<float> network = two_layers(executor);
  const ffzero::RunRecord record = ffzero::train(options, network, splits, events, executor).record;
  training = false;
  for (std::thread& asker : askers) asker.join();
  std::printf("%ld answers while training; accuracy of the newest network %.3f\n", answers.load(), accuracy_now(service, splits.test));
  return accuracy_now(service, splits.test) == record.final_test.value ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return serve();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
