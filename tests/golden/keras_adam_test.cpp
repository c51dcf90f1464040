// The Keras form of Adam: photonic/keras_adam*.json.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ffzero/update/rule.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

TEST(GoldenKerasAdam, FollowsTheTrajectory) {
  const auto files = test::golden_files("photonic", "keras_adam");
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) {
    const auto j = test::read_json(file);
    std::vector<double> w = test::flat(j.at("w0"));
    const auto adam = make_adam<double>(isize(w.size()), {.epsilon = 1e-7, .epsilon_form = EpsilonForm::keras});
    for (std::size_t t = 0; t < j.at("grads").size(); ++t) {
      adam->step(w, test::flat(j.at("grads").at(t)), j.at("lr").get<double>());
      test::expect_near(as_vector(std::span<const double>(w)), test::vector_of(j.at("w_after_each_step").at(t)), 1e-13, 0.0,
                        "step " + std::to_string(t));
    }
  }
}

}  // namespace
}  // namespace ffzero
