// Tables: dataset/csv_file.hpp and what they become in dataset/csv_dataset.hpp. Names of an accepted table are different, and its samples
// are read again alike.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/csv_dataset.hpp"

#include <algorithm>
#include <string_view>

#include "fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ffzero::fuzz::refuse_or_accept([&] {
    ffzero::CsvReader reader(text, "input");
    auto names = reader.names();
    std::sort(names.begin(), names.end());
    ffzero::fuzz::require(!names.empty() && std::adjacent_find(names.begin(), names.end()) == names.end());
    const ffzero::Splits splits = ffzero::csv_dataset(reader, {}, {});
    ffzero::fuzz::require(!splits.train.empty() && !splits.test.empty() && splits.train.shape() == splits.test.shape());
    ffzero::CsvReader again(text, "input");
    const ffzero::Dataset all = ffzero::csv_samples(again, splits.train.info(), {}, true);
    ffzero::fuzz::require(all.size() == splits.train.size() + splits.test.size());
  });
  return 0;
}
