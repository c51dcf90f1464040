// What a user without CMake writes: trains the study argv[1], into the folder argv[2]; returns 0 when its runs have finished.
// SPDX-License-Identifier: MIT
#include <ffzero/run/sweep.hpp>

#include <algorithm>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const ffzero::SweepResult result = ffzero::run_study(ffzero::read_study(argv[1]), {.out = argv[2], .cache_dir = {}, .jobs = 1});
  return std::ranges::all_of(result.states, [](const ffzero::RunState& s) { return s.status == ffzero::RunStatus::finished; }) ? 0 : 1;
}
