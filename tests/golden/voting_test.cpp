// Votes of the reference: mlp-cnn/voting*.json and photonic/majority_vote*.json.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/vote/vote.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

using Predictions = std::vector<std::int32_t>;

TEST(GoldenVoting, MajorityDecidesAsTheReference) {
  const auto files = test::golden_files("mlp-cnn", "voting");
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) {
    const auto j = test::read_json(file);
    for (const auto& table : j.at("tables")) {
      const auto layers = table.at("num_layers").get<std::size_t>();
      const auto all = test::labels_of(table.at("predictions"));
      const std::size_t samples = all.size() / layers;
      std::vector<Predictions> predictions;
      for (std::size_t l = 0; l < layers; ++l)
        predictions.emplace_back(all.begin() + isize(l * samples), all.begin() + isize((l + 1) * samples));
      EXPECT_EQ(majority_vote(predictions, table.at("num_classes").get<Index>()), test::labels_of(table.at("expected")));
    }
  }
}

/// preds_early[B][V] of the file as one vector per voter.
std::vector<Predictions> voters(const nlohmann::json& preds_early) {
  const std::size_t count = preds_early.at(0).size();
  std::vector<Predictions> all(count);
  for (const auto& row : preds_early) {
    for (std::size_t v = 0; v < count; ++v) all[v].push_back(row.at(v).get<std::int32_t>());
  }
  return all;
}

TEST(GoldenVoting, MajorityEarlyDecidesAsThePhotonicReference) {
  const auto files = test::golden_files("photonic", "majority_vote");
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) {
    const auto j = test::read_json(file);
    for (const auto& entry : j.at("cases")) {
      const Matrix<double> last = test::matrix_of(entry.at("last_scores"));
      EXPECT_EQ(majority_early_vote<double>(voters(entry.at("preds_early")), last), test::labels_of(entry.at("expected")));
    }
  }
}

}  // namespace
}  // namespace ffzero
