// What ranks tell one another after a step.
// SPDX-License-Identifier: MIT
#include "ffzero/train/rank_check.hpp"

#include <fmt/format.h>

#include <vector>

#include "ffzero/base/digest.hpp"
#include "ffzero/base/error.hpp"

namespace ffzero {

bool agree_to_stop(Exchange& ranks, const RankStep& own, const std::string& place) {
  constexpr std::size_t kWords = 2;
  std::vector<std::uint64_t> said(usize(ranks.size()) * kWords);
  const std::size_t mine = usize(ranks.rank()) * kWords;
  said[mine] = own.stop ? 1 : 0;
  said[mine + 1] = digest_of_bytes(own.parameters, own.number);
  ranks.gather_words(said);
  bool stop = false;
  for (std::size_t at = 0; at < said.size(); at += kWords) {
    if (said[at + 1] != said[1])
      throw DivergedError(place, "all ranks must hold the same parameters", fmt::format("others in rank {}", at / kWords),
                          "the checkpoint is good: go on from it; if it happens again, a machine is faulty");
    stop = stop || said[at] != 0;
  }
  return stop;
}

}  // namespace ffzero
