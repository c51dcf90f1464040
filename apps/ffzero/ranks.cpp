// Processes of one job that train one run together.
// SPDX-License-Identifier: MIT
#include "ranks.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <initializer_list>

#include "command.hpp"
#include "ffzero/base/error.hpp"
#ifdef FFZERO_WITH_MPI
#include "mpi_exchange.hpp"
#endif

namespace ffzero::app {

namespace {

// The first of these variables that holds a number; else `otherwise`.
int number_of(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names)
    if (const char* text = std::getenv(name); text != nullptr && *text >= '0' && *text <= '9') return std::atoi(text);
  return otherwise;
}

}  // namespace

Launch launched() {
  // Open MPI, MPICH and whatever speaks PMI, PMIx under Slurm.
  Launch launch{.rank = number_of({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"}, 0),
                .size = number_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 0)};
  if (launch.size == 0) launch.size = std::getenv("PMIX_RANK") != nullptr ? number_of({"SLURM_STEP_NUM_TASKS"}, 1) : 1;
  return launch;
}

JoinedRanks join_ranks() {
  const Launch launch = launched();
  if (launch.size <= 1) return {};
#ifdef FFZERO_WITH_MPI
  const auto job = std::make_shared<mpi::Job>();
  return {.exchange = job->exchange(), .leave = [job](int code) { job->leave(code == kInterrupted ? kDone : code); }};
#else
  throw ConfigError("mpirun", "processes that train one run together need a program that was built with MPI",
                    fmt::format("{} processes of one that was not", launch.size),
                    "build with -DFFZERO_MPI=ON, start one, or share out a study with ffzero sweep --part (docs/scaling.md)");
#endif
}

}  // namespace ffzero::app
