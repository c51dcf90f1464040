// IDX files, plain and gzipped: the parsers of dataset/idx_file.hpp.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/idx_file.hpp"

#include "fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  ffzero::fuzz::refuse_or_accept([&] {
    const ffzero::IdxImages images = ffzero::parse_idx_images(bytes, "input");
    ffzero::fuzz::require(images.count > 0 && ffzero::isize(images.pixels.size()) == images.count * images.height * images.width);
  });
  ffzero::fuzz::refuse_or_accept([&] { ffzero::fuzz::require(!ffzero::parse_idx_labels(bytes, "input").empty()); });
  return 0;
}
