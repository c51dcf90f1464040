// NumPy archives: tensor/npz.hpp, and what a user's archive becomes in dataset/npz_dataset.hpp. An accepted archive survives a round trip.
// SPDX-License-Identifier: MIT
#include "ffzero/tensor/npz.hpp"

#include <string>

#include "ffzero/dataset/npz_dataset.hpp"
#include "fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ffzero::fuzz::refuse_or_accept([&] {
    ffzero::NpzArchive archive = ffzero::parse_npz(std::as_bytes(std::span(data, size)));
    const std::string written = ffzero::npz_bytes(archive);
    const ffzero::NpzArchive again = ffzero::parse_npz(std::as_bytes(std::span(written)));
    ffzero::fuzz::require(again.size() == archive.size());
    for (const auto& [name, array] : archive) {
      ffzero::fuzz::require(again.contains(name) && again.at(name).bytes == array.bytes && again.at(name).shape == array.shape);
    }
    const ffzero::Splits splits = ffzero::npz_dataset(std::move(archive), {}, "input");
    ffzero::fuzz::require(!splits.train.empty() && splits.train.shape() == splits.test.shape());
  });
  return 0;
}
