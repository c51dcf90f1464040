// Settings: TOML through settings/config.hpp. An accepted file, resolved and printed, reads back as the same file.
// SPDX-License-Identifier: MIT
#include "ffzero/settings/config.hpp"

#include <string>

#include "fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ffzero::DataFacts facts{.regression = false, .classes = 10, .train_size = 1000};
  std::string printed;
  ffzero::fuzz::refuse_or_accept([&] {
    ffzero::Config config = ffzero::Config::parse(std::string(data, data + size), "input");
    config.resolve(facts);
    printed = config.to_toml();
  });
  if (!printed.empty()) {
    ffzero::Config again = ffzero::Config::parse(printed, "resolved");
    again.resolve(facts);
    ffzero::fuzz::require(again.to_toml() == printed);
  }
  return 0;
}
