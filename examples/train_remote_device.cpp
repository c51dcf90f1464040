// A device on a wire, trained in place: the address is the only argument. Without one a simulated device is served by this very program.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <ffzero/ffzero.hpp>
#include <memory>
#include <string>
#include <vector>

namespace {

int serve_twin() {
  const ffzero::Dense<float> twin({.width = 49}, 32);
  ffzero::ServeOptions options;
  options.noise = 1e-3;
  ffzero::serve(twin, options, STDIN_FILENO, STDOUT_FILENO);
  return 0;
}

int train(const std::string& address) {
  const auto device = std::make_shared<ffzero::DeviceMap<float>>(address);
  std::vector<ffzero::Layer<float>> layers(1);
  layers[0].name = "device";
  layers[0].map = device;
  const auto executor = std::make_shared<const ffzero::Executor>(1);
  ffzero::Network<float> network({.input = {.width = 49}, .classes = 10, .layers = layers, .seed = 1}, executor);

  ffzero::TrainOptions options{.encoder = {.downsample = 7}, .log = {.train_samples = 0, .test = false}};
  options.block.estimator = ffzero::DirectionalOptions{.directions = 4, .eps = 0.1};  // outputs only; eps well above the noise
  options.block.loss = ffzero::CrossEntropyOptions{.temperature = 0.1};
  options.block.update = {.rule = ffzero::AdamOptions{}, .lr = 1e-2};
  options.block.batch_size = 16;
  options.block.epochs = 10;
  const ffzero::RunRecord record = ffzero::train(options, network, ffzero::make_glyphs(1, 1000, 300), {}, executor).record;
  const ffzero::DeviceReceipt receipt = device->receipt();
  std::printf("accuracy %.2f; %lld rows read, %lld writes of %lld values, %lld retries, %.1f s on the device\n", record.final_test.value,
              static_cast<long long>(receipt.rows), static_cast<long long>(receipt.sets), static_cast<long long>(receipt.values),
              static_cast<long long>(receipt.retries), receipt.seconds);
  return record.final_test.value > 0.2 ? 0 : 1;  // twice what guessing gives
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc > 1 && std::strcmp(argv[1], "--serve") == 0) return serve_twin();
    return train(argc > 1 ? argv[1] : "exec:'" + std::string(argv[0]) + "' --serve");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
