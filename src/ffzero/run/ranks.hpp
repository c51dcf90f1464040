// What has to be alike before several ranks train one run.
// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/exchange.hpp"
#include "ffzero/dataset/load.hpp"
#include "ffzero/settings/config.hpp"
#include "ffzero/train/state.hpp"

namespace ffzero {

/// Before any data are read: what the settings say that ranks cannot share out (docs/scaling.md has the table). What only the network shows
/// is refused by its Trainer. @throws ConfigError naming the key
void require_rank_settings(const Config& config);

/// What each rank says about itself before the first step: a name for the message, and a text that must be that of rank 0.
using RankFacts = std::vector<std::pair<std::string, std::string>>;

/// Of a run: the version, the arithmetic (arithmetic_description), settings (but for threads and the folder of the data), data, and where
/// training begins.
[[nodiscard]] RankFacts rank_facts(const std::string& version, const Config& config, const Splits& splits, const TrainerState& begin);

/// Collective: all ranks give as many facts. @throws ConfigError on all ranks, naming the first fact that differs and the rank
void require_same_facts(Exchange& ranks, const RankFacts& own);

/// Tells the other ranks what this one has thrown, before it goes; not what another rank has told (RankError).
void tell_ranks(Exchange& ranks, const std::exception& thrown);

}  // namespace ffzero
