// What a device says: device/wire.hpp and device/description.hpp. The first byte chooses checksums. Any way to cut the bytes gives the
// same. SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <string_view>

#include "ffzero/device/description.hpp"
#include "ffzero/device/wire.hpp"
#include "fuzz_target.hpp"

namespace {

std::string decoded(std::string_view bytes, bool checksums, std::size_t piece, ffzero::DeviceDescription* said) {
  std::string all;
  ffzero::AnswerDecoder decoder([&](std::string_view line) { all.append("?").append(line).append("\n"); });
  decoder.expect_checksums(checksums);
  decoder.set_largest_payload(64);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    decoder.feed(bytes.substr(0, piece));
    ffzero::WireAnswer answer;
    while (decoder.next(answer)) {
      all += std::to_string(static_cast<int>(answer.kind)) + " " + std::to_string(answer.number);
      all.append(answer.rest).append(answer.payload).append("\n");
      if (said != nullptr && answer.kind == ffzero::WireAnswer::Kind::line) said->absorb(answer.word, answer.rest, "device");
    }
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool checksums = (data[0] & 1U) != 0;
  const std::string whole = decoded(bytes, checksums, bytes.size() + 1, nullptr);
  ffzero::fuzz::require(whole == decoded(bytes, checksums, 1, nullptr));
  ffzero::fuzz::refuse_or_accept([&] {
    ffzero::DeviceDescription said;
    static_cast<void>(decoded(bytes, checksums, 7, &said));
    said.finish("device");
  });
  return 0;
}
