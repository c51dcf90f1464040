// Pictures of a user: PGM, PPM and PNG through dataset/image_file.hpp.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/image_file.hpp"

#include "fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ffzero::fuzz::refuse_or_accept([&] {
    const ffzero::GreyImage image = ffzero::parse_image(std::span(data, size), "input");
    ffzero::fuzz::require(image.height > 0 && image.width > 0 && ffzero::isize(image.pixels.size()) == image.height * image.width);
  });
  return 0;
}
