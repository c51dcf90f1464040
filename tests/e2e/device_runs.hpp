// Small runs on devices, and what they leave.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include "program.hpp"

namespace ffzero::test {

inline const SampleData kDeviceData{.train = 96, .test = 24, .classes = 3, .shape = {6}};
inline const Arguments kFewSteps{"--epochs", "2", "--directions", "2", "--threads", "1"};

/// The arrays of the last checkpoint that learning decides about.
inline std::vector<float> learnt(const Workplace& place, const std::string& run) {
  const NpzArchive archive = read_npz(place.path(run) / "checkpoint.npz");
  std::vector<float> all;
  for (const auto& [name, array] : archive)
    if (name != "meta" && array.type == NpyArray::Type::f32)
      for (const float v : array.to<float>()) all.push_back(v);
  EXPECT_FALSE(all.empty());
  return all;
}

inline nlohmann::ordered_json summary_of(const Workplace& place, const std::string& run) {
  return json_of(read_file(place.path(run) / "summary.json"));
}

}  // namespace ffzero::test
