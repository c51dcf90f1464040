// What a user of the installed library writes: one include, one target. Prints nothing and returns 0 when all is well.
// SPDX-License-Identifier: MIT
#include <ffzero/ffzero.hpp>
#include <vector>

int main() {
  const ffzero::Executor executor(2);
  std::vector<double> drawn(1000);
  executor.run(10, [&](ffzero::Index shard) {
    const ffzero::RandomStream random(0, ffzero::Stream::test);
    random.fill_uniform(std::span(drawn).subspan(ffzero::usize(100 * shard), 100), 100 * shard);
  });
  std::vector<double> expected(1000);
  ffzero::RandomStream(0, ffzero::Stream::test).fill_uniform(expected);
  return drawn == expected ? 0 : 1;
}
