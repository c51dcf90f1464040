// What every refusal has in common: one line, the documented exit code, nothing left behind.
// SPDX-License-Identifier: MIT
#pragma once

#include "program.hpp"

namespace ffzero::test {

/// Runs `arguments`, which must end with `code`, nothing on standard output and one line on standard error that holds every one of `parts`
/// (place, requirement, value, remedy).
inline void expect_refused(Workplace& place, const Arguments& arguments, int code, const std::vector<std::string>& parts) {
  const Outcome outcome = place.run(arguments);
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("ffzero: ")) << outcome.err;
  for (const auto& part : parts) EXPECT_NE(outcome.err.find(part), std::string::npos) << "no \"" << part << "\" in: " << outcome.err;
}

/// The same for a training that must not leave a folder.
inline void expect_no_run(Workplace& place, const Arguments& arguments, int code, const std::vector<std::string>& parts) {
  expect_refused(place, arguments + Arguments{"--out", "refused"}, code, parts);
  EXPECT_FALSE(fs::exists(place.path("refused")));
}

}  // namespace ffzero::test
