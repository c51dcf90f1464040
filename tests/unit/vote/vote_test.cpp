// Rules of voting: ties, duplicates, renamed classes, refusals.
// SPDX-License-Identifier: MIT
#include "ffzero/vote/vote.hpp"

#include <gtest/gtest.h>

#include "ffzero/base/error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

using Classes = std::vector<std::int32_t>;

constexpr VoteRule kAllRules[] = {VoteRule::majority, VoteRule::majority_early, VoteRule::sum, VoteRule::sum_log_softmax, VoteRule::last};

std::vector<Matrix<double>> random_layers(Index layers, Index samples, Index classes, std::uint64_t seed) {
  std::vector<Matrix<double>> all;
  for (Index l = 0; l < layers; ++l) all.push_back(test::normal_matrix(samples, classes, seed + static_cast<std::uint64_t>(l)));
  return all;
}

template <class S>
Classes vote_of(VoteRule rule, const std::vector<Matrix<S>>& layers, double temperature = 1.0) {
  return vote<S>(rule, std::span<const Matrix<S>>(layers), temperature);
}

TEST(MajorityVote, BreaksTiesByLateLayersAndThenByTheLowestClass) {
  // Columns: clear majority; 2 votes each, later voters win (0+3 < 1+2 is a tie of sums: lowest class); unequal sums.
  const std::vector<Classes> layers{{4, 3, 1}, {4, 2, 1}, {0, 2, 0}, {0, 3, 0}};
  EXPECT_EQ(majority_vote(layers, 5), (Classes{0, 2, 0}));
  const std::vector<Classes> two{{0, 2}, {1, 0}};
  EXPECT_EQ(majority_vote(two, 3), (Classes{1, 0}));
}

TEST(MajorityEarlyVote, LetsTheLastLayerOnlyBreakTies) {
  const std::vector<Classes> early{{0, 0}, {1, 0}};
  Matrix<double> last(2, 3);
  last << 0.1, 0.2, 0.9, 0.1, 0.2, 0.9;
  EXPECT_EQ(majority_early_vote<double>(early, last), (Classes{1, 0}));
  EXPECT_EQ(majority_early_vote<double>({}, last), (Classes{2, 2}));
}

TEST(MajorityEarlyVote, IgnoresTheSecondOfTwoLayers) {
  const auto layers = random_layers(2, 40, 5, 1);
  EXPECT_EQ(vote_of(VoteRule::majority_early, layers), predict<double>(layers[0]));
}

TEST(Vote, OfOneLayerIsThatLayer) {
  const auto layers = random_layers(1, 30, 4, 2);
  for (const VoteRule rule : kAllRules) EXPECT_EQ(vote_of(rule, layers), predict<double>(layers[0])) << to_string(rule);
}

TEST(Vote, OfLayersThatAgreeIsTheirs) {
  const auto one = random_layers(1, 30, 4, 3);
  const std::vector<Matrix<double>> layers{one[0], one[0], one[0]};
  for (const VoteRule rule : kAllRules) EXPECT_EQ(vote_of(rule, layers), predict<double>(one[0])) << to_string(rule);
}

TEST(Vote, DoesNotChangeWhenEveryLayerVotesTwice) {
  test::expect_property("duplicate voters", [] {
    const auto count = *rc::gen::inRange<Index>(1, 6);
    const auto classes = *rc::gen::inRange<Index>(1, 6);
    const auto layers = random_layers(count, 12, classes, *rc::gen::arbitrary<std::uint32_t>());
    std::vector<Matrix<double>> twice;
    for (const auto& layer : layers) twice.insert(twice.end(), {layer, layer});
    RC_ASSERT(vote_of(VoteRule::sum, twice) == vote_of(VoteRule::sum, layers));
    RC_ASSERT(vote_of(VoteRule::last, twice) == vote_of(VoteRule::last, layers));
    RC_ASSERT(vote_of(VoteRule::sum_log_softmax, twice) == vote_of(VoteRule::sum_log_softmax, layers));
    // Layer l becomes 2l and 2l + 1: votes double, sums of numbers become 4 sum + votes, so no tie is broken differently.
    RC_ASSERT(vote_of(VoteRule::majority, twice) == vote_of(VoteRule::majority, layers));
  });
}

TEST(Vote, FollowsRenamedClassesWhereNothingIsTied) {
  test::expect_property("class permutation", [] {
    const auto classes = *rc::gen::inRange<Index>(2, 7);
    const auto seed = *rc::gen::arbitrary<std::uint32_t>();
    const auto layers = random_layers(3, 10, classes, seed);
    std::vector<std::uint32_t> renamed(usize(classes));
    RandomStream(seed, Stream::test).permutation(renamed);
    std::vector<Matrix<double>> moved;
    for (const auto& layer : layers) {
      Matrix<double> m(layer.rows(), layer.cols());
      for (Index k = 0; k < classes; ++k) m.col(renamed[usize(k)]) = layer.col(k);
      moved.push_back(m);
    }
    // Three layers have no tie of both votes and numbers unless all differ, and then the sums 0, 1, 2 differ.
    for (const VoteRule rule : kAllRules) {
      const Classes before = vote_of(rule, layers);
      const Classes after = vote_of(rule, moved);
      for (std::size_t b = 0; b < before.size(); ++b) {
        RC_ASSERT(after[b] == static_cast<std::int32_t>(renamed[usize(before[b])]));
      }
    }
  });
}

TEST(Vote, BySumOfLogSoftmaxIgnoresAShiftOfALayer) {
  auto layers = random_layers(4, 50, 6, 7);
  const Classes before = vote_of(VoteRule::sum_log_softmax, layers, 0.1);
  EXPECT_EQ(before, vote_of(VoteRule::sum, layers));
  layers[1].array() += 37.5;
  EXPECT_EQ(vote_of(VoteRule::sum_log_softmax, layers, 0.1), before);
}

TEST(Vote, IsTheSameInFloatAndDouble) {
  std::vector<Matrix<float>> single;
  std::vector<Matrix<double>> exact;
  for (std::uint64_t l = 0; l < 4; ++l) {
    single.push_back(test::normal_matrix<float>(60, 10, l));
    exact.push_back(single.back().cast<double>());
  }
  for (const VoteRule rule : kAllRules) EXPECT_EQ(vote_of(rule, single), vote_of(rule, exact)) << to_string(rule);
}

TEST(Predict, TakesTheFirstOfEqualScores) {
  Matrix<float> s(2, 3);
  s << 0.5F, 0.7F, 0.7F, -1.0F, -1.0F, -1.0F;
  EXPECT_EQ(predict<float>(s), (Classes{1, 0}));
}

TEST(ClassScores, SumOverGroups) {
  Matrix<float> s(1, 4);
  s << 1.0F, 2.0F, 0.5F, -4.0F;
  Matrix<float> expected(1, 2);
  expected << 1.5F, -2.0F;
  EXPECT_EQ(class_scores<float>(s, 2), expected);
  EXPECT_EQ(class_scores<float>(Matrix<float>(0, 4), 2).rows(), 0);
  EXPECT_THROW(static_cast<void>(class_scores<float>(s, 3)), ShapeError);
}

TEST(VoteRule, NamesItself) {
  for (const VoteRule rule : kAllRules) EXPECT_EQ(parse_vote_rule(to_string(rule)), rule);
  EXPECT_THROW(static_cast<void>(parse_vote_rule("mean")), ConfigError);
}

TEST(Vote, RefusesLayersThatDoNotFit) {
  const std::vector<Matrix<double>> none;
  EXPECT_THROW(static_cast<void>(vote_of(VoteRule::sum, none)), ShapeError);
  const std::vector<Matrix<double>> uneven{Matrix<double>::Zero(2, 3), Matrix<double>::Zero(2, 4)};
  EXPECT_THROW(static_cast<void>(vote_of(VoteRule::majority, uneven)), ShapeError);
  const std::vector<Matrix<double>> good{Matrix<double>::Zero(2, 3)};
  EXPECT_THROW(static_cast<void>(vote_of(VoteRule::sum_log_softmax, good, 0.0)), ShapeError);
  EXPECT_THROW(static_cast<void>(majority_vote(std::vector<Classes>{{0, 1}, {0}}, 2)), ShapeError);
  EXPECT_THROW(static_cast<void>(majority_vote(std::vector<Classes>{{2}}, 2)), ShapeError);
  EXPECT_THROW(static_cast<void>(majority_vote({}, 2)), ShapeError);
}

}  // namespace
}  // namespace ffzero
