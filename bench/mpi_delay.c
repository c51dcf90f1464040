/* Every gather between ranks takes MPI_DELAY_US longer, as on a slower network: to hold the model of docs/scaling.md against runs.
     mpicc -shared -fPIC -O2 bench/mpi_delay.c -o mpi_delay.so
     mpirun -n 2 -x LD_PRELOAD=$PWD/mpi_delay.so -x MPI_DELAY_US=5000 ffzero train ..
   SPDX-License-Identifier: MIT */
#include <mpi.h>
#include <stdlib.h>
#include <time.h>

int MPI_Iallgatherv(const void* from, int count, MPI_Datatype type, void* to, const int counts[], const int places[], MPI_Datatype to_type,
                    MPI_Comm ranks, MPI_Request* request) {
  const char* text = getenv("MPI_DELAY_US");
  const long us = text != NULL ? atol(text) : 0;
  const struct timespec wait = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&wait, NULL);
  return PMPI_Iallgatherv(from, count, type, to, counts, places, to_type, ranks, request);
}
