// Tests on every vector target that this processor has and the program was compiled for.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ffzero::test {

/// Kernels run on the target of the parameter.
class OnTarget : public testing::TestWithParam<std::int64_t> {
 protected:
  OnTarget() { choose(GetParam()); }
  ~OnTarget() override { choose(0); }

  /// 0: what the processor is best at, as outside of tests.
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

inline std::vector<std::int64_t> targets_of_this_processor() {
  std::vector<std::int64_t> all;
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) all.push_back(left & -left);
  return all;
}

inline std::string target_name(const testing::TestParamInfo<std::int64_t>& target) { return hwy::TargetName(target.param); }

}  // namespace ffzero::test
