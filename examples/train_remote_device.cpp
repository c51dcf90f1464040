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
  const ffzero::Splits splits = ffzero::make_glyphs(1, 1000, 300);
  ffzero::Layer<float> layer;
  layer.name = "device";
  layer.map = device;
  const ffzero::RandomStream rotation(1, ffzero::Stream::prototype, 0);
  layer.head =
      std::make_shared<ffzero::PrototypeHead<float>>(std::vector{ffzero::simplex_prototypes(10, device->output_shape().size(), rotation)});

  ffzero::Config config = ffzero::Config::parse(R"(
preset = "opaque"              # outputs only
dataset.downsample = 7
gradient.directions = 4
gradient.eps = 0.1             # well above the noise
training.batch_size = 16
training.epochs = 10
training.log_samples = 0
training.log_test = false
)",
                                                "settings");
  config.resolve(ffzero::data_facts(splits));
  const auto executor = std::make_shared<const ffzero::Executor>(1);
  auto network = ffzero::Network<float>::assemble(config, {.width = 49}, {layer}, executor);
  ffzero::Trainer<float> trainer(config, std::move(network), splits, executor);
  const ffzero::RunRecord record = trainer.run();
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
