// Two runs that must be the same but for time and machine.
// SPDX-License-Identifier: MIT
#pragma once

#include "program.hpp"

namespace ffzero::test {

/// summary.json without what depends on the machine and on interruptions.
inline nlohmann::ordered_json comparable_summary(const fs::path& run) {
  auto summary = json_of(read_file(run / "summary.json"));
  for (const char* member : {"wall_s", "peak_rss_bytes", "machine"}) summary.erase(member);
  summary.at("forward_evals").erase("replayed");
  for (auto& layer : summary.at("forward_evals").at("per_layer")) layer.erase("replayed");
  return summary;
}

inline nlohmann::ordered_json comparable_metrics(const fs::path& run) {
  auto all = nlohmann::ordered_json::array();
  for (const auto& line : lines_of(read_file(run / "metrics.jsonl"))) {
    all.push_back(json_of(line));
    all.back().erase("wall_s");
  }
  return all;
}

/// Every array of the checkpoint, bit for bit; "meta" holds times and is left out.
inline void expect_same_arrays(const fs::path& a, const fs::path& b) {
  NpzArchive first = read_npz(a / "checkpoint.npz"), second = read_npz(b / "checkpoint.npz");
  EXPECT_EQ(first.erase("meta"), 1U);
  EXPECT_EQ(second.erase("meta"), 1U);
  ASSERT_EQ(first.size(), second.size());
  for (const auto& [name, array] : first) {
    ASSERT_TRUE(second.contains(name)) << name;
    EXPECT_TRUE(array == second.at(name)) << name << " differs";
  }
}

inline void expect_same_run(const fs::path& a, const fs::path& b) {
  EXPECT_EQ(comparable_summary(a), comparable_summary(b));
  EXPECT_EQ(comparable_metrics(a), comparable_metrics(b));
  expect_same_arrays(a, b);
  EXPECT_EQ(read_npz(a / "evaluation.npz"), read_npz(b / "evaluation.npz"));
}

/// One way to train, with data for it.
struct Variant {
  std::string name;
  SampleData data;
  Arguments arguments;
  friend void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }
};

inline const SampleData kFeatures{};
inline const SampleData kImages{.train = 160, .test = 40, .shape = {1, 12, 12}, .bytes = true};
inline const SampleData kFields{.train = 160, .test = 40, .shape = {8}, .complex = true};
inline const Arguments kConvolutions{"--model",  "cnn",
                                     "--layers", "8",
                                     "--set",    "model.conv.channels=[4,4]",
                                     "--set",    "model.conv.kernel=[3]",
                                     "--set",    "model.conv.padding=[1]"};
/// What only local losses have.
inline const Arguments kProjections{"--set", "model.conv.projection=6", "--set", "model.conv.projection_pool=0"};

}  // namespace ffzero::test
