// What a user of the installed library writes: one include, one target. Trains a small network; returns 0 when it has learnt.
// SPDX-License-Identifier: MIT
#include <ffzero/ffzero.hpp>

int main() {
  const ffzero::Splits splits = ffzero::make_glyphs(0, 2000, 500);
  ffzero::Config config =
      ffzero::Config::parse("dataset.downsample = 7\nmodel.layers = [32]\ntraining.epochs = 5\ntraining.batch_size = 16", "settings");
  config.resolve(ffzero::data_facts(splits));
  auto trainer = ffzero::make_trainer<float>(config, splits, std::make_shared<const ffzero::Executor>(2));
  return trainer.run().final_test.value > 0.5 ? 0 : 1;
}
